locals {
  # Each fires on the first datapoint above zero: none of these should ever happen by itself. `of` says which resource
  # the metric is about.
  alarms = {
    run-failed = {
      description = "A run failed. GET /runs?status=failed says which, and why; the execution's history has every step."
      namespace   = "AWS/States"
      metric      = "ExecutionsFailed"
      of          = "state_machine"
    }
    run-timed-out = {
      description = "A run took longer than the state machine allows."
      namespace   = "AWS/States"
      metric      = "ExecutionsTimedOut"
      of          = "state_machine"
    }
    schedule-dropped = {
      description = "A schedule's event did not reach the trigger function, retries included: a run is missing."
      namespace   = "AWS/Scheduler"
      metric      = "InvocationDroppedCount"
      of          = "schedule_group"
    }
    start-dropped = {
      description = "The trigger function gave up an event of a schedule or of an execution's end. Its log says why."
      namespace   = "AWS/Lambda"
      metric      = "AsyncEventsDropped"
      of          = "trigger"
    }
    api-failed = {
      description = "The API answered with a 5xx."
      namespace   = "AWS/ApiGateway"
      metric      = "5XXError"
      of          = "api"
    }
  }

  # What a function itself calls an alarm: a line of its log with this name in the field `alarm`.
  log_alarms = {
    definition-broken = {
      description = "An endpoint's definition in the lake is broken. It is refused, and what it was before still answers; serve's log says which one, and what is wrong with it."
      function    = "serve"
    }
  }
}
