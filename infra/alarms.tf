locals {
  alarm_dimensions = {
    state_machine  = { StateMachineArn = local.state_machine_arn }
    schedule_group = { ScheduleGroup = var.name }
    trigger        = { FunctionName = "${var.name}-trigger" }
    api            = { ApiName = var.name, Stage = var.api_stage }
    log            = {} # one metric an alarm, in a namespace of this deployment's own
  }

  log_namespace = "Millrace/${var.name}"

  alarms = merge(module.catalog.alarms, {
    for name, alarm in module.catalog.log_alarms : name => {
      description = alarm.description
      namespace   = local.log_namespace
      metric      = aws_cloudwatch_log_metric_filter.alarm[name].metric_transformation[0].name
      of          = "log"
    }
  })
}

resource "aws_cloudwatch_log_metric_filter" "alarm" {
  for_each = module.catalog.log_alarms

  name           = each.key
  log_group_name = aws_cloudwatch_log_group.function[each.value.function].name
  pattern        = "{ $.alarm = \"${each.key}\" }"

  metric_transformation {
    namespace = local.log_namespace
    name      = each.key
    value     = "1"
  }
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

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
