resource "aws_api_gateway_rest_api" "this" {
  name        = var.name
  description = "The endpoints, and the control API"
  body        = jsonencode(module.catalog.openapi)

  endpoint_configuration {
    types = ["REGIONAL"] # callers are servers; whoever wants a CDN puts one in front
  }
}

# A deployment is a picture of the API: a new one is taken whenever the document changes, before the old one goes.
resource "aws_api_gateway_deployment" "this" {
  rest_api_id = aws_api_gateway_rest_api.this.id
  triggers    = { body = sha1(aws_api_gateway_rest_api.this.body) }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_api_gateway_stage" "this" {
  rest_api_id   = aws_api_gateway_rest_api.this.id
  deployment_id = aws_api_gateway_deployment.this.id
  stage_name    = var.api_stage

  access_log_settings {
    destination_arn = aws_cloudwatch_log_group.api.arn
    format = jsonencode({
      requestId   = "$context.requestId"
      time        = "$context.requestTime"
      ip          = "$context.identity.sourceIp"
      method      = "$context.httpMethod"
      route       = "$context.resourcePath"
      path        = "$context.path"
      status      = "$context.status"
      bytes       = "$context.responseLength"
      latencyMs   = "$context.responseLatency"
      functionMs  = "$context.integrationLatency"
      consumerKey = "$context.identity.apiKeyId"
      error       = "$context.error.message"
    })
  }

  # The role must be known to API Gateway before a stage can log.
  depends_on = [aws_api_gateway_account.this]
}

resource "aws_api_gateway_method_settings" "all" {
  rest_api_id = aws_api_gateway_rest_api.this.id
  stage_name  = aws_api_gateway_stage.this.stage_name
  method_path = "*/*"

  settings {
    throttling_rate_limit  = var.api_throttle.rate
    throttling_burst_limit = var.api_throttle.burst
  }
}

resource "aws_cloudwatch_log_group" "api" {
  name              = "/aws/apigateway/${var.name}"
  retention_in_days = var.log_retention_days
}

resource "aws_lambda_permission" "api" {
  for_each = local.answering

  statement_id  = "api"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.this[each.key].function_name
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_api_gateway_rest_api.this.execution_arn}/${var.api_stage}/*"
}

# Metering: who uses how much. Not who may: see the variable.
resource "aws_api_gateway_usage_plan" "this" {
  name        = var.name
  description = "What each metered consumer may use"

  api_stages {
    api_id = aws_api_gateway_rest_api.this.id
    stage  = aws_api_gateway_stage.this.stage_name
  }

  throttle_settings {
    rate_limit  = var.usage_plan.rate
    burst_limit = var.usage_plan.burst
  }

  quota_settings {
    limit  = var.usage_plan.quota_per_day
    period = "DAY"
  }
}

resource "aws_api_gateway_api_key" "consumer" {
  for_each = var.metered_consumers

  name        = "${var.name}-${each.key}"
  description = each.value
}

resource "aws_api_gateway_usage_plan_key" "consumer" {
  for_each = var.metered_consumers

  key_id        = aws_api_gateway_api_key.consumer[each.key].id
  key_type      = "API_KEY"
  usage_plan_id = aws_api_gateway_usage_plan.this.id
}

# One setting of the whole account and Region: the role with which API Gateway writes logs.
resource "aws_api_gateway_account" "this" {
  count = var.api_gateway_account_role ? 1 : 0

  cloudwatch_role_arn = aws_iam_role.api_gateway_account[0].arn

  depends_on = [aws_iam_role_policy_attachment.api_gateway_account]
}

resource "aws_iam_role" "api_gateway_account" {
  count = var.api_gateway_account_role ? 1 : 0

  name        = "${var.name}-api-gateway-logs"
  description = "API Gateway, for all APIs of the account and Region: writes logs"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "sts:AssumeRole", Principal = { Service = "apigateway.amazonaws.com" } }]
  })
}

resource "aws_iam_role_policy_attachment" "api_gateway_account" {
  count = var.api_gateway_account_role ? 1 : 0

  role = aws_iam_role.api_gateway_account[0].name
  # API Gateway demands this one of AWS's own policies of the role.
  policy_arn = "arn:${local.partition}:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"
}
