# What the catalogue makes of the definitions. No provider, no AWS.

variables {
  root  = "tests/fixtures/plain"
  title = "millrace"
  invoke_uris = {
    serve   = "arn:serve"
    trigger = "arn:trigger"
  }
}

run "plain" {
  command = apply # the next run compares with it

  assert {
    condition = keys(output.openapi.paths) == [
      "/docs", "/openapi.json", "/pipelines", "/pipelines/{name}/runs", "/quakes", "/quakes/{id}", "/runs", "/runs/{run}", "/runs/{run}/cancel",
    ]
    error_message = "The routes are the endpoints', the documents' and the control API's."
  }

  assert {
    condition = {
      for path, item in output.openapi.paths : path => {
        for method, operation in item : method => operation.x-amazon-apigateway-integration.uri
      }
      } == {
      "/docs"                  = { get = "arn:serve" }
      "/openapi.json"          = { get = "arn:serve" }
      "/pipelines"             = { get = "arn:trigger" }
      "/pipelines/{name}/runs" = { post = "arn:trigger" }
      "/quakes"                = { get = "arn:serve" }
      "/quakes/{id}"           = { get = "arn:serve" }
      "/runs"                  = { get = "arn:trigger" }
      "/runs/{run}"            = { get = "arn:trigger" }
      "/runs/{run}/cancel"     = { post = "arn:trigger" }
    }
    error_message = "Each route goes to the function that answers it."
  }

  assert {
    condition = alltrue(flatten([
      for item in output.openapi.paths : [
        for operation in item : operation.x-amazon-apigateway-integration.type == "aws_proxy" && operation.x-amazon-apigateway-integration.httpMethod == "POST"
      ]
    ]))
    error_message = "Lambda is invoked with POST, as a proxy, whatever the route's method."
  }

  assert {
    condition = {
      for param in output.openapi.paths["/quakes"].get.parameters : param.name => "${param.in} ${param.required} ${param.schema.type}"
      } == {
      min_magnitude = "query false number"
      felt          = "query true boolean"
      limit         = "query false integer"
      cursor        = "query false string"
    }
    error_message = "A route's parameters are those of its definition and those of paging."
  }

  assert {
    condition     = [for param in output.openapi.paths["/quakes/{id}"].get.parameters : "${param.in} ${param.required}" if param.name == "id"] == ["path true"]
    error_message = "A parameter in the path is required, whatever its definition says."
  }

  assert {
    condition     = output.openapi.x-amazon-apigateway-request-validators[output.openapi.x-amazon-apigateway-request-validator].validateRequestParameters
    error_message = "The gateway checks that required parameters are there."
  }

  assert {
    condition     = !can(output.openapi.components) && alltrue(flatten([for item in output.openapi.paths : [for operation in item : !can(operation.security)]]))
    error_message = "Without metering no route demands a usage key."
  }

  assert {
    condition = output.schedules == {
      customers   = { description = "", expression = "cron(0 6 * * ? *)", timezone = "Europe/Berlin" }
      earthquakes = { description = "Every earthquake that the USGS reports, corrected when the report is.", expression = "rate(1 hour)", timezone = "UTC" }
    }
    error_message = "A schedule is an expression, or one with its time zone; orders has none."
  }

  assert {
    condition     = output.secrets.ingest == toset(["sales/crm", "sales/people", "sales/shop", "sales/shop_app"]) && output.secrets.serve == toset(["millrace/consumers"])
    error_message = "Secrets are named without their field, by who reads them; comments name none."
  }

  assert {
    condition     = output.written_secrets == toset(["sales/shop_app"])
    error_message = "Only a secret that holds a refresh token is written."
  }

  assert {
    condition = keys(output.definitions) == [
      "definitions/connections/crm.yaml", "definitions/connections/open_meteo.yaml", "definitions/connections/shop.yaml", "definitions/connections/usgs.yaml",
      "definitions/endpoints/quakes.yaml",
      "definitions/pipelines/customers.yaml", "definitions/pipelines/earthquakes.yaml", "definitions/pipelines/orders.yaml",
    ]
    error_message = "Every definition goes into the lake under its kind and name."
  }
}

run "gateway_responses" {
  command = plan

  assert {
    condition = alltrue([
      for type, response in output.openapi.x-amazon-apigateway-gateway-responses : alltrue([
        for body in [jsondecode(response.responseTemplates["application/json"])] :
        body.data == [] && length(body.error) == 1 && try(tostring(body.error[0].status), null) == try(response.statusCode, null)
        && join(" ", keys(body.error[0])) == (can(response.statusCode) ? "detail status title type" : "detail title type")
      ])
    ])
    error_message = "The gateway's own answers have the API's form, and say the status that they have."
  }

  assert {
    condition     = output.openapi.x-amazon-apigateway-gateway-responses.MISSING_AUTHENTICATION_TOKEN.statusCode == "404"
    error_message = "A route that is not there is a 404, which API Gateway would call 403."
  }
}

run "one_more_endpoint" {
  command = plan

  variables {
    root = "tests/fixtures/one-more-endpoint"
  }

  assert {
    condition     = setsubtract(keys(output.openapi.paths), keys(run.plain.openapi.paths)) == toset(["/exports/{export}", "/places"])
    error_message = "A new endpoint adds its route."
  }

  assert {
    condition = (
      jsonencode(merge(output.openapi, { paths = { for path, item in output.openapi.paths : path => item if !contains(["/exports/{export}", "/places"], path) } }))
      == jsonencode(run.plain.openapi)
    )
    error_message = "A new endpoint changes nothing else of the document."
  }

  assert {
    condition = (
      output.schedules == run.plain.schedules && output.functions.publish == run.plain.functions.publish && output.functions.serve.timeout_seconds == 900 && output.alarms == run.plain.alarms
      && output.secrets.ingest == run.plain.secrets.ingest
      && setsubtract(output.secrets.serve, run.plain.secrets.serve) == toset(["millrace/partners"])
      && setsubtract(keys(output.definitions), keys(run.plain.definitions)) == toset(["definitions/endpoints/places.yaml"])
    )
    error_message = "A new endpoint brings its file and its secret, and nothing else."
  }

  assert {
    condition     = output.quotas && !run.plain.quotas && output.exports == { serve = "operational_store" } && length(run.plain.exports) == 0
    error_message = "Quotas are kept count of, and answers written, where a route says so."
  }
}

run "metered" {
  command = plan

  variables {
    metered = true
  }

  assert {
    condition = (
      output.openapi.components.securitySchemes.meter.name == "x-api-key"
      && [for path, item in output.openapi.paths : path if anytrue([for operation in item : can(operation.security)])] == ["/quakes", "/quakes/{id}"]
    )
    error_message = "With metering the endpoints' routes demand a usage key, and no other."
  }
}

run "in_the_lake" {
  command = plan

  variables {
    root        = "tests/fixtures/in-the-lake"
    invoke_uris = { serve = "arn:serve", serve-lake = "arn:serve-lake", trigger = "arn:trigger" }
  }

  assert {
    condition = {
      for path in ["/quakes", "/reports"] : path => output.openapi.paths[path].get.x-amazon-apigateway-integration.uri
    } == { "/quakes" = "arn:serve", "/reports" = "arn:serve-lake" }
    error_message = "Each route goes to the function of its datasource."
  }

  assert {
    condition     = contains(keys(output.functions), "serve-lake") && output.functions.serve-lake.environment.MILLRACE_SEAL_SECRET == "seal_secret"
    error_message = "Where a route reads the lake, there is a function for it."
  }
}

run "united" {
  command = plan

  variables {
    root        = "tests/fixtures/united"
    invoke_uris = { serve = "arn:serve", serve-lake = "arn:serve-lake", trigger = "arn:trigger" }
  }

  assert {
    condition = {
      for path in ["/quakes", "/recent"] : path => output.openapi.paths[path].get.x-amazon-apigateway-integration.uri
    } == { "/quakes" = "arn:serve-lake", "/recent" = "arn:serve" }
    error_message = "What unites the store and the lake goes to the function that has both."
  }

  assert {
    condition = (
      output.unites && output.functions.serve-lake.reaches_database
      && output.functions.serve-lake.environment.MILLRACE_STORE_SECRET == "store_reader_secret"
    )
    error_message = "The function over the lake knows the store's reader where a route unites both."
  }

  assert {
    condition = (
      !run.in_the_lake.unites && !run.in_the_lake.functions.serve-lake.reaches_database
      && !contains(keys(run.in_the_lake.functions.serve-lake.environment), "MILLRACE_STORE_SECRET")
    )
    error_message = "Where no route does, it knows of no store."
  }
}

run "looked_up" {
  command = plan

  variables {
    root        = "tests/fixtures/looked-up"
    invoke_uris = { serve = "arn:serve", serve-redis = "arn:serve-redis", trigger = "arn:trigger" }
  }

  assert {
    condition = (
      output.openapi.paths["/quakes/{id}"].get.x-amazon-apigateway-integration.uri == "arn:serve-redis"
      && output.functions.serve-redis.environment.MILLRACE_REDIS_SECRET == "redis_reader_secret"
      && !contains(keys(output.functions), "serve-lake")
    )
    error_message = "Where a route looks rows up in Redis, there is a function for it."
  }

  assert {
    condition = alltrue([
      for of in [output.functions.publish, output.tasks.task] : of.environment.MILLRACE_REDIS_SECRET == "redis_owner_secret"
    ])
    error_message = "What publishes knows Redis's owner."
  }

  assert {
    condition     = !contains(keys(run.plain.functions.publish.environment), "MILLRACE_REDIS_SECRET") && !run.plain.publishes_to_redis
    error_message = "Where nothing goes to Redis, nobody is told of one."
  }
}

run "claimed_twice" {
  command = plan

  variables {
    root = "tests/fixtures/claimed-twice"
  }

  expect_failures = [output.openapi]
}

run "named_twice" {
  command = plan

  variables {
    root = "tests/fixtures/named-twice"
  }

  expect_failures = [output.openapi]
}

run "no_definitions" {
  command = plan

  variables {
    root = "tests/fixtures/none-here"
  }

  assert {
    condition     = length(output.openapi.paths) == 7 && output.schedules == {} && length(output.definitions) == 0
    error_message = "A repository without definitions still has its control API."
  }
}

run "shipped" {
  command = plan

  variables {
    root = "../.."
  }

  assert {
    condition     = length(output.definitions) > 0 && length(output.openapi.paths) > 7 && length(output.schedules) > 0
    error_message = "What the repository ships has an endpoint and a schedule, and the catalogue can read it."
  }
}
