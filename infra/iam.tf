# What each function may do, and no more. A role a function; the task's is the union of the steps that it runs.
#
# A note on s3:ListBucket: S3 tells a missing object (404) from a forbidden one (403) only to those who may list the
# bucket, and a GetObject carries no prefix. `IfExists` lets it count for GetObject, and holds every list that names a
# prefix to those below.
locals {
  # What serve keeps in the lake, if there is anything to keep: how much of their quotas callers have used, and answers as
  # files.
  has_exports     = length(module.catalog.exports) > 0
  served_prefixes = [for prefix, is_used in { "exports/" = local.has_exports, "quotas/" = module.catalog.quotas } : prefix if is_used]
  served_objects  = [for prefix in local.served_prefixes : "${prefix}*"]

  # Where serve is not the only one that answers routes, the others note what theirs answer when it leaves a notice.
  noting       = module.catalog.noting
  read_notes   = [for notes in ["contract/*.json"] : notes if length(local.noting) > 0]
  left_notices = [for datasource in values(local.noting) : "contract/${datasource}.todo"]
  own_notes    = { for function, datasource in local.noting : function => ["contract/${datasource}.json"] }

  lake_prefixes = {
    trigger   = ["definitions/", "runs/", "gates/", "idempotency/"]
    ingest    = ["definitions/pinned/", "raw/", "state/", "dead/", "limits/", "leases/", "runs/"]
    transform = ["definitions/pinned/", "raw/", "state/", "tables/", "quarantine/", "runs/"]
    refine    = ["definitions/pinned/", "tables/", "quarantine/", "runs/"]
    publish   = ["definitions/pinned/", "tables/", "runs/"]
    serve     = concat(["definitions/endpoints/"], local.served_prefixes)
    # Which table a route means is for the pipelines' `publish` to say.
    serve-lake = concat(["definitions/endpoints/", "definitions/pipelines/", "tables/"], local.served_prefixes)
    # Whose rows lie under which keys, Redis says.
    serve-redis = concat(["definitions/endpoints/"], local.served_prefixes)
  }

  lake_reads = {
    trigger     = ["definitions/*", "runs/*", "gates/*", "idempotency/*"]
    ingest      = ["definitions/pinned/*", "raw/*", "state/*", "dead/*", "limits/*", "leases/*", "runs/*"]
    transform   = ["definitions/pinned/*", "raw/*", "state/*", "tables/*", "quarantine/*", "runs/*"]
    refine      = ["definitions/pinned/*", "tables/*", "quarantine/*", "runs/*"]
    publish     = ["definitions/pinned/*", "tables/*", "runs/*"]
    serve       = concat(["definitions/endpoints/*"], local.served_objects, local.read_notes)
    serve-lake  = concat(["definitions/endpoints/*", "definitions/pipelines/*", "tables/*"], local.served_objects)
    serve-redis = concat(["definitions/endpoints/*"], local.served_objects)
  }

  lake_writes = {
    trigger     = ["definitions/pinned/*", "runs/*", "gates/*", "idempotency/*"]
    ingest      = ["raw/*", "state/*", "dead/*", "limits/*", "leases/*", "runs/*"]
    transform   = ["tables/*", "quarantine/*", "runs/*"]
    refine      = ["tables/*", "quarantine/*", "runs/*"]
    publish     = ["runs/*"]
    serve       = concat(local.served_objects, local.left_notices)
    serve-lake  = concat(local.served_objects, lookup(local.own_notes, "serve-lake", []))
    serve-redis = concat(local.served_objects, lookup(local.own_notes, "serve-redis", []))
  }

  # Of two writers of one segment the loser removes its bytes; so does a table's writer whose commit did not come about.
  lake_deletes = {
    trigger     = []
    ingest      = ["raw/*/segment/*"]
    transform   = ["tables/*"]
    refine      = ["tables/*"]
    publish     = []
    serve       = []
    serve-lake  = []
    serve-redis = []
  }

  readable_secrets = {
    trigger   = [local.own_secrets.operators]
    ingest    = sort(module.catalog.secrets.ingest)
    transform = []
    refine    = []
    publish   = concat([local.own_secrets.store_owner], [for owner in [local.own_secrets.redis_owner] : owner if module.catalog.publishes_to_redis])
    serve     = concat(sort(module.catalog.secrets.serve), [local.own_secrets.store_reader])
    # Where it is not deployed, it has no secret of its own either.
    serve-lake = concat(
      sort(module.catalog.secrets.serve),
      [for name in ["serve-lake"] : local.own_secrets.seal if contains(keys(module.catalog.functions), name)],
      [for reader in [local.own_secrets.store_reader] : reader if module.catalog.unites],
    )
    serve-redis = concat(
      sort(module.catalog.secrets.serve),
      [for name in ["serve-redis"] : local.own_secrets.redis_reader if contains(keys(module.catalog.functions), name)],
    )
  }

  # A refresh token may be good for one use: the next one is written back.
  writable_secrets = {
    trigger     = []
    ingest      = sort(module.catalog.written_secrets)
    transform   = []
    refine      = []
    publish     = []
    serve       = []
    serve-lake  = []
    serve-redis = []
  }

  step_statements = {
    for name in keys(local.lake_reads) : name => [
      for statement in [
        {
          Sid       = "ListLake"
          Effect    = "Allow"
          Action    = ["s3:ListBucket"]
          Resource  = [local.lake_arn]
          Condition = { StringLikeIfExists = { "s3:prefix" = [for prefix in local.lake_prefixes[name] : "${prefix}*"] } }
        },
        { Sid = "ReadLake", Effect = "Allow", Action = ["s3:GetObject"], Resource = [for prefix in local.lake_reads[name] : "${local.lake_arn}/${prefix}"] },
        { Sid = "WriteLake", Effect = "Allow", Action = ["s3:PutObject", "s3:AbortMultipartUpload"], Resource = [for prefix in local.lake_writes[name] : "${local.lake_arn}/${prefix}"] },
        { Sid = "TidyLake", Effect = "Allow", Action = ["s3:DeleteObject"], Resource = [for prefix in local.lake_deletes[name] : "${local.lake_arn}/${prefix}"] },
        { Sid = "ReadSecrets", Effect = "Allow", Action = ["secretsmanager:GetSecretValue"], Resource = [for secret in local.readable_secrets[name] : local.secret_arns[secret]] },
        { Sid = "WriteSecrets", Effect = "Allow", Action = ["secretsmanager:PutSecretValue"], Resource = [for secret in local.writable_secrets[name] : local.secret_arns[secret]] },
      ] : statement if length(statement.Resource) > 0
    ]
  }

  function_statements = {
    for name, function in module.catalog.functions : name => concat(
      local.step_statements[name],
      [{
        Sid      = "WriteLog"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = ["arn:${local.partition}:logs:${local.region}:${local.account}:log-group:/aws/lambda/${var.name}-${name}:log-stream:*"]
      }],
      # A definition that is broken is not served; what it was before is, by functions too that start only then.
      [
        for statement in [
          {
            Sid       = "ListEarlierDefinitions"
            Effect    = "Allow"
            Action    = ["s3:ListBucketVersions"]
            Resource  = [local.lake_arn]
            Condition = { StringLike = { "s3:prefix" = ["definitions/endpoints/*"] } }
          },
          { Sid = "ReadEarlierDefinitions", Effect = "Allow", Action = ["s3:GetObjectVersion"], Resource = ["${local.lake_arn}/definitions/endpoints/*"] },
        ] : statement if contains(["serve", "serve-lake", "serve-redis"], name)
      ],
      name != "trigger" ? [] : [
        { Sid = "StartRuns", Effect = "Allow", Action = ["states:StartExecution"], Resource = [local.state_machine_arn] },
        { Sid = "EndRuns", Effect = "Allow", Action = ["states:DescribeExecution", "states:StopExecution"], Resource = [local.execution_arns] },
      ],
      # Lambda places network interfaces with the function's role; AWS has no narrower resource for most of these.
      !(function.reaches_database && var.network != null) ? [] : [{
        Sid    = "JoinNetwork"
        Effect = "Allow"
        Action = [
          "ec2:AssignPrivateIpAddresses",
          "ec2:CreateNetworkInterface",
          "ec2:DeleteNetworkInterface",
          "ec2:DescribeNetworkInterfaces",
          "ec2:DescribeSubnets",
          "ec2:UnassignPrivateIpAddresses",
        ]
        Resource = ["*"]
      }],
    )
  }
}

resource "aws_iam_role" "function" {
  for_each = module.catalog.functions

  name        = "${var.name}-${each.key}"
  description = each.value.description
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "sts:AssumeRole", Principal = { Service = "lambda.amazonaws.com" } }]
  })
}

resource "aws_iam_role_policy" "function" {
  for_each = local.function_statements

  name   = "work"
  role   = aws_iam_role.function[each.key].id
  policy = jsonencode({ Version = "2012-10-17", Statement = each.value })
}

# How AWS's services take on the other roles: on behalf of this account only.
locals {
  service_trust = {
    for service in ["ecs-tasks", "scheduler", "states"] : service => jsonencode({
      Version = "2012-10-17"
      Statement = [{
        Effect    = "Allow"
        Action    = "sts:AssumeRole"
        Principal = { Service = "${service}.amazonaws.com" }
        Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
      }]
    })
  }
}
