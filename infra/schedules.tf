resource "aws_scheduler_schedule_group" "this" {
  name = var.name
}

resource "aws_scheduler_schedule" "pipeline" {
  for_each = module.catalog.schedules

  name        = each.key
  group_name  = aws_scheduler_schedule_group.this.name
  description = substr(each.value.description, 0, 512) # Scheduler's limit
  state       = var.schedules_enabled ? "ENABLED" : "DISABLED"

  schedule_expression          = each.value.expression
  schedule_expression_timezone = each.value.timezone

  flexible_time_window {
    mode = "OFF" # the run's name comes from the time that the schedule meant
  }

  target {
    arn      = aws_lambda_function.this["trigger"].arn
    role_arn = aws_iam_role.scheduler.arn

    # Scheduler fills in what stands in angle brackets, which jsonencode would escape.
    input = replace(replace(
      jsonencode({
        schedule     = "<aws.scheduler.schedule-arn>"
        pipeline     = each.key
        scheduled_at = "<aws.scheduler.scheduled-time>"
      }),
      "\\u003c", "<"), "\\u003e", ">"
    )

    retry_policy {
      # Starting twice starts one run; an hour later the next start is more use than this one.
      maximum_event_age_in_seconds = 3600
      maximum_retry_attempts       = 10
    }
  }
}

resource "aws_iam_role" "scheduler" {
  name               = "${var.name}-scheduler"
  description        = "EventBridge Scheduler: invokes the trigger function"
  assume_role_policy = local.service_trust["scheduler"]
}

resource "aws_iam_role_policy" "scheduler" {
  name = "work"
  role = aws_iam_role.scheduler.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Sid = "InvokeTrigger", Effect = "Allow", Action = ["lambda:InvokeFunction"], Resource = [local.function_arns.trigger] },
    ]
  })
}
