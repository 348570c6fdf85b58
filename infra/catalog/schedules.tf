locals {
  # `schedule` is an expression, or an object of one and its time zone; pipelines without one are started by callers only.
  schedules = {
    for name, pipeline in local.pipelines : name => {
      description = try(pipeline.description, "")
      expression  = try(pipeline.schedule.expression, pipeline.schedule)
      timezone    = try(pipeline.schedule.timezone, "UTC")
    } if try(pipeline.schedule, null) != null
  }
}
