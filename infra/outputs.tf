output "api_url" {
  description = "Where the endpoints and the control API answer, without a slash at the end."
  value       = aws_api_gateway_stage.this.invoke_url
}

output "docs_url" {
  description = "The API's documentation."
  value       = "${aws_api_gateway_stage.this.invoke_url}/docs"
}

output "rest_api_id" {
  description = "The API's id in API Gateway."
  value       = aws_api_gateway_rest_api.this.id
}

output "lake" {
  description = "The lake, as MILLRACE_LAKE has it."
  value       = "s3://${aws_s3_bucket.lake.id}"
}

output "state_machine_arn" {
  description = "The state machine whose executions are the runs."
  value       = aws_sfn_state_machine.pipeline.arn
}

output "functions" {
  description = "The functions' names in Lambda, by function."
  value       = { for name, function in aws_lambda_function.this : name => function.function_name }
}

output "schedules" {
  description = "The schedules' names in Scheduler, <group>/<pipeline>, by pipeline."
  value       = { for pipeline, schedule in aws_scheduler_schedule.pipeline : pipeline => "${schedule.group_name}/${schedule.name}" }
}

output "secrets" {
  description = "The secrets that want a value, with what each holds."
  value       = local.secret_descriptions
}

output "usage_keys" {
  description = "The metered consumers' usage keys, which identify for metering and are no credentials."
  value       = { for consumer, key in aws_api_gateway_api_key.consumer : consumer => key.value }
  sensitive   = true
}
