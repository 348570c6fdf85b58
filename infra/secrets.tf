locals {
  own_secrets = {
    store_owner  = coalesce(var.secret_names.store_owner, "${var.name}/store/owner")
    store_reader = coalesce(var.secret_names.store_reader, "${var.name}/store/reader")
    operators    = coalesce(var.secret_names.operators, "${var.name}/operators")
    seal         = coalesce(var.secret_names.seal, "${var.name}/serve/seal")
    redis_owner  = coalesce(var.secret_names.redis_owner, "${var.name}/redis/owner")
    redis_reader = coalesce(var.secret_names.redis_reader, "${var.name}/redis/reader")
  }

  secret_descriptions = merge(
    { for name in module.catalog.secrets.ingest : name => "Credential of a connection" },
    { for name in module.catalog.secrets.serve : name => "Keys of consumers: JSON, consumer to key" },
    {
      (local.own_secrets.store_owner)  = "Operational store, owner: JSON with host, port, dbname, username, password, sslmode"
      (local.own_secrets.store_reader) = "Operational store, reader: JSON with host, port, dbname, username, password, sslmode"
      (local.own_secrets.operators)    = "Keys of the control API: JSON, caller to key"
    },
    contains(keys(module.catalog.functions), "serve-lake") ? {
      (local.own_secrets.seal) = "What cursors over the lake are sealed with: a long random text"
    } : {},
    module.catalog.publishes_to_redis ? {
      (local.own_secrets.redis_owner) = "Redis, owner: JSON with host, port, username, password, tls"
    } : {},
    contains(keys(module.catalog.functions), "serve-redis") ? {
      (local.own_secrets.redis_reader) = "Redis, reader: JSON with host, port, username, password, tls"
    } : {},
  )

  # Secrets Manager puts a dash and six characters behind a secret's name in its ARN.
  secret_arns = {
    for name in keys(local.secret_descriptions) : name => "arn:${local.partition}:secretsmanager:${local.region}:${local.account}:secret:${name}-??????"
  }
}

# The containers only. Values are put from outside (see README.md), so that they are never in Terraform's state.
resource "aws_secretsmanager_secret" "this" {
  for_each = { for name, description in local.secret_descriptions : name => description if !contains(var.existing_secrets, name) }

  name                    = each.key
  description             = each.value
  recovery_window_in_days = var.secret_recovery_days
}
