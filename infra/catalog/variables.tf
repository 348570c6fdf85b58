variable "root" {
  description = "Folder that holds connections/, pipelines/ and endpoints/."
  type        = string
}

variable "title" {
  description = "Name of the API in its OpenAPI document."
  type        = string
}

variable "invoke_uris" {
  description = "Where API Gateway invokes the functions that answer HTTP: the URIs of `serve`, of `serve-lake` and `serve-redis` where a route reads the lake or Redis, and of `trigger`."
  type        = map(string)
}

variable "metered" {
  description = "Whether the endpoints' routes demand a usage plan's key, for metering."
  type        = bool
  default     = false
}
