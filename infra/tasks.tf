locals {
  task        = module.catalog.tasks.task
  task_family = "${var.name}-task"
  cluster_arn = "arn:${local.partition}:ecs:${local.region}:${local.account}:cluster/${var.name}"

  task_network = var.network != null ? var.network : {
    subnet_ids         = sort(data.aws_subnets.default[0].ids)
    security_group_ids = [] # the VPC's default group
    assign_public_ip   = true
  }

  # The repository that the task's image is pulled from, where it is one of ECR's.
  task_repositories = [
    for match in regexall("^([0-9]{12})\\.dkr\\.ecr\\.([a-z0-9-]+)\\.amazonaws\\.com[.a-z]*/([^:@]+)", var.task_image) :
    "arn:${local.partition}:ecr:${match[1]}:${match[0]}:repository/${match[2]}"
  ]
}

data "aws_subnets" "default" {
  count = var.network == null ? 1 : 0

  filter {
    name   = "default-for-az"
    values = ["true"]
  }
}

resource "aws_ecs_cluster" "this" {
  name = var.name
}

resource "aws_cloudwatch_log_group" "task" {
  name              = "/aws/ecs/${local.task_family}"
  retention_in_days = var.log_retention_days
}

resource "aws_ecs_task_definition" "task" {
  family                   = local.task_family
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc" # Fargate has no other
  cpu                      = var.task_size.cpu
  memory                   = var.task_size.memory_mb
  task_role_arn            = aws_iam_role.task.arn
  execution_role_arn       = aws_iam_role.task_execution.arn

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = upper(var.architecture)
  }

  # A disk of the task's own, empty at its start and gone with it.
  volume {
    name = "spill"
  }

  # The state machine finds its container by the name `task`, and adds the token and the step to its environment.
  container_definitions = jsonencode([{
    name                   = "task"
    image                  = var.task_image
    essential              = true
    user                   = "65532:65532" # nobody's, as in the image
    readonlyRootFilesystem = true          # a step keeps nothing on the disk but what a query's memory does not hold
    mountPoints            = [{ sourceVolume = "spill", containerPath = "/tmp", readOnly = false }]
    # Time to leave a checkpoint where Fargate takes the machine away; the most that Fargate gives.
    stopTimeout = 120
    environment = [
      for variable, value in merge(
        { RUST_LOG = "info", AWS_REGION = local.region },
        { for variable, value in local.task.environment : variable => local.values[value] },
        var.environment,
      ) : { name = variable, value = value }
    ]
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.task.name
        awslogs-region        = local.region
        awslogs-stream-prefix = "step"
      }
    }
  }])
}

# Execution role: what ECS itself needs to start the container.
resource "aws_iam_role" "task_execution" {
  name               = "${local.task_family}-execution"
  description        = "ECS, before the task runs: pulls the image, opens the log"
  assume_role_policy = local.service_trust["ecs-tasks"]
}

resource "aws_iam_role_policy" "task_execution" {
  name = "work"
  role = aws_iam_role.task_execution.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [{
        Sid      = "WriteLog"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = ["${aws_cloudwatch_log_group.task.arn}:log-stream:*"]
      }],
      length(local.task_repositories) == 0 ? [] : [
        # The one action of ECR that has no resource.
        { Sid = "EnterRegistry", Effect = "Allow", Action = ["ecr:GetAuthorizationToken"], Resource = ["*"] },
        { Sid = "PullImage", Effect = "Allow", Action = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"], Resource = local.task_repositories },
      ],
    )
  })
}

# Runtime role: what the step may do, which is what it may do as a function, and to answer by its token.
resource "aws_iam_role" "task" {
  name               = local.task_family
  description        = local.task.description
  assume_role_policy = local.service_trust["ecs-tasks"]
}

resource "aws_iam_role_policy" "task" {
  name = "work"
  role = aws_iam_role.task.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      flatten([
        for step in local.task.steps : [
          for statement in local.step_statements[step] : merge(statement, { Sid = "${title(step)}${statement.Sid}" })
        ]
      ]),
      [{
        # AWS has no resource for these: a token is its own secret, and answers for one state of one execution.
        Sid      = "AnswerByToken"
        Effect   = "Allow"
        Action   = ["states:SendTaskFailure", "states:SendTaskHeartbeat", "states:SendTaskSuccess"]
        Resource = ["*"]
      }],
    )
  })
}
