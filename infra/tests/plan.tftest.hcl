# What would be made in AWS, without AWS: the plan with a mocked provider.

mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "111122223333" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_region" {
    defaults = { id = "eu-central-1" }
  }
  mock_data "aws_subnets" {
    defaults = { ids = ["subnet-b", "subnet-a"] }
  }
}

variables {
  definitions_dir = "catalog/tests/fixtures/plain"
  functions_dir   = "tests/fixtures/none-built"
  task_image      = "111122223333.dkr.ecr.eu-central-1.amazonaws.com/millrace-task@sha256:0000"
}

run "defaults" {
  command = plan

  assert {
    condition     = keys(aws_lambda_function.this) == ["ingest", "publish", "refine", "serve", "transform", "trigger"]
    error_message = "A function is a Lambda of its own name."
  }

  assert {
    condition = alltrue([
      for function in aws_lambda_function.this :
      function.runtime == "provided.al2023" && function.architectures == tolist(["arm64"]) && function.environment[0].variables.MILLRACE_LAKE == "s3://millrace-lake-111122223333-eu-central-1"
    ])
    error_message = "Functions are native binaries for arm64 and know the lake."
  }

  assert {
    condition = {
      for name, function in aws_lambda_function.this : name => try(function.environment[0].variables.MILLRACE_STORE_SECRET, null)
      } == {
      ingest    = null
      publish   = "millrace/store/owner"
      refine    = null
      serve     = "millrace/store/reader"
      transform = null
      trigger   = null
    }
    error_message = "publish owns the operational store, serve reads it, and nobody else knows it."
  }

  assert {
    condition     = keys(aws_secretsmanager_secret.this) == ["millrace/consumers", "millrace/operators", "millrace/store/owner", "millrace/store/reader", "sales/crm", "sales/people", "sales/shop", "sales/shop_app"]
    error_message = "Every secret that a definition or Millrace names has its container."
  }

  assert {
    condition     = keys(aws_scheduler_schedule.pipeline) == ["customers", "earthquakes"]
    error_message = "A pipeline with a schedule has one in Scheduler."
  }

  assert {
    condition     = aws_scheduler_schedule.pipeline["earthquakes"].target[0].input == "{\"pipeline\":\"earthquakes\",\"schedule\":\"<aws.scheduler.schedule-arn>\",\"scheduled_at\":\"<aws.scheduler.scheduled-time>\"}"
    error_message = "Scheduler's attributes stand in the input unescaped."
  }

  assert {
    condition     = aws_scheduler_schedule.pipeline["customers"].schedule_expression_timezone == "Europe/Berlin"
    error_message = "A schedule keeps its time zone."
  }

  assert {
    condition     = keys(aws_s3_object.definition) == keys(module.catalog.definitions) && length(aws_api_gateway_api_key.consumer) == 0
    error_message = "The definitions go into the lake; without metered consumers there are no usage keys."
  }

  assert {
    condition     = length(aws_s3_bucket_lifecycle_configuration.lake) == 1
    error_message = "Replaced versions go after a time."
  }

  assert {
    condition     = length(aws_s3_bucket_policy.lake) == 1
    error_message = "The lake refuses requests without TLS."
  }
}

run "alarms_of_logs" {
  command = plan

  assert {
    condition = (
      keys(aws_cloudwatch_log_metric_filter.alarm) == ["definition-broken"] &&
      aws_cloudwatch_log_metric_filter.alarm["definition-broken"].log_group_name == "/aws/lambda/millrace-serve" &&
      aws_cloudwatch_log_metric_filter.alarm["definition-broken"].pattern == "{ $.alarm = \"definition-broken\" }"
    )
    error_message = "What serve's log calls an alarm is counted."
  }

  assert {
    condition = (
      aws_cloudwatch_metric_alarm.this["definition-broken"].namespace == "Millrace/millrace" &&
      aws_cloudwatch_metric_alarm.this["definition-broken"].metric_name == "definition-broken" &&
      length(coalesce(aws_cloudwatch_metric_alarm.this["definition-broken"].dimensions, {})) == 0
    )
    error_message = "And the alarm of that name looks at the count."
  }
}

run "least_privilege" {
  command = plan

  assert {
    condition = alltrue(flatten([
      for policy in aws_iam_role_policy.function : [
        for statement in jsondecode(policy.policy).Statement : [
          for resource in statement.Resource : startswith(resource, "arn:aws:") && !endswith(resource, ":::*")
        ]
      ]
    ]))
    error_message = "Every statement of a function's role names what it is about."
  }

  assert {
    condition = alltrue(flatten([
      for policy in aws_iam_role_policy.function : [
        for statement in jsondecode(policy.policy).Statement : [for action in statement.Action : !strcontains(action, "*")]
      ]
    ]))
    error_message = "Every statement of a function's role names its actions one by one."
  }

  assert {
    condition = {
      for name, policy in aws_iam_role_policy.function : name => flatten([
        for statement in jsondecode(policy.policy).Statement : [for resource in statement.Resource : trimprefix(resource, "arn:aws:secretsmanager:eu-central-1:111122223333:secret:")]
        if statement.Sid == "ReadSecrets"
      ])
      } == {
      ingest    = ["sales/crm-??????", "sales/people-??????", "sales/shop-??????", "sales/shop_app-??????"]
      publish   = ["millrace/store/owner-??????"]
      refine    = []
      serve     = ["millrace/consumers-??????", "millrace/store/reader-??????"]
      transform = []
      trigger   = ["millrace/operators-??????"]
    }
    error_message = "A function reads the secrets that it needs, and no other."
  }

  assert {
    condition = flatten([
      for name, policy in aws_iam_role_policy.function : [
        for statement in jsondecode(policy.policy).Statement : [for resource in statement.Resource : "${name} ${trimprefix(resource, "arn:aws:secretsmanager:eu-central-1:111122223333:secret:")}"]
        if contains(statement.Action, "secretsmanager:PutSecretValue")
      ]
    ]) == ["ingest sales/shop_app-??????"]
    error_message = "Ingest writes the secrets that hold a refresh token, and nobody writes another one."
  }

  assert {
    condition = {
      for name, policy in aws_iam_role_policy.function : name => flatten([
        for statement in jsondecode(policy.policy).Statement : [for resource in statement.Resource : trimprefix(resource, "arn:aws:s3:::millrace-lake-111122223333-eu-central-1/")]
        if statement.Sid == "WriteLake"
      ])
      } == {
      ingest    = ["raw/*", "state/*", "dead/*", "limits/*", "leases/*", "runs/*"]
      publish   = ["runs/*"]
      refine    = ["tables/*", "quarantine/*", "runs/*"]
      serve     = []
      transform = ["tables/*", "quarantine/*", "runs/*"]
      trigger   = ["definitions/pinned/*", "runs/*", "gates/*", "idempotency/*"]
    }
    error_message = "A function writes where the architecture says that it does."
  }

  assert {
    condition     = !strcontains(aws_iam_role_policy.function["serve"].policy, "tables/") && !strcontains(aws_iam_role_policy.function["serve"].policy, "s3:Put")
    error_message = "What answers the public neither writes nor sees the tables."
  }
}

run "in_the_lake" {
  command = plan

  variables {
    definitions_dir = "catalog/tests/fixtures/in-the-lake"
  }

  assert {
    condition     = keys(aws_lambda_function.this) == ["ingest", "publish", "refine", "serve", "serve-lake", "transform", "trigger"]
    error_message = "A function for routes that read the lake stands where there are such routes."
  }

  assert {
    condition     = keys(aws_lambda_permission.api) == ["serve", "serve-lake", "trigger"] && contains(keys(aws_secretsmanager_secret.this), "millrace/serve/seal")
    error_message = "The gateway may ask it, and there is a secret to seal its cursors with."
  }

  assert {
    condition = {
      for statement in jsondecode(aws_iam_role_policy.function["serve-lake"].policy).Statement :
      statement.Sid => [for resource in statement.Resource : regex("[^:]*$", trimprefix(resource, "arn:aws:s3:::millrace-lake-111122223333-eu-central-1"))]
      if statement.Sid != "WriteLog"
      } == {
      ListLake               = [""]
      ReadLake               = ["/definitions/endpoints/*", "/definitions/pipelines/*", "/tables/*"]
      WriteLake              = ["/contract/lake.json"]
      ReadSecrets            = ["millrace/consumers-??????", "millrace/readers-??????", "millrace/serve/seal-??????"]
      ListEarlierDefinitions = [""]
      ReadEarlierDefinitions = ["/definitions/endpoints/*"]
    }
    error_message = "It reads tables, definitions and its secrets, and writes what its routes answer."
  }

  assert {
    condition = {
      for statement in jsondecode(aws_iam_role_policy.function["serve"].policy).Statement :
      statement.Sid => [for resource in statement.Resource : regex("[^:]*$", trimprefix(resource, "arn:aws:s3:::millrace-lake-111122223333-eu-central-1"))]
      if contains(["ReadLake", "WriteLake"], statement.Sid)
      } == {
      ReadLake  = ["/definitions/endpoints/*", "/contract/*.json"]
      WriteLake = ["/contract/lake.todo"]
    }
    error_message = "What answers for the contract reads what others note for it, and may ask them to."
  }

  assert {
    condition = (
      [for notified in aws_s3_bucket_notification.lake[0].lambda_function : "${notified.filter_prefix}…${notified.filter_suffix}"] == ["contract/…lake.todo"]
      && keys(aws_lambda_permission.notices) == ["serve-lake"]
    )
    error_message = "The function over the lake is told when it is asked."
  }
}

run "united" {
  command = plan

  variables {
    definitions_dir = "catalog/tests/fixtures/united"
    network         = { subnet_ids = ["subnet-1"], security_group_ids = ["sg-1"] }
  }

  assert {
    condition     = [for name, function in aws_lambda_function.this : name if length(function.vpc_config) > 0] == ["publish", "serve", "serve-lake"]
    error_message = "What reads the store's recent rows stands in its network."
  }

  assert {
    condition = (
      aws_lambda_function.this["serve-lake"].environment[0].variables.MILLRACE_STORE_SECRET == "millrace/store/reader"
      && strcontains(aws_iam_role_policy.function["serve-lake"].policy, "ec2:CreateNetworkInterface")
    )
    error_message = "It knows the store's reader, and may join the network."
  }

  assert {
    condition = {
      for name in ["serve", "serve-lake"] : name => {
        for statement in jsondecode(aws_iam_role_policy.function[name].policy).Statement :
        statement.Sid => [for resource in statement.Resource : regex("[^:]*$", trimprefix(resource, "arn:aws:s3:::millrace-lake-111122223333-eu-central-1"))]
        if contains(["ReadLake", "WriteLake", "ReadSecrets"], statement.Sid)
      }
      } == {
      serve = {
        ReadLake    = ["/definitions/endpoints/*", "/contract/*.json"]
        WriteLake   = ["/contract/lake.todo"]
        ReadSecrets = ["millrace/consumers-??????", "millrace/store/reader-??????"]
      }
      serve-lake = {
        ReadLake    = ["/definitions/endpoints/*", "/definitions/pipelines/*", "/tables/*"]
        WriteLake   = ["/contract/lake.json"]
        ReadSecrets = ["millrace/consumers-??????", "millrace/serve/seal-??????", "millrace/store/reader-??????"]
      }
    }
    error_message = "It reads the store as serve does, which sees no table for all that."
  }
}

run "looked_up" {
  command = plan

  variables {
    definitions_dir = "catalog/tests/fixtures/looked-up"
    network         = { subnet_ids = ["subnet-1"], security_group_ids = ["sg-1"] }
  }

  assert {
    condition     = keys(aws_lambda_function.this) == ["ingest", "publish", "refine", "serve", "serve-redis", "transform", "trigger"]
    error_message = "A function for routes over Redis stands where there are such routes."
  }

  assert {
    condition     = [for name, function in aws_lambda_function.this : name if length(function.vpc_config) > 0] == ["publish", "serve", "serve-redis"]
    error_message = "What reaches Redis stands in its network."
  }

  assert {
    condition = {
      for name in ["publish", "serve-redis"] : name => flatten([
        for statement in jsondecode(aws_iam_role_policy.function[name].policy).Statement : [
          for resource in statement.Resource : regex("[^:]*$", resource)
        ] if statement.Sid == "ReadSecrets"
      ])
      } == {
      publish     = ["millrace/store/owner-??????", "millrace/redis/owner-??????"]
      serve-redis = ["millrace/consumers-??????", "millrace/redis/reader-??????"]
    }
    error_message = "publish owns Redis, serve-redis reads it."
  }

  assert {
    condition = (
      flatten([
        for statement in jsondecode(aws_iam_role_policy.function["serve-redis"].policy).Statement : statement.Resource
        if statement.Sid == "WriteLake"
      ]) == ["arn:aws:s3:::millrace-lake-111122223333-eu-central-1/contract/redis.json"]
      && !strcontains(aws_iam_role_policy.function["serve-redis"].policy, "tables/")
      && !strcontains(aws_iam_role_policy.function["serve"].policy, "secret:millrace/redis")
    )
    error_message = "It writes what its routes answer and sees no tables, and serve knows no Redis."
  }
}

run "task_and_state_machine" {
  command = plan

  assert {
    condition = alltrue([
      for container in jsondecode(aws_ecs_task_definition.task.container_definitions) :
      container.name == "task" && container.readonlyRootFilesystem && container.user == "65532:65532"
    ])
    error_message = "The task is nobody in particular and writes no disk; the state machine finds it by its name."
  }

  assert {
    condition     = !strcontains(aws_sfn_state_machine.pipeline.definition, "$${") && can(jsondecode(aws_sfn_state_machine.pipeline.definition))
    error_message = "The state machine's placeholders are all filled in."
  }

  assert {
    condition = alltrue([
      for state in ["Plan Run", "Ingest Resources", "Transform Tables", "Refine Levels", "Publish Tables", "Record Run"] :
      jsondecode(aws_sfn_state_machine.pipeline.definition).States[state].Catch == [{ ErrorEquals = ["States.ALL"], Next = "Record Failure" }]
    ])
    error_message = "Whatever goes wrong goes the one way to Record Failure."
  }

  assert {
    condition     = !strcontains(jsonencode([for match in regexall("\"Retry\":\\[(?:\\{[^{}]*\\},?)*\\]", jsonencode(jsondecode(aws_sfn_state_machine.pipeline.definition))) : match]), "States.ALL")
    error_message = "No failure is retried but by its name."
  }

  # The four maps are one form, of which models have one for each level: only the step's name, the items' name and the concurrency differ.
  assert {
    condition = length(distinct([
      for map in [["Ingest", "Resource", "ingest"], ["Transform", "Table", "transform"], ["Refine", "Model", "refine"], ["Publish", "Table", "publish"]] :
      jsonencode({
        for name, state in merge(
          jsondecode(aws_sfn_state_machine.pipeline.definition).States,
          jsondecode(aws_sfn_state_machine.pipeline.definition).States["Refine Levels"].ItemProcessor.States
        )["${map[0]} ${map[1]}s"].ItemProcessor.States :
        replace(replace(name, "${map[0]} ${map[1]}", "Do"), map[0], "Do") =>
        replace(replace(replace(jsonencode(state), "${map[0]} ${map[1]}", "Do"), map[0], "Do"), map[2], "do")
      })
    ])) == 1
    error_message = "Ingest, transform, refine and publish are conducted in the same way."
  }

  assert {
    condition = (
      jsondecode(aws_sfn_state_machine.pipeline.definition).States["Ingest Resources"].ItemProcessor.States["Run Ingest Task"].Arguments.NetworkConfiguration.AwsvpcConfiguration
      == { Subnets = "{% [$split('subnet-a,subnet-b', ',')[$ != '']] %}", SecurityGroups = "{% [$split('', ',')[$ != '']] %}", AssignPublicIp = "ENABLED" }
    )
    error_message = "Without a network of its own the task stands in the default subnets."
  }
}

run "in_a_network" {
  command = plan

  variables {
    network = { subnet_ids = ["subnet-1"], security_group_ids = ["sg-1"] }
  }

  assert {
    condition     = [for name, function in aws_lambda_function.this : name if length(function.vpc_config) > 0] == ["publish", "serve"]
    error_message = "What reaches the operational store stands in the network, and nothing else."
  }

  assert {
    condition     = [for name, policy in aws_iam_role_policy.function : name if strcontains(policy.policy, "ec2:CreateNetworkInterface")] == ["publish", "serve"]
    error_message = "What stands in a network may join it."
  }
}

run "one_more_endpoint" {
  command = plan

  variables {
    definitions_dir = "catalog/tests/fixtures/one-more-endpoint"
  }

  assert {
    condition     = [for key in keys(aws_s3_object.definition) : key if startswith(key, "definitions/endpoints/")] == ["definitions/endpoints/places.yaml", "definitions/endpoints/quakes.yaml"]
    error_message = "A new endpoint is one more file in the lake."
  }

  assert {
    condition = flatten([
      for statement in jsondecode(aws_iam_role_policy.function["serve"].policy).Statement : statement.Resource
      if statement.Sid == "WriteLake"
    ]) == [for prefix in ["exports", "quotas"] : "arn:aws:s3:::millrace-lake-111122223333-eu-central-1/${prefix}/*"]
    error_message = "Where a route has a quota, or its answers are to be had as files, serve writes these, and nothing else."
  }

  assert {
    condition = (
      aws_s3_bucket_notification.lake[0].lambda_function[0].filter_suffix == "/operational_store.todo" && aws_lambda_permission.notices["serve"].source_account == "111122223333"
      && [for rule in aws_s3_bucket_lifecycle_configuration.lake[0].rule : rule.expiration[0].days if rule.id == "exports"] == [1]
    )
    error_message = "serve is told of what is asked for as files, and these are gone behind a day."
  }
}

run "settings" {
  command = plan

  variables {
    name             = "staging"
    existing_secrets = ["sales/crm", "staging/operators"]
    functions = {
      ingest = { timeout_seconds = 15, environment = { RUST_LOG = "debug" } }
      serve  = { reserved_concurrency = 20 }
    }
    metered_consumers    = { acme = "Acme, by contract" }
    lake_noncurrent_days = null
    schedules_enabled    = false
    alarm_topic_arn      = "arn:aws:sns:eu-central-1:111122223333:on-call"
  }

  assert {
    condition     = aws_lambda_function.this["ingest"].timeout == 15 && aws_lambda_function.this["ingest"].environment[0].variables.RUST_LOG == "debug" && aws_lambda_function.this["serve"].reserved_concurrent_executions == 20
    error_message = "A function's settings win over the catalogue's."
  }

  assert {
    condition     = keys(aws_secretsmanager_secret.this) == ["millrace/consumers", "sales/people", "sales/shop", "sales/shop_app", "staging/store/owner", "staging/store/reader"]
    error_message = "Secrets that exist already are left alone."
  }

  assert {
    condition     = length(aws_s3_bucket_lifecycle_configuration.lake) == 0 && aws_scheduler_schedule.pipeline["earthquakes"].state == "DISABLED"
    error_message = "The lake keeps all, and no schedule fires."
  }

  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.this : alarm.alarm_actions == toset(["arn:aws:sns:eu-central-1:111122223333:on-call"])])
    error_message = "Alarms go to the topic."
  }

  assert {
    condition     = keys(aws_api_gateway_usage_plan_key.consumer) == ["acme"]
    error_message = "A metered consumer has a key of the usage plan."
  }
}

run "wrong_settings" {
  command = plan

  variables {
    name               = "Mill Race"
    task_image         = "untagged"
    architecture       = "mips"
    log_retention_days = 42
    functions          = { ingets = {} }
  }

  expect_failures = [var.name, var.task_image, var.architecture, var.log_retention_days, var.functions]
}
