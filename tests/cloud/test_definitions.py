"""Definitions that change in the lake while callers ask: a good one answers anew, a broken one is refused, and an alarm says so."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from cloud import Cloud, kill, until

from localcloud import aws
from localcloud.deployment import NAME

KEY = "definitions/endpoints/quakes.yaml"
ALARM = f"{NAME}-definition-broken"
CALLERS = 4
#: Within how many seconds a changed definition must answer.
ANEW = 30
#: How many seconds old the last look of a worker may be, and a second for the look itself.
FRESH = 10 + 1


@dataclass(frozen=True)
class Asked:
    """One request: when it was sent, and what it was answered."""

    at: float
    status: int
    columns: frozenset[str]


def test_a_changed_definition_answers_anew_under_load(cloud: Cloud) -> None:
    cloud.succeed("earthquakes")
    before = ask(cloud).columns
    assert "status" not in before
    anew = before | {"status"}
    with callers(cloud) as answers:
        until(lambda: len(answers) > 10 * CALLERS)
        for changed, old, new in changes(cloud, before, anew):
            until(lambda: any(asked.columns == new for asked in answers if asked.at > changed), patience=ANEW)
            # Whatever is asked later than this finds no worker that has not looked again.
            time.sleep(max(0.0, changed + FRESH + 2 - time.monotonic()))
            late = [asked for asked in answers if asked.at > changed + FRESH]
            assert len(late) > CALLERS
            assert all(asked.columns == new for asked in late), [asked for asked in late if asked.columns == old]
    assert {asked.status for asked in answers} == {200}, [asked for asked in answers if asked.status != 200]


def changes(cloud: Cloud, before: frozenset[str], anew: frozenset[str]) -> Iterator[tuple[float, frozenset[str], frozenset[str]]]:
    """Changes the definition, and puts it back: when that was done, and the columns before and after it."""
    with cloud.changed(KEY, cloud.read(KEY).replace(b"SELECT id,", b"SELECT id, status,")):
        yield time.monotonic(), before, anew
    yield time.monotonic(), anew, before


def test_a_broken_definition_is_refused_and_an_alarm_says_so(cloud: Cloud) -> None:
    cloud.succeed("earthquakes")
    alarms = aws.client(cloud.instance, "cloudwatch")

    def state() -> str:
        (alarm,) = alarms.describe_alarms(AlarmNames=[ALARM])["MetricAlarms"]
        return alarm["StateValue"]

    before = ask(cloud).columns
    assert state() != "ALARM"
    with cloud.changed(KEY, cloud.read(KEY).replace(b":min_magnitude", b":most")):
        with callers(cloud) as answers:
            until(lambda: state() == "ALARM", patience=ANEW)
            # Each worker has looked again, those too that nobody had asked since the change.
            time.sleep(FRESH)
        # A function that starts only now never saw what the definition was before: it finds it among the lake's versions.
        # Nobody asks while it is killed: that request would be lost with it.
        workers = cloud.workers(["serve"])
        assert workers
        for process in workers:
            kill(process)
        with callers(cloud) as later:
            until(lambda: len(later) > 10 * CALLERS)
    assert {(asked.status, asked.columns) for asked in answers + later} == {(200, before)}, answers + later


def ask(cloud: Cloud) -> Asked:
    """One row, through the gateway."""
    at = time.monotonic()
    answer = cloud.call("GET", "/quakes", key=cloud.consumer, query={"limit": 1})
    rows = answer.body["data"] if answer.status == 200 else []
    return Asked(at, answer.status, frozenset(column for row in rows for column in row))


@contextmanager
def callers(cloud: Cloud) -> Iterator[list[Asked]]:
    """Asks all the time, from several threads, what it then knows."""
    answers: list[Asked] = []
    done = threading.Event()

    def go_on() -> None:
        while not done.wait(0.05):
            answers.append(ask(cloud))

    with ThreadPoolExecutor(CALLERS) as threads:
        asking = [threads.submit(go_on) for _ in range(CALLERS)]
        try:
            yield answers
        finally:
            done.set()
        for thread in asking:
            thread.result()
