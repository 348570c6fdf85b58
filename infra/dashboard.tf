# One look at whether it works: runs, functions, answers.
resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.name

  dashboard_body = jsonencode({
    widgets = [
      for position, widget in [
        {
          title = "Runs"
          stat  = "Sum"
          metrics = [
            for metric in ["ExecutionsStarted", "ExecutionsSucceeded", "ExecutionsFailed", "ExecutionsTimedOut", "ExecutionsAborted"] :
            ["AWS/States", metric, "StateMachineArn", local.state_machine_arn]
          ]
        },
        {
          title   = "A run's time, longest"
          stat    = "Maximum"
          metrics = [["AWS/States", "ExecutionTime", "StateMachineArn", local.state_machine_arn]]
        },
        {
          title = "Functions: errors and throttles"
          stat  = "Sum"
          metrics = [
            for pair in setproduct(["Errors", "Throttles"], keys(module.catalog.functions)) :
            ["AWS/Lambda", pair[0], "FunctionName", "${var.name}-${pair[1]}"]
          ]
        },
        {
          title   = "Functions: time, 95th percentile"
          stat    = "p95"
          metrics = [for name in keys(module.catalog.functions) : ["AWS/Lambda", "Duration", "FunctionName", "${var.name}-${name}"]]
        },
        {
          title   = "API: requests and failures"
          stat    = "Sum"
          metrics = [for metric in ["Count", "4XXError", "5XXError"] : ["AWS/ApiGateway", metric, "ApiName", var.name, "Stage", var.api_stage]]
        },
        {
          title   = "API: time to answer, 95th percentile"
          stat    = "p95"
          metrics = [for metric in ["Latency", "IntegrationLatency"] : ["AWS/ApiGateway", metric, "ApiName", var.name, "Stage", var.api_stage]]
        },
        ] : {
        type       = "metric"
        x          = position % 2 * 12
        y          = floor(position / 2) * 6
        width      = 12
        height     = 6
        properties = merge(widget, { region = local.region, period = 300, view = "timeSeries" })
      }
    ]
  })
}
