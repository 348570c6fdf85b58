locals {
  # `aws::secret/NAME` and `aws::secret/NAME#field`, wherever they stand under `auth`: the forms of `auth` may grow
  # without a change here.
  secret_reference = "aws::secret/([A-Za-z0-9/_+=.@-]+)"

  secrets = {
    # The credentials of the systems that data is pulled from.
    ingest = toset(flatten([
      [for connection in local.connections : regexall(local.secret_reference, jsonencode(try(connection.auth, null)))],
      # The keys by which personal data is hashed.
      [
        for resource in flatten([for pipeline in local.pipelines : try(pipeline.resources, [])]) :
        regexall(local.secret_reference, jsonencode(try(resource.personal_data.key, null)))
      ],
    ]))
    # The keys of those who may read the endpoints.
    serve = toset(flatten([
      for route in local.routes : regexall(local.secret_reference, jsonencode(route.auth))
    ]))
  }

  # A refresh token that is good for one use is written back: the next one stands in its place.
  written_secrets = toset(flatten([
    for connection in local.connections : [
      for credential in concat([try(connection.auth, null)], try(connection.auth.in_turn, [])) :
      regexall(local.secret_reference, jsonencode(try(credential.oauth2_refresh_token.secret, null)))
    ]
  ]))
}
