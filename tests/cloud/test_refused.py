"""Who is refused, and how; and that a secret is nowhere to be read."""

from __future__ import annotations

import json

import pytest
from cloud import Cloud, run_of

from localcloud import aws

INJECTIONS = ["'; drop table seismology.quakes; --", "1 OR 1=1", "\\x00", "%27%20OR%201=1", "$1", ":min_magnitude"]


def envelope(answer) -> dict:
    """The one problem of an answer, in the form that every answer has."""
    assert answer.body["data"] == [], answer
    assert len(answer.body["error"]) == 1, answer
    return answer.body["error"][0]


def test_without_a_key_401_and_with_a_wrong_one_403(cloud: Cloud) -> None:
    assert envelope(answer := cloud.call("GET", "/quakes"))["status"] == 401 == answer.status
    assert envelope(answer := cloud.call("GET", "/quakes", key="wrong"))["status"] == 403 == answer.status
    assert cloud.call("GET", "/runs").status == 401
    assert cloud.call("GET", "/runs", key=cloud.consumer).status == 403, "a consumer is no operator"


def test_a_parameter_of_another_type_is_named(cloud: Cloud) -> None:
    answer = cloud.call("GET", "/quakes", key=cloud.consumer, query={"min_magnitude": "abc"})
    assert answer.status == 400
    assert "min_magnitude" in json.dumps(envelope(answer))


def test_an_unknown_route_is_404_in_the_envelope(cloud: Cloud) -> None:
    answer = cloud.call("GET", "/no-such-route", key=cloud.consumer)
    assert answer.status == 404
    assert envelope(answer)["status"] == 404


@pytest.mark.parametrize("value", INJECTIONS)
def test_sql_in_a_parameter_is_data(cloud: Cloud, value: str) -> None:
    before = cloud.sql("SELECT count(*) FROM millrace.published")
    answer = cloud.call("GET", "/quakes", key=cloud.consumer, query={"min_magnitude": value})
    assert answer.status == 400, answer
    from urllib.parse import quote

    answer = cloud.call("GET", f"/quakes/{quote(value, safe='')}", key=cloud.consumer)
    assert answer.status in (200, 400, 404), answer
    assert answer.body["data"] == []
    assert cloud.sql("SELECT count(*) FROM millrace.published") == before


def test_a_wrong_credential_fails_in_one_request_and_is_nowhere(cloud: Cloud) -> None:
    wrong = "wrong-token-5f0e7a"
    aws.client(cloud.instance, "secretsmanager").put_secret_value(
        SecretId="millrace/keyed", SecretString=json.dumps({"token": wrong})
    )
    before = cloud.source("/_stats")["requests"]
    run = run_of(cloud.start("keyed"))
    entry = cloud.wait(run)
    assert cloud.source("/_stats")["requests"] - before == 1
    assert entry["status"] == "failed"
    assert entry["failure"]["name"] == "Unauthorized"
    assert "millrace/keyed" in entry["failure"]["message"]

    places = {f"runs/{run}": json.dumps(entry)}
    places |= {key: cloud.read(key).decode(errors="replace") for key in cloud.keys("") if "keyed" in key}
    client = aws.client(cloud.instance, "stepfunctions")
    arn = cloud.instance.facts["state_machine_arn"].replace(":stateMachine:", ":execution:") + ":" + run
    places["history"] = json.dumps(client.get_execution_history(executionArn=arn, maxResults=1000), default=str)
    places |= {str(path): path.read_text(errors="replace") for path in (cloud.directory / "log").iterdir()}
    logs = aws.client(cloud.instance, "logs")
    for group in logs.describe_log_groups()["logGroups"]:
        events = logs.filter_log_events(logGroupName=group["logGroupName"])["events"]
        places[group["logGroupName"]] = "\n".join(event["message"] for event in events)
    assert len(places) > 5
    assert not [place for place, text in places.items() if wrong in text]


def test_secrets_are_not_in_terraforms_state(cloud: Cloud) -> None:
    facts = cloud.instance.facts
    stores = [facts[store][role]["password"] for store in ("store", "redis") for role in ("owner", "reader")]
    secrets = [cloud.operator, cloud.consumer, *stores]
    states = list(cloud.directory.rglob("*.tfstate"))
    assert states
    for state in states:
        text = state.read_text()
        assert not [secret for secret in secrets if secret in text], state
