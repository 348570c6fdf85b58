"""Definitions that change in the lake while callers ask: a good one answers anew, a broken one is refused, and an alarm says so."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from cloud import Cloud, kill, until

from localcloud import aws
from localcloud.deployment import NAME

KEY = "definitions/endpoints/quakes.yaml"
ALARM = f"{NAME}-definition-broken"
CALLERS = 4


def test_a_changed_definition_answers_anew_and_a_broken_one_raises_an_alarm(cloud: Cloud) -> None:
    cloud.succeed("earthquakes")
    good = cloud.read(KEY)
    put = lambda body: cloud.s3().put_object(Bucket=cloud.bucket, Key=KEY, Body=body)  # noqa: E731
    alarms = aws.client(cloud.instance, "cloudwatch")

    def columns() -> set[str]:
        (row,) = ask(cloud).body["data"]
        return set(row)

    def state() -> str:
        (alarm,) = alarms.describe_alarms(AlarmNames=[ALARM])["MetricAlarms"]
        return alarm["StateValue"]

    assert state() != "ALARM"
    before = columns()
    assert "status" not in before
    try:
        with callers(cloud) as statuses:
            put(good.replace(b"SELECT id,", b"SELECT id, status,"))
            until(lambda: columns() == before | {"status"}, patience=30)
            put(good.replace(b":min_magnitude", b":most"))
            until(lambda: columns() and state() == "ALARM", patience=30)
            assert columns() == before | {"status"}
        assert set(statuses) == {200}, statuses
        assert statuses[200] > 20 * CALLERS, statuses
        # A function that starts only now never saw what the definition was before: it finds it among the lake's versions.
        workers = cloud.workers(["serve"])
        assert workers
        for process in workers:
            kill(process)
        assert columns() == before | {"status"}
    finally:
        put(good)
    until(lambda: columns() == before, patience=30)


def ask(cloud: Cloud):
    return cloud.call("GET", "/quakes", key=cloud.consumer, query={"limit": 1})


@contextmanager
def callers(cloud: Cloud) -> Iterator[Counter[int]]:
    """Asks all the time, from several threads; how often each status was answered."""
    statuses: Counter[int] = Counter()
    done = threading.Event()

    def go_on() -> None:
        while not done.is_set():
            statuses[ask(cloud).status] += 1
            time.sleep(0.01)

    threads = [threading.Thread(target=go_on) for _ in range(CALLERS)]
    for thread in threads:
        thread.start()
    try:
        yield statuses
    finally:
        done.set()
        for thread in threads:
            thread.join()
