"""EventBridge Scheduler: what the pipelines' schedules rely upon."""

from __future__ import annotations

import datetime
import functools
import json
import re
import time
import uuid
import zoneinfo
from typing import Any

from localcloud.tests.harness import ROLE, Cloud, EmulatorTest, until

_INPUT = json.dumps({"schedule": "<aws.scheduler.schedule-arn>", "at": "<aws.scheduler.scheduled-time>"})


def _schedule(cloud: Cloud, name: str, function: str, expression: str, **options: Any) -> None:
    cloud.client("scheduler").create_schedule(
        Name=name,
        ScheduleExpression=expression,
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Arn": function, "RoleArn": ROLE, "Input": _INPUT},
        **options,
    )


def _at(time: datetime.datetime) -> str:
    return f"at({time:%Y-%m-%dT%H:%M:%S})"


def _later_than(cloud: Cloud, function: str, number: int) -> list[Any]:
    """What a function was asked behind the first so many times."""
    return cloud.asked(function)[number:]


class Scheduler(EmulatorTest):
    """Patches of `scheduler`."""

    def setUp(self) -> None:
        self.name = f"n{uuid.uuid4().hex[:12]}"
        self.now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)

    def test_context_attributes_are_filled_in(self) -> None:
        def given(cloud: Cloud) -> tuple[bool, str]:
            function = cloud.create_function(self.name)
            _schedule(cloud, self.name, function, _at(self.now))
            event = until(lambda: cloud.asked(self.name))[0]["event"]
            return event["schedule"].endswith(f":schedule/default/{self.name}"), event["at"]

        expected = f"{self.now:%Y-%m-%dT%H:%M:%SZ}"
        self.observe(given, defect=(False, "<aws.scheduler.scheduled-time>"), mended=(True, expected))

    def test_a_schedule_fires_on_time(self) -> None:
        def late(cloud: Cloud) -> bool:
            function = cloud.create_function(self.name)
            delays = []
            for number in range(2):
                # Right behind a look at the schedules the next one is furthest away.
                now = datetime.datetime.now(datetime.timezone.utc)
                due = now.replace(microsecond=0) + datetime.timedelta(seconds=2)
                _schedule(cloud, f"{self.name}-{number}", function, _at(due))
                asked = until(functools.partial(_later_than, cloud, self.name, number))
                delays.append(asked[0]["at"] - due.timestamp())
            return max(delays) > 2

        self.observe(late, defect=True, mended=False)

    def test_a_time_is_meant_in_the_schedules_zone(self) -> None:
        def fires(cloud: Cloud) -> bool:
            function = cloud.create_function(self.name)
            there = self.now.astimezone(zoneinfo.ZoneInfo("America/New_York"))
            zone = {"ScheduleExpressionTimezone": "America/New_York"}
            # Taken for UTC, this was hours ago.
            _schedule(cloud, self.name, function, _at(there + datetime.timedelta(hours=1)), **zone)
            time.sleep(11)
            return bool(cloud.asked(self.name))

        self.observe(fires, defect=True, mended=False)

    def test_expressions_and_zones_that_aws_refuses_are_refused(self) -> None:
        def accepted(cloud: Cloud) -> list[str]:
            function = cloud.create_function(self.name)
            client = cloud.client("scheduler")
            found = []
            cases = {
                "rate(1 hours)": "UTC",
                "rate(0 minutes)": "UTC",
                "cron(0 12 * * * *)": "UTC",
                "every hour": "UTC",
                "rate(2 hours)": "Europe/Atlantis",
                "rate(1 hour)": "Europe/Berlin",
                "cron(0 6 ? * MON-FRI *)": "UTC",
            }
            for number, (expression, zone) in enumerate(cases.items()):
                try:
                    name = f"{self.name}-{number}"
                    _schedule(cloud, name, function, expression, ScheduleExpressionTimezone=zone, State="DISABLED")
                    found.append(expression)
                except client.exceptions.ValidationException as error:
                    self.assertTrue(re.search("Invalid Schedule Expression", str(error)))
            return found

        valid = ["rate(1 hour)", "cron(0 6 ? * MON-FRI *)"]
        invalid = ["rate(1 hours)", "rate(0 minutes)", "cron(0 12 * * * *)", "every hour", "rate(2 hours)"]
        self.observe(accepted, defect=[*invalid, *valid], mended=valid)
