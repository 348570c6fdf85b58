locals {
  # Nobody pays for, or waits on the deployment of, a function that no route is sent to.
  optional_functions = ["serve-lake", "serve-redis"]
  functions = {
    for name, function in local.all_functions : name => function
    if !contains(local.optional_functions, name) || contains([for route in local.routes : route.function], name)
  }

  # Only then is there a Redis to know of.
  publishes_to_redis = anytrue(flatten([
    for pipeline in local.pipelines : try([for publish in pipeline.publish : try(publish.to, null) == "redis"], [])
  ]))
  owned_redis = local.publishes_to_redis ? { MILLRACE_REDIS_SECRET = "redis_owner_secret" } : {}

  # Only then does the function over the lake know of the operational store.
  unites = anytrue([for route in local.routes : route.unites])

  # One entry a function: its name is its folder's, its binary's and its Lambda's. `environment` says which value each
  # variable gets; the values themselves are known where the resources are.
  all_functions = {
    trigger = {
      description = "Starts runs, conducts them, answers the control API"
      memory_mb   = 256
      # API Gateway waits 29 s; a plan or a record asked for by the state machine may take longer.
      timeout_seconds  = 60
      reaches_database = false
      environment = {
        MILLRACE_LAKE              = "lake"
        MILLRACE_STATE_MACHINE_ARN = "state_machine_arn"
        MILLRACE_OPERATORS_SECRET  = "operators_secret"
      }
    }
    ingest = {
      description = "REST to raw"
      memory_mb   = 512
      # As long as Lambda allows: the step leaves a checkpoint before its deadline and goes on from it.
      timeout_seconds  = 900
      reaches_database = false
      environment      = { MILLRACE_LAKE = "lake" }
    }
    transform = {
      description      = "Raw to Delta"
      memory_mb        = 2048
      timeout_seconds  = 900
      reaches_database = false
      environment      = { MILLRACE_LAKE = "lake" }
    }
    refine = {
      description = "Delta to Delta, by SQL"
      # Half of it is a query's; what does not fit goes to the disk.
      memory_mb        = 2048
      disk_mb          = 4096
      timeout_seconds  = 900
      reaches_database = false
      environment = {
        MILLRACE_LAKE            = "lake"
        MILLRACE_QUERY_SPILL_MIB = "refine_spill_mib"
      }
    }
    publish = {
      description      = "Delta to the operational store and Redis"
      memory_mb        = 1024
      timeout_seconds  = 900
      reaches_database = true
      environment = merge(local.owned_redis, {
        MILLRACE_LAKE         = "lake"
        MILLRACE_STORE_SECRET = "store_owner_secret"
      })
    }
    serve = {
      description = "Answers the endpoints' routes"
      # CPU comes with memory, and cold starts and TLS want CPU.
      memory_mb = 512
      # A second behind API Gateway's own 29, so that a query stopped at its time limit still gets its answer out; whole
      # answers as files take as long as Lambda allows.
      timeout_seconds  = can(local.exports.serve) ? 900 : 30
      reaches_database = true
      environment = {
        MILLRACE_LAKE         = "lake"
        MILLRACE_STORE_SECRET = "store_reader_secret"
      }
    }
    serve-lake = {
      description = "Answers the endpoints' routes that read the lake"
      # A whole core comes with it. Half is for queries and for rows that are asked again and again.
      memory_mb        = 1769
      timeout_seconds  = can(local.exports.serve-lake) ? 900 : 30
      reaches_database = local.unites
      environment = merge(
        {
          MILLRACE_LAKE        = "lake"
          MILLRACE_SEAL_SECRET = "seal_secret"
        },
        local.unites ? { MILLRACE_STORE_SECRET = "store_reader_secret" } : {},
      )
    }
    serve-redis = {
      description = "Answers the endpoints' routes that look rows up in Redis"
      # CPU comes with memory, and cold starts and TLS want CPU.
      memory_mb        = 512
      timeout_seconds  = 30
      reaches_database = true
      environment = {
        MILLRACE_LAKE         = "lake"
        MILLRACE_REDIS_SECRET = "redis_reader_secret"
      }
    }
  }

  # The same steps without a deadline.
  tasks = {
    task = {
      description = "A step that would outlive a Lambda"
      steps       = ["ingest", "transform", "refine", "publish"]
      environment = merge(local.owned_redis, {
        MILLRACE_LAKE         = "lake"
        MILLRACE_STORE_SECRET = "store_owner_secret"
      })
    }
  }
}
