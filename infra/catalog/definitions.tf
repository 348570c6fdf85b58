# The only place that decodes YAML: list the files, decode, one map per kind. Whether a definition is sound is for
# `millrace check` to say; what is read here is only what the cloud's resources need to know.
locals {
  files = {
    for kind in ["connection", "pipeline", "endpoint"] : kind => {
      for file in fileset("${var.root}/${kind}s", "*.yaml") : trimsuffix(file, ".yaml") => "${var.root}/${kind}s/${file}"
    }
  }

  connections = { for name, file in local.files.connection : name => yamldecode(file(file)) }
  pipelines   = { for name, file in local.files.pipeline : name => yamldecode(file(file)) }
  endpoints   = { for name, file in local.files.endpoint : name => yamldecode(file(file)) }

  # Key in the lake => file. The steps read the definitions there, as they are written here.
  definitions = merge(
    { for file in fileset("${var.root}/models", "*.sql") : "definitions/models/${file}" => "${var.root}/models/${file}" },
    [for kind, files in local.files : { for name, file in files : "definitions/${kind}s/${name}.yaml" => file }]...
  )
}
