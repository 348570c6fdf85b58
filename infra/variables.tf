variable "name" {
  description = "Name of this deployment: what its functions, roles and log groups start with. Two deployments in one account and Region need two names."
  type        = string
  default     = "millrace"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,23}$", var.name))
    error_message = "A deployment's name has 2 to 24 of a-z, 0-9 and -, a letter first."
  }
}

variable "tags" {
  description = "Tags of every resource, beside `application` and `deployment`."
  type        = map(string)
  default     = {}
}

# What is deployed

variable "definitions_dir" {
  description = "Folder that holds connections/, pipelines/ and endpoints/. Null for the repository's own."
  type        = string
  default     = null
}

variable "functions_dir" {
  description = "Folder that holds <function>/bootstrap.zip for each function. Null for what `make build` makes in target/lambda/."
  type        = string
  default     = null
}

variable "architecture" {
  description = "What the functions and the task are compiled for: arm64 or x86_64."
  type        = string
  default     = "arm64"

  validation {
    condition     = contains(["arm64", "x86_64"], var.architecture)
    error_message = "The architecture is arm64 or x86_64."
  }
}

variable "task_image" {
  description = "The task's image, by digest or by a tag that never moves: 111122223333.dkr.ecr.eu-central-1.amazonaws.com/millrace-task@sha256:…"
  type        = string

  validation {
    condition     = can(regex("^[^\\s]+[:@][^\\s/]+$", var.task_image))
    error_message = "An image is named with its tag or digest: <registry>/<repository>:<tag> or <registry>/<repository>@sha256:<digest>."
  }
}

variable "task_size" {
  description = "The task's CPU units and memory in MiB, in one of Fargate's combinations."
  type        = object({ cpu = number, memory_mb = number })
  default     = { cpu = 1024, memory_mb = 2048 }

  validation {
    condition     = contains([256, 512, 1024, 2048, 4096, 8192, 16384], var.task_size.cpu)
    error_message = "Fargate has 256, 512, 1024, 2048, 4096, 8192 or 16384 CPU units."
  }
}

variable "functions" {
  description = "Settings of single functions that differ from the catalogue's, by function: memory, timeout, reserved concurrency, and environment variables beside its own."
  type = map(object({
    memory_mb            = optional(number)
    timeout_seconds      = optional(number)
    reserved_concurrency = optional(number)
    environment          = optional(map(string), {})
  }))
  default = {}

  validation {
    condition     = alltrue([for name in keys(var.functions) : contains(["trigger", "ingest", "transform", "refine", "publish", "serve", "serve-lake", "serve-redis"], name)])
    error_message = "The functions are trigger, ingest, transform, refine, publish, serve, serve-lake and serve-redis."
  }
}

variable "environment" {
  description = "Environment variables of all functions and of the task, beside their own; RUST_LOG=debug, say. No secrets: they would be in Terraform's state."
  type        = map(string)
  default     = {}
}

variable "network" {
  description = "Subnets and security groups of what reaches the operational store and Redis (publish, serve, serve-redis, serve-lake where a route unites the store with the lake, the task). They need a way to S3, Secrets Manager, Step Functions, CloudWatch Logs and, for the task, to the sources. Null: the functions stand outside any VPC, and the task in the account's default subnets, with a public address and nothing that listens."
  type = object({
    subnet_ids         = list(string)
    security_group_ids = list(string)
    assign_public_ip   = optional(bool, false)
  })
  default = null

  validation {
    condition     = var.network == null || try(length(var.network.subnet_ids) > 0 && length(var.network.security_group_ids) > 0, false)
    error_message = "A network has at least one subnet and one security group."
  }
}

# The lake

variable "lake_bucket" {
  description = "The lake's bucket. Null for <name>-lake-<account>-<region>."
  type        = string
  default     = null
}

variable "lake_force_destroy" {
  description = "Whether `terraform destroy` deletes the lake with all that is in it. Leave it false where the data matters."
  type        = bool
  default     = false
}

variable "lake_noncurrent_days" {
  description = "After how many days replaced and deleted versions of objects go for good, and uploads that nobody finished. Null keeps them for ever."
  type        = number
  default     = 30

  validation {
    condition     = var.lake_noncurrent_days == null || try(var.lake_noncurrent_days >= 1, false)
    error_message = "At least a day, or null."
  }
}

variable "lake_tls_only" {
  description = "Whether the bucket refuses requests without TLS. False only where S3's endpoint has none, as an S3-compatible one on a laptop."
  type        = bool
  default     = true
}

variable "s3_use_path_style" {
  description = "Whether buckets stand in the path of S3's URLs and not in the host name, as S3-compatible endpoints want it."
  type        = bool
  default     = false
}

# Secrets

variable "secret_names" {
  description = "Names of Millrace's own secrets: the operational store's owner and reader, the control API's keys, what cursors over the lake are sealed with, and Redis's owner and reader."
  type = object({
    store_owner  = optional(string)
    store_reader = optional(string)
    operators    = optional(string)
    seal         = optional(string)
    redis_owner  = optional(string)
    redis_reader = optional(string)
  })
  default = {}
}

variable "existing_secrets" {
  description = "Secrets that exist already and are not Terraform's to make or to delete."
  type        = set(string)
  default     = []
}

variable "secret_recovery_days" {
  description = "For how many days a deleted secret can be had back: 7 to 30, or 0 for not at all, so that its name is free at once."
  type        = number
  default     = 30

  validation {
    condition     = var.secret_recovery_days == 0 || (var.secret_recovery_days >= 7 && var.secret_recovery_days <= 30)
    error_message = "Secrets Manager takes 0, or 7 to 30 days."
  }
}

# Schedules

variable "schedules_enabled" {
  description = "Whether the schedules fire. False for a deployment where runs are started by hand only."
  type        = bool
  default     = true
}

# The API

variable "api_stage" {
  description = "The API's stage, which is the first segment of its URLs."
  type        = string
  default     = "v1"

  validation {
    condition     = can(regex("^[A-Za-z0-9_]{1,128}$", var.api_stage))
    error_message = "A stage's name has letters, digits and underscores only."
  }
}

variable "api_throttle" {
  description = "The most requests a second that the API takes from all callers together, and how many may come at once."
  type        = object({ rate = number, burst = number })
  default     = { rate = 100, burst = 200 }
}

variable "metered_consumers" {
  description = "Consumers whose requests are counted and limited, with a description each. Where there are any, every request to an endpoint carries a usage key in x-api-key, which identifies for metering and is not a credential: API Gateway's own keys are readable in Terraform's state. Who may ask is decided by the keys in Secrets Manager, which are never in the state."
  type        = map(string)
  default     = {}
}

variable "usage_plan" {
  description = "What each metered consumer may use: requests a second, requests at once, requests a day."
  type        = object({ rate = number, burst = number, quota_per_day = number })
  default     = { rate = 20, burst = 40, quota_per_day = 100000 }
}

variable "api_gateway_account_role" {
  description = "Whether to set the role with which API Gateway writes access logs. AWS has one such setting per account and Region: false where it is set already."
  type        = bool
  default     = true
}

# Watching

variable "log_retention_days" {
  description = "For how many days logs are kept, in one of the periods that CloudWatch Logs has."
  type        = number
  default     = 30

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "CloudWatch Logs keeps for 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288 or 3653 days."
  }
}

variable "alarm_topic_arn" {
  description = "SNS topic that alarms go to. Null: they are seen in CloudWatch only."
  type        = string
  default     = null
}
