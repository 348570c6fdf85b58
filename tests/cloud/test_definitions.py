"""A definition in the lake that is broken: it is refused, what it was before stays, and an alarm says so."""

from __future__ import annotations

import time

from cloud import Cloud, kill, until

from localcloud import aws
from localcloud.deployment import NAME

KEY = "definitions/endpoints/quakes.yaml"
ALARM = f"{NAME}-definition-broken"


def test_a_broken_definition_is_refused_and_an_alarm_says_so(cloud: Cloud) -> None:
    cloud.succeed("earthquakes")
    alarms = aws.client(cloud.instance, "cloudwatch")
    answers: list[int] = []

    def ask() -> int:
        answers.append(cloud.call("GET", "/quakes", key=cloud.consumer, query={"limit": 1}).status)
        return answers[-1]

    def state() -> str:
        ask()
        (alarm,) = alarms.describe_alarms(AlarmNames=[ALARM])["MetricAlarms"]
        return alarm["StateValue"]

    assert ask() == 200
    assert state() != "ALARM"
    with cloud.changed(KEY, cloud.read(KEY).replace(b":min_magnitude", b":most")):
        until(lambda: state() == "ALARM", patience=30)
        # A function that starts only now never saw what the definition was before: it finds it among the lake's versions.
        workers = cloud.workers(["serve"])
        assert workers
        for process in workers:
            kill(process)
        began = time.monotonic()
        while time.monotonic() < began + 3:
            ask()
    assert set(answers) == {200}, answers
