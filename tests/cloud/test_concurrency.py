"""Two starts at once, and the same start twice."""

from __future__ import annotations

import datetime
import json
import uuid
from concurrent.futures import ThreadPoolExecutor

from cloud import Cloud, run_of

from localcloud import aws


def slowly(cloud: Cloud) -> None:
    """A run takes a few seconds, so that another one comes while it runs."""
    cloud.source("/_control", {"records": 1707, "delay_ms": 1500})


def at_once(cloud: Cloud) -> None:
    cloud.source("/_control", {"delay_ms": 0})


def test_forbid_lets_one_of_two_run(cloud: Cloud) -> None:
    slowly(cloud)
    try:
        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(lambda _: cloud.start("earthquakes"), range(2)))
        assert sorted(answer.status for answer in answers) == [202, 409], answers
        started = next(answer for answer in answers if answer.status == 202)
        assert cloud.wait(run_of(started))["status"] == "succeeded"
    finally:
        at_once(cloud)


def test_queue_lets_one_run_after_the_other(cloud: Cloud) -> None:
    slowly(cloud)
    try:
        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(lambda _: cloud.start("queued"), range(2)))
        assert [answer.status for answer in answers] == [202, 202], answers
        entries = sorted((cloud.wait(run_of(answer)) for answer in answers), key=lambda entry: entry["started_at"])
    finally:
        at_once(cloud)
    assert [entry["status"] for entry in entries] == ["succeeded", "succeeded"]
    assert moment(entries[0]["ended_at"]) <= moment(entries[1]["started_at"])


def test_the_same_idempotency_key_is_one_run(cloud: Cloud) -> None:
    key = str(uuid.uuid4())
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: cloud.start("earthquakes", key), range(4)))
    assert {answer.status for answer in answers} == {202}, answers
    assert len({run_of(answer) for answer in answers}) == 1
    assert len({answer.headers.get("Location") or answer.headers["location"] for answer in answers}) == 1
    assert cloud.wait(run_of(answers[0]))["status"] == "succeeded"
    again = cloud.start("earthquakes", key)
    assert (again.status, run_of(again)) == (202, run_of(answers[0]))
    assert len(executions(cloud, run_of(again))) == 1


def test_a_schedule_event_delivered_twice_is_one_run(cloud: Cloud) -> None:
    scheduled = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    event = {
        "schedule": "arn:aws:scheduler:eu-central-1:111122223333:schedule/millrace/earthquakes",
        "pipeline": "earthquakes",
        "scheduled_at": f"{scheduled:%Y-%m-%dT%H:%M:%SZ}",
    }
    client = aws.client(cloud.instance, "lambda")
    function = cloud.instance.facts["functions"]["trigger"]

    def deliver(_: int) -> dict:
        answer = client.invoke(FunctionName=function, Payload=json.dumps(event))
        assert "FunctionError" not in answer, answer["Payload"].read()
        return json.load(answer["Payload"])

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(deliver, range(2)))
    runs = [
        entry
        for entry in cloud.call("GET", "/runs", key=cloud.operator, query={"pipeline": "earthquakes"}).body["data"]
        if entry["trigger"].get("scheduled_at") == event["scheduled_at"]
    ]
    assert len(runs) == 1
    assert cloud.wait(runs[0]["run"])["status"] == "succeeded"
    deliver(0)
    assert len(executions(cloud, runs[0]["run"])) == 1


def test_a_cancelled_run_ends_and_the_next_may_start(cloud: Cloud) -> None:
    slowly(cloud)
    try:
        run = run_of(cloud.start("earthquakes"))
        answer = cloud.call("POST", f"/runs/{run}/cancel", key=cloud.operator)
        assert answer.status in (200, 202), answer
        assert cloud.wait(run)["status"] == "cancelled"
    finally:
        at_once(cloud)
    cloud.succeed("earthquakes")


def executions(cloud: Cloud, run: str) -> list[str]:
    """The executions of the state machine that have the run's name."""
    client = aws.client(cloud.instance, "stepfunctions")
    pages = client.get_paginator("list_executions").paginate(stateMachineArn=cloud.instance.facts["state_machine_arn"])
    return [item["executionArn"] for page in pages for item in page["executions"] if item["name"] == run]


def moment(text: str) -> datetime.datetime:
    """A moment of the ledger."""
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
