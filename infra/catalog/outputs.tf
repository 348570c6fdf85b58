output "openapi" {
  description = "API Gateway's OpenAPI document, as a value."
  value       = local.openapi

  precondition {
    condition     = length(local.claimed_twice) == 0
    error_message = "More than one definition claims ${join(", ", local.claimed_twice)}: give each route a path of its own; /docs, /exports, /openapi.json, /pipelines and /runs are Millrace's."
  }

  precondition {
    condition     = length(local.named_twice) == 0
    error_message = "API Gateway has one name for a parameter at one place of the path; here are several: ${join(", ", local.named_twice)}. Give them the same name."
  }
}

output "definitions" {
  description = "The definitions to put into the lake: key => file."
  value       = local.definitions
}

output "schedules" {
  description = "When pipelines run by themselves: pipeline => description, expression, timezone."
  value       = local.schedules
}

output "secrets" {
  description = "Names of the secrets that the definitions name, by the function that reads them."
  value       = local.secrets
}

output "written_secrets" {
  description = "Names of the secrets that ingest writes back: those of connections with a refresh token."
  value       = local.written_secrets
}

output "quotas" {
  description = "Whether a route has a quota: serve keeps count of it in the lake."
  value       = length([for route in local.routes : route if route.quota != null]) > 0
}

output "exports" {
  description = "The functions that are notified of answers to be written as files: function => the datasource that it reads."
  value       = local.exports
}

output "noting" {
  description = "The functions that are notified to note what their routes answer, for the contract: function => the datasource that it reads."
  value       = local.noting
}

output "functions" {
  description = "The functions: description, memory, timeout, which value each environment variable gets."
  value       = local.functions
}

output "unites" {
  description = "Whether a route unites recent rows of the store and older ones of the lake: the function over the lake knows the store's reader then."
  value       = local.unites
}

output "publishes_to_redis" {
  description = "Whether a pipeline publishes to Redis: publish and the task know its owner then."
  value       = local.publishes_to_redis
}

output "tasks" {
  description = "The tasks: description, the steps they run, which value each environment variable gets."
  value       = local.tasks
}

output "alarms" {
  description = "The alarms: namespace, metric, and what it is about."
  value       = local.alarms
}

output "log_alarms" {
  description = "The alarms that functions tell of in their logs: by name, which function, and what it means."
  value       = local.log_alarms
}
