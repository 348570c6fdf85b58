data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}

# What the definitions ask for, as plain values.
module "catalog" {
  source = "./catalog"

  root  = coalesce(var.definitions_dir, "${path.module}/..")
  title = var.name
  invoke_uris = {
    for name in local.answering :
    name => "arn:${local.partition}:apigateway:${local.region}:lambda:path/2015-03-31/functions/${local.function_arns[name]}/invocations"
  }
  metered = length(var.metered_consumers) > 0
}

# Names and ARNs are written down once, here, and not read from the resources: so the plan shows the API's document, the
# policies and the state machine in full, and the trigger function and the state machine can name one another.
locals {
  # The functions that API Gateway asks.
  answering = setintersection(["serve", "serve-lake", "serve-redis", "trigger"], keys(module.catalog.functions))

  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  # `id`, which both majors of the provider have.
  region = data.aws_region.current.id

  functions_dir = coalesce(var.functions_dir, "${path.module}/../target/lambda")

  function_arns = {
    for name in keys(module.catalog.functions) : name => "arn:${local.partition}:lambda:${local.region}:${local.account}:function:${var.name}-${name}"
  }

  state_machine_name = "${var.name}-pipeline"
  state_machine_arn  = "arn:${local.partition}:states:${local.region}:${local.account}:stateMachine:${local.state_machine_name}"
  execution_arns     = "arn:${local.partition}:states:${local.region}:${local.account}:execution:${local.state_machine_name}:*"

  lake_bucket = coalesce(var.lake_bucket, "${var.name}-lake-${local.account}-${local.region}")
  lake_arn    = "arn:${local.partition}:s3:::${local.lake_bucket}"

  # What the catalogue's `environment` names.
  values = {
    lake                = "s3://${local.lake_bucket}"
    state_machine_arn   = local.state_machine_arn
    operators_secret    = local.own_secrets.operators
    store_owner_secret  = local.own_secrets.store_owner
    store_reader_secret = local.own_secrets.store_reader
    seal_secret         = local.own_secrets.seal
    redis_owner_secret  = local.own_secrets.redis_owner
    redis_reader_secret = local.own_secrets.redis_reader
    # The rest of its disk is for the log of what it does, and for Lambda.
    refine_spill_mib = tostring(module.catalog.functions.refine.disk_mb - 256)
  }
}
