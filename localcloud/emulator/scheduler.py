"""EventBridge Scheduler: on time, in the schedule's own time zone, with the context attributes filled in."""

from __future__ import annotations

import datetime
import re
import time
import zoneinfo
from collections.abc import Callable
from typing import Any

from ministack.core.responses import new_uuid, set_request_account_id, set_request_region
from ministack.services import eventbridge, scheduler

from localcloud.emulator.patching import patch

#: Seconds between two looks at the schedules.
TICK = 0.5

_AT = re.compile(r"^at\((\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\)$")
_RATE = re.compile(r"^rate\((\d+) (minute|minutes|hour|hours|day|days)\)$")


@patch("scheduler.fire")
def fire_as_aws_does() -> None:
    """The emulator looks every 10 s, takes every expression for UTC, hands `<aws.scheduler.schedule-arn>` and
    `<aws.scheduler.scheduled-time>` on as they are written, and one schedule that it can't read ends the round for
    all later ones. Millrace derives a run's id from the scheduled time."""
    scheduler._SCHEDULE_TICK_INTERVAL = TICK
    scheduler._tick_schedules = _tick


@patch("scheduler.validation")
def refuse_invalid_expressions() -> None:
    """Any text is accepted as an expression and as a time zone; AWS refuses what it can't read when the schedule is
    made, which is when the author of a pipeline should hear of it."""
    for name in ("_create_schedule", "_update_schedule"):
        setattr(scheduler, name, _validated(getattr(scheduler, name)))


def _validated(handler: Callable[[str, dict], tuple]) -> Callable[[str, dict], tuple]:
    def handle(name: str, body: dict) -> tuple:
        problem = _problem(body)
        return scheduler._error(400, "ValidationException", problem) if problem else handler(name, body)

    return handle


def _problem(body: dict) -> str | None:
    expression = body.get("ScheduleExpression", "")
    try:
        zoneinfo.ZoneInfo(body.get("ScheduleExpressionTimezone") or "UTC")
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        return "Invalid Schedule Expression Timezone."
    if _AT.match(expression):
        return None
    rate = _RATE.match(expression)
    if rate:
        singular = int(rate[1]) == 1
        if int(rate[1]) > 0 and singular != rate[2].endswith("s"):
            return None
    elif eventbridge._parse_cron_fields(expression):
        return None
    return f"Invalid Schedule Expression {expression}."


def _tick() -> None:
    now = time.time()
    for key, schedule in list(scheduler._schedules._data.items()):
        try:
            _fire_if_due(key, schedule, now)
        except Exception:
            scheduler.logger.exception("schedule %s could not be fired", key)


def _fire_if_due(key: tuple[str, str, str], schedule: dict[str, Any], now: float) -> None:
    account, region, _ = key
    if schedule.get("State", "ENABLED") != "ENABLED":
        return
    start, end = scheduler._to_epoch(schedule.get("StartDate")), scheduler._to_epoch(schedule.get("EndDate"))
    if (start and now < start) or (end and now > end):
        return
    due = _due(key, schedule, now)
    if due is None:
        return
    scheduler._schedule_last_fired[key] = due
    set_request_account_id(account)
    set_request_region(region)
    execution = new_uuid()
    target = dict(schedule["Target"])
    if "Input" in target:
        target["Input"] = _with_context_attributes(target["Input"], schedule["Arn"], due, execution)
    event = {
        "EventId": execution,
        "Source": "aws.scheduler",
        "DetailType": "Scheduled Event",
        "Detail": "{}",
        "Time": due,
        "Resources": [schedule["Arn"]],
        "Account": account,
        "Region": region,
    }
    eventbridge._invoke_target(target, event, schedule)
    if _AT.match(schedule["ScheduleExpression"]) and schedule.get("ActionAfterCompletion") == "DELETE":
        scheduler._schedules._data.pop(key, None)
        scheduler._schedule_last_fired.pop(key, None)


def _with_context_attributes(text: str, arn: str, due: float, execution: str) -> str:
    scheduled = datetime.datetime.fromtimestamp(due, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    attributes = {
        "schedule-arn": arn,
        "scheduled-time": scheduled,
        "execution-id": execution,
        "attempt-number": "1",
    }
    for name, value in attributes.items():
        text = text.replace(f"<aws.scheduler.{name}>", value)
    return text


def _due(key: tuple[str, str, str], schedule: dict[str, Any], now: float) -> float | None:
    """The occurrence to fire now, if there is one."""
    expression = schedule["ScheduleExpression"].strip()
    zone = zoneinfo.ZoneInfo(schedule.get("ScheduleExpressionTimezone") or "UTC")
    last = scheduler._schedule_last_fired.get(key)
    once = _AT.match(expression)
    if once:
        at = datetime.datetime.fromisoformat(once[1]).replace(tzinfo=zone).timestamp()
        # A schedule that is changed to another time fires again.
        return at if now >= at and last != at else None
    changed = schedule.get("LastModificationDate") or schedule.get("CreationDate") or now
    since = max(last or 0, changed)
    every = eventbridge._parse_rate_seconds(expression)
    if every:
        return since + every if now >= since + every else None
    fields = eventbridge._parse_cron_fields(expression)
    if fields is None:
        return None
    following = eventbridge._cron_next_fire(fields, datetime.datetime.fromtimestamp(since, zone))
    return following.timestamp() if following and following.timestamp() <= now else None
