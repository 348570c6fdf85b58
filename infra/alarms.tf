locals {
  alarm_dimensions = {
    state_machine  = { StateMachineArn = local.state_machine_arn }
    schedule_group = { ScheduleGroup = var.name }
    trigger        = { FunctionName = "${var.name}-trigger" }
    api            = { ApiName = var.name, Stage = var.api_stage }
  }
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = module.catalog.alarms

  alarm_name        = "${var.name}-${each.key}"
  alarm_description = each.value.description

  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = local.alarm_dimensions[each.value.of]
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  # No datapoint means that nothing happened, which is as it should be.
  treat_missing_data = "notBreaching"

  alarm_actions = compact([var.alarm_topic_arn])
}
