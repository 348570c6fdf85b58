resource "aws_cloudwatch_log_group" "function" {
  for_each = module.catalog.functions

  name              = "/aws/lambda/${var.name}-${each.key}"
  retention_in_days = var.log_retention_days
}

resource "aws_lambda_function" "this" {
  for_each = module.catalog.functions

  function_name = "${var.name}-${each.key}"
  description   = each.value.description
  role          = aws_iam_role.function[each.key].arn

  filename         = "${local.functions_dir}/${each.key}/bootstrap.zip"
  source_code_hash = try(filebase64sha256("${local.functions_dir}/${each.key}/bootstrap.zip"), null) # null: a plan before the first build
  runtime          = "provided.al2023"                                                               # a native binary, and nothing of Lambda's beside it
  handler          = "bootstrap"
  architectures    = [var.architecture]

  memory_size = coalesce(try(var.functions[each.key].memory_mb, null), each.value.memory_mb)
  timeout     = coalesce(try(var.functions[each.key].timeout_seconds, null), each.value.timeout_seconds)
  # -1 is Lambda's way to say `none reserved`.
  reserved_concurrent_executions = coalesce(try(var.functions[each.key].reserved_concurrency, null), -1)

  environment {
    variables = merge(
      { RUST_LOG = "info" },
      { for variable, value in each.value.environment : variable => local.values[value] },
      var.environment,
      try(var.functions[each.key].environment, {}),
    )
  }

  # 512 MB is what there is where nothing is said.
  ephemeral_storage {
    size = try(each.value.disk_mb, 512)
  }

  logging_config {
    log_format = "Text" # the functions write JSON lines themselves
    log_group  = aws_cloudwatch_log_group.function[each.key].name
  }

  dynamic "vpc_config" {
    for_each = each.value.reaches_database && var.network != null ? [var.network] : []

    content {
      subnet_ids         = vpc_config.value.subnet_ids
      security_group_ids = vpc_config.value.security_group_ids
    }
  }

  # A function that starts before its role may do anything fails its first requests.
  depends_on = [aws_iam_role_policy.function]
}

# Scheduler and EventBridge hand their events to Lambda's own queue. Whoever starts twice starts one run, so trying again
# is safe; an event older than an hour is told by an alarm rather than started out of its time.
resource "aws_lambda_function_event_invoke_config" "trigger" {
  function_name                = aws_lambda_function.this["trigger"].function_name
  maximum_retry_attempts       = 2
  maximum_event_age_in_seconds = 3600
}
