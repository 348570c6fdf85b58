resource "aws_sfn_state_machine" "pipeline" {
  name     = local.state_machine_name
  role_arn = aws_iam_role.pipeline.arn
  type     = "STANDARD" # runs last for hours and each is started once by its name

  definition = templatefile("${path.module}/../statemachines/pipeline.asl.json", {
    trigger_arn   = local.function_arns.trigger
    ingest_arn    = local.function_arns.ingest
    transform_arn = local.function_arns.transform
    refine_arn    = local.function_arns.refine
    publish_arn   = local.function_arns.publish
    cluster_arn   = local.cluster_arn
    # The family, not a revision of it: a run that is under way when the task is deployed anew goes on with the new one.
    task_definition       = local.task_family
    task_subnets          = join(",", local.task_network.subnet_ids)
    task_security_groups  = join(",", local.task_network.security_group_ids)
    task_assign_public_ip = local.task_network.assign_public_ip ? "ENABLED" : "DISABLED"
  })

  logging_configuration {
    log_destination        = "${aws_cloudwatch_log_group.pipeline.arn}:*"
    level                  = "ERROR"
    include_execution_data = false # the history has it; the log needs no second copy
  }

  depends_on = [aws_ecs_cluster.this, aws_iam_role_policy.pipeline]
}

resource "aws_cloudwatch_log_group" "pipeline" {
  # The prefix is what keeps the log's resource policy below AWS's limit of its size.
  name              = "/aws/vendedlogs/states/${local.state_machine_name}"
  retention_in_days = var.log_retention_days
}

resource "aws_iam_role" "pipeline" {
  name               = local.state_machine_name
  description        = "The state machine: invokes the steps and runs tasks"
  assume_role_policy = local.service_trust["states"]
}

resource "aws_iam_role_policy" "pipeline" {
  name = "work"
  role = aws_iam_role.pipeline.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "InvokeSteps"
        Effect   = "Allow"
        Action   = ["lambda:InvokeFunction"]
        Resource = [for name in ["ingest", "publish", "refine", "transform", "trigger"] : local.function_arns[name]]
      },
      {
        Sid       = "RunTask"
        Effect    = "Allow"
        Action    = ["ecs:RunTask"]
        Resource  = ["arn:${local.partition}:ecs:${local.region}:${local.account}:task-definition/${local.task_family}:*"]
        Condition = { ArnEquals = { "ecs:cluster" = local.cluster_arn } }
      },
      {
        Sid       = "PassTaskRoles"
        Effect    = "Allow"
        Action    = ["iam:PassRole"]
        Resource  = [aws_iam_role.task.arn, aws_iam_role.task_execution.arn]
        Condition = { StringEquals = { "iam:PassedToService" = "ecs-tasks.amazonaws.com" } }
      },
      {
        # How Step Functions sets up its log's delivery; AWS has no narrower resource for these.
        Sid    = "DeliverLog"
        Effect = "Allow"
        Action = [
          "logs:CreateLogDelivery",
          "logs:DeleteLogDelivery",
          "logs:DescribeLogGroups",
          "logs:DescribeResourcePolicies",
          "logs:GetLogDelivery",
          "logs:ListLogDeliveries",
          "logs:PutResourcePolicy",
          "logs:UpdateLogDelivery",
        ]
        Resource = ["*"]
      },
    ]
  })
}

# An execution that was stopped in the console or ran out of time never came to its last state: this tells the trigger
# function, which closes the run in the ledger and lets the next one start.
resource "aws_cloudwatch_event_rule" "run_ended" {
  name        = "${var.name}-run-ended"
  description = "Executions that ended without a success"
  event_pattern = jsonencode({
    source      = ["aws.states"]
    detail-type = ["Step Functions Execution Status Change"]
    detail = {
      stateMachineArn = [local.state_machine_arn]
      status          = ["ABORTED", "FAILED", "TIMED_OUT"]
    }
  })
}

resource "aws_cloudwatch_event_target" "run_ended" {
  rule = aws_cloudwatch_event_rule.run_ended.name
  arn  = aws_lambda_function.this["trigger"].arn
}

resource "aws_lambda_permission" "run_ended" {
  statement_id  = "run-ended"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.this["trigger"].function_name
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.run_ended.arn
}
