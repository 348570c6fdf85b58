# The gateway's OpenAPI document: routes, parameters, validation, integrations. The consumers' document, with the types
# of answers and examples, is the one that serve answers under /openapi.json.
locals {
  routes = flatten([
    for name, endpoint in local.endpoints : [
      for path, route in endpoint.routes : {
        path        = path
        description = try(endpoint.metadata.description, "")
        tag         = name
        methods     = [for method in coalesce(try(route.methods, null), ["GET"]) : lower(method)]
        params      = try(route.params, [])
        sort        = coalesce(try(route.sort, null), [])
        fields      = coalesce(try(route.fields, null), [])
        auth        = try(route.auth, null)
        quota       = try(route.quota, null)
        # One function a datasource, each with only what it needs linked in; of two that a route unites, that of the older
        # rows, which has both.
        function = lookup({ lake = "serve-lake", redis = "serve-redis" }, try(coalesce(route.older, route.datasource), route.datasource, ""), "serve")
        unites   = try(route.older, null) != null
        export   = coalesce(try(route.export, null), false)
      }
    ]
  ])

  # Millrace's types => OpenAPI's. The gateway checks only that a required parameter is there; a value of the wrong type
  # goes on to serve, whose 400 names the parameter and what it should be.
  param_types = {
    int       = { type = "integer", format = "int64" }
    double    = { type = "number", format = "double" }
    decimal   = { type = "number" }
    bool      = { type = "boolean" }
    string    = { type = "string" }
    date      = { type = "string", format = "date" }
    timestamp = { type = "string", format = "date-time" }
    uuid      = { type = "string", format = "uuid" }
  }

  # The functions of which callers may have whole answers as files, and the datasource that each reads.
  exports = {
    for function, datasource in { serve = "operational_store", serve-lake = "lake" } : function => datasource
    if anytrue([for route in local.routes : route.export && route.function == function])
  }

  # The functions that note what their routes answer, and the datasource that each reads: serve answers for the contract of
  # all routes, and knows the columns of its own alone.
  noting = {
    for function, datasource in { serve-lake = "lake", serve-redis = "redis" } : function => datasource
    if contains([for route in local.routes : route.function], function)
  }

  # How every endpoint's route pages.
  paging = [
    { name = "limit", in = "query", required = false, schema = { type = "integer", format = "int64" } },
    { name = "cursor", in = "query", required = false, schema = { type = "string" } },
  ]

  # What a caller may choose where the route says so.
  choices = {
    sort   = { name = "sort", in = "query", required = false, schema = { type = "string" } }
    fields = { name = "fields", in = "query", required = false, schema = { type = "string" } }
  }

  prefer = { name = "Prefer", in = "header", required = false, schema = { type = "string" } }

  endpoint_operations = flatten([
    for route in local.routes : [for method in route.methods : {
      path    = route.path
      methods = [method]
      operation = {
        summary = route.description
        tags    = [route.tag]
        parameters = concat(
          [
            for param in route.params : {
              name     = param.name
              in       = strcontains(route.path, "{${param.name}}") ? "path" : "query"
              required = strcontains(route.path, "{${param.name}}") || coalesce(try(param.required, null), false)
              schema   = local.param_types[param.type]
            }
            # What a claim says, no request does; what a POST says stands in its body.
            if try(param.claim, null) == null && (method == "get" || strcontains(route.path, "{${param.name}}"))
          ],
          [for param in local.paging : param if method == "get" && !contains(route.params[*].name, param.name)],
          [for name, param in local.choices : param if method == "get" && length(route[name]) > 0],
          [for param in [local.prefer] : param if route.export],
        )
        function = route.function
        # A usage plan's key says whom to count a request for. It is no credential: who may ask is decided by serve.
        metered = var.metered
      }
    }]
  ])

  path_params = { for name in ["name", "run", "export"] : name => { name = name, in = "path", required = true, schema = { type = "string" } } }

  export_operations = length(local.exports) > 0 ? [
    { path = "/exports/{export}", methods = ["get"], summary = "How far an export is, and where its files are", tag = "exports", parameters = [local.path_params.export], function = "serve" },
  ] : []

  own_operations = [
    for operation in concat(local.export_operations, [
      { path = "/openapi.json", methods = ["get"], summary = "The API's OpenAPI document", tag = "docs", parameters = [], function = "serve" },
      { path = "/docs", methods = ["get"], summary = "The API's documentation, to read and to try", tag = "docs", parameters = [], function = "serve" },
      { path = "/pipelines", methods = ["get"], summary = "The pipelines", tag = "control", parameters = [], function = "trigger" },
      {
        path = "/pipelines/{name}/runs", methods = ["post"], summary = "Start a run", tag = "control", function = "trigger"
        parameters = [
          local.path_params.name,
          { name = "Idempotency-Key", in = "header", required = false, schema = { type = "string" } },
        ]
      },
      {
        path = "/runs", methods = ["get"], summary = "The runs, newest first", tag = "control", function = "trigger"
        parameters = [
          { name = "pipeline", in = "query", required = false, schema = { type = "string" } },
          { name = "status", in = "query", required = false, schema = { type = "string" } },
          { name = "limit", in = "query", required = false, schema = { type = "integer", format = "int64" } },
          { name = "cursor", in = "query", required = false, schema = { type = "string" } },
        ]
      },
      { path = "/runs/{run}", methods = ["get"], summary = "One run", tag = "control", parameters = [local.path_params.run], function = "trigger" },
      { path = "/runs/{run}/cancel", methods = ["post"], summary = "Cancel a run", tag = "control", parameters = [local.path_params.run], function = "trigger" },
    ]) :
    {
      path    = operation.path
      methods = operation.methods
      operation = {
        summary    = operation.summary
        tags       = [operation.tag]
        parameters = operation.parameters
        function   = operation.function
        metered    = false
      }
    }
  ]

  operations = concat(local.own_operations, local.endpoint_operations)

  # Paths that more than one definition claims: only one of them could win, so none does (see the output).
  claims        = flatten([for entry in local.operations : [for method in entry.methods : "${upper(method)} ${entry.path}"]])
  claimed_twice = distinct([for claim in local.claims : claim if length([for other in local.claims : other if other == claim]) > 1])

  # API Gateway has one name for what stands in braces at one place, whatever follows: /a/{id} and /a/{name}/b don't go.
  placeholders = flatten([
    for path in distinct(local.operations[*].path) : [
      for position, segment in split("/", path) : { at = join("/", slice(split("/", path), 0, position)), name = segment }
      if startswith(segment, "{")
    ]
  ])
  named_twice = distinct([
    for place in local.placeholders : "${place.at}/${place.name}"
    if length(distinct([for other in local.placeholders : other.name if other.at == place.at])) > 1
  ])

  paths = {
    for path in distinct(local.operations[*].path) : path => merge([
      for entry in local.operations : {
        for method in entry.methods : method => merge(
          {
            summary    = entry.operation.summary
            tags       = entry.operation.tags
            parameters = entry.operation.parameters
            responses  = { default = { description = "The answer: data, and what went wrong" } }
            x-amazon-apigateway-integration = {
              type                = "aws_proxy"
              httpMethod          = "POST" # how Lambda is invoked, whatever the route's method
              uri                 = var.invoke_uris[entry.operation.function]
              passthroughBehavior = "when_no_match"
              timeoutInMillis     = 29000 # the most that a Regional API has without asking AWS for more
            }
          },
          entry.operation.metered ? { security = [{ meter = [] }] } : {},
        )
      } if entry.path == path
    ]...)
  }

  # What the gateway itself answers, by its response type. `status` is null where the type covers several.
  gateway_problems = {
    BAD_REQUEST_PARAMETERS = { status = 400, title = "Bad request", detail = "$context.error.message" }
    BAD_REQUEST_BODY       = { status = 400, title = "Bad request", detail = "The body cannot be read as what the route takes." }
    UNAUTHORIZED           = { status = 401, title = "Unauthorized", detail = "The request does not say who sends it." }
    ACCESS_DENIED          = { status = 403, title = "Forbidden", detail = "The caller may not do this." }
    INVALID_API_KEY        = { status = 403, title = "Forbidden", detail = "This API counts requests by key: send a usage key in the header x-api-key." }
    WAF_FILTERED           = { status = 403, title = "Forbidden", detail = "The firewall refused the request." }
    # The gateway answers 403 and asks for a token where there is no such route, and complains of the signature where
    # such a request carries an Authorization header. No route here is signed, so both mean the same.
    MISSING_AUTHENTICATION_TOKEN = { status = 404, title = "Not found", detail = "There is no such route. The routes stand under /docs." }
    INVALID_SIGNATURE            = { status = 404, title = "Not found", detail = "There is no such route. The routes stand under /docs." }
    RESOURCE_NOT_FOUND           = { status = 404, title = "Not found", detail = "There is no such route. The routes stand under /docs." }
    REQUEST_TOO_LARGE            = { status = 413, title = "Request too large", detail = "The request is larger than the API takes." }
    UNSUPPORTED_MEDIA_TYPE       = { status = 415, title = "Unsupported media type", detail = "The route does not take this content type." }
    THROTTLED                    = { status = 429, title = "Too many requests", detail = "More requests came than the API takes. Try again shortly." }
    QUOTA_EXCEEDED               = { status = 429, title = "Quota exceeded", detail = "The usage key's quota is used up." }
    API_CONFIGURATION_ERROR      = { status = 500, title = "Internal error", detail = "The API is not configured as it should be." }
    INTEGRATION_FAILURE          = { status = 502, title = "Bad gateway", detail = "The function behind the route failed. Its log says why." }
    INTEGRATION_TIMEOUT          = { status = 504, title = "Gateway timeout", detail = "The answer took longer than 29 s." }
    DEFAULT_4XX                  = { status = null, title = "Bad request", detail = "The gateway refused the request." }
    DEFAULT_5XX                  = { status = null, title = "Internal error", detail = "The gateway failed." }
  }

  gateway_responses = {
    for type, problem in local.gateway_problems : type => merge(
      {
        responseParameters = { "gatewayresponse.header.Content-Type" = "'application/json'" }
        responseTemplates = {
          "application/json" = jsonencode({
            data = []
            error = [merge(
              { type = "about:blank", title = problem.title, detail = problem.detail },
              problem.status == null ? {} : { status = problem.status },
            )]
          })
        }
      },
      problem.status == null ? {} : { statusCode = tostring(problem.status) },
    )
  }

  openapi = merge(
    {
      openapi                                = "3.0.1"
      info                                   = { title = var.title, version = "1" }
      paths                                  = local.paths
      x-amazon-apigateway-request-validators = { parameters = { validateRequestParameters = true, validateRequestBody = false } }
      x-amazon-apigateway-request-validator  = "parameters"
      x-amazon-apigateway-gateway-responses  = local.gateway_responses
      # Answers of these types come from functions as Base64, and leave the gateway as they are.
      x-amazon-apigateway-binary-media-types = ["application/vnd.apache.arrow.stream", "application/vnd.apache.parquet"]
    },
    var.metered ? {
      components = { securitySchemes = { meter = { type = "apiKey", name = "x-api-key", in = "header" } } }
    } : {},
  )
}
