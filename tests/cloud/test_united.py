"""A route over both stores: the compiled Lambda `serve-lake` reads recent rows in PostgreSQL and older ones in the lake."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from cloud import NETWORK, Cloud, refused, until

from localcloud import aws

ROUTE = "/united"
TABLE = "tables/united/quakes"
PIPELINE = "definitions/pipelines/united.yaml"

#: What a row says besides its id.
Report = tuple[float, datetime]


@pytest.fixture(scope="module")
def reports(cloud: Cloud) -> dict[str, Report]:
    """All reports of the lake's table that have a magnitude, by id, after a run that published them."""
    # Tests before this one may have made the source a large one.
    cloud.source("/_control", {"records": 1707})
    cloud.succeed("united")
    table = cloud.table(TABLE, "id", "magnitude", "occurred_at")
    rows = zip(table["id"], table["magnitude"], table["occurred_at"], strict=True)
    return {key: (magnitude, at) for key, magnitude, at in rows if magnitude is not None}


def test_pages_over_both_halves_add_up_to_the_whole_table(cloud: Cloud, reports: dict[str, Report]) -> None:
    rows = cloud.rows(ROUTE, limit=200)
    assert len(rows) == len(reports)
    assert by_id(rows) == reports
    moments = [moment(row) for row in rows]
    assert moments == sorted(moments, reverse=True)
    strong = {key: report for key, report in reports.items() if report[0] >= 3}
    assert by_id(cloud.rows(ROUTE, least=3, limit=30)) == strong


def test_recent_rows_come_from_the_store_and_older_ones_from_the_lake(cloud: Cloud, reports: dict[str, Report]) -> None:
    boundary = begins(cloud)
    recent = {key for key, (_, at) in reports.items() if at >= boundary}
    assert 0 < len(recent) < len(reports)
    assert {key for (key,) in cloud.sql("SELECT id FROM united.quakes WHERE magnitude IS NOT NULL")} == recent
    with negated_in_store(cloud):
        found = by_id(cloud.rows(ROUTE, limit=500))
    assert found == {key: (-magnitude if key in recent else magnitude, at) for key, (magnitude, at) in reports.items()}


def test_a_walk_goes_on_over_a_publish_that_moves_the_boundary(cloud: Cloud, reports: dict[str, Report]) -> None:
    boundary = begins(cloud)
    first = cloud.call("GET", ROUTE, key=cloud.consumer, query={"limit": 100})
    tag = {"If-None-Match": first.headers["etag"]}
    assert cloud.call("GET", ROUTE, key=cloud.consumer, query={"limit": 100}, headers=tag).status == 304

    with cloud.changed(PIPELINE, kept_for_a_day_less(cloud.read(PIPELINE).decode()).encode()):
        cloud.succeed("united")
    moved = begins(cloud)
    assert timedelta(days=1) <= moved - boundary < timedelta(days=1, hours=1)
    ((is_left,),) = cloud.sql(f"SELECT min(occurred_at) >= '{moved.isoformat()}' FROM united.quakes")
    assert is_left == "t"
    crossed = [key for key, (_, at) in reports.items() if boundary <= at < moved]
    assert crossed, "no report came of age"

    rest = cloud.rows(ROUTE, limit=100, cursor=first.body["page"]["next"])
    assert by_id(first.body["data"] + rest) == reports
    assert len(first.body["data"] + rest) == len(reports)

    # The tag is looked at for a second.
    def anew() -> Any:
        answer = cloud.call("GET", ROUTE, key=cloud.consumer, query={"limit": 100}, headers=tag)
        return answer if answer.status == 200 else None

    answer = until(anew, patience=5)
    assert answer.headers["etag"] != first.headers["etag"]
    assert answer.headers["x-millrace-run"] != first.headers["x-millrace-run"]


def test_a_whole_answer_as_a_file_has_both_halves(cloud: Cloud, reports: dict[str, Report]) -> None:
    headers = {"Prefer": "respond-async", "Accept": "application/x-ndjson"}
    answer = cloud.call("GET", ROUTE, key=cloud.consumer, headers=headers)
    assert answer.status == 202, answer
    path = f"/exports/{answer.body['data'][0]['export']}"

    def done() -> dict[str, Any] | None:
        (told,) = cloud.call("GET", path, key=cloud.consumer).body["data"]
        assert told["status"] != "failed", told
        return told if told["status"] == "done" else None

    (file,) = until(done)["files"]
    with urllib.request.urlopen(file["url"], timeout=10) as content:
        rows = [json.loads(line) for line in content]
    assert len(rows) == len(reports)
    assert by_id(rows) == reports


def test_the_function_has_what_it_needs_and_nothing_else(cloud: Cloud, reports: dict[str, Report]) -> None:
    cloud.rows(ROUTE, least=5)
    lambdas = aws.client(cloud.instance, "lambda")
    functions = {
        name: lambdas.get_function_configuration(FunctionName=cloud.instance.facts["functions"][name])
        for name in ("serve", "serve-lake", "transform")
    }
    variables = {name: function["Environment"]["Variables"] for name, function in functions.items()}
    assert variables["serve-lake"]["MILLRACE_STORE_SECRET"] == "millrace/store/reader"
    networks = {name: function.get("VpcConfig", {}).get("SubnetIds", []) for name, function in functions.items()}
    assert networks == {"serve": NETWORK["subnet_ids"], "serve-lake": NETWORK["subnet_ids"], "transform": []}

    secrets = cloud.client_of("serve-lake", "secretsmanager")
    for secret in ("millrace/store/reader", "millrace/serve/seal", "millrace/consumers"):
        secrets.get_secret_value(SecretId=secret)
    for secret in ("millrace/store/owner", "millrace/operators", "millrace/redis/reader", "millrace/keyed"):
        assert refused(secrets.get_secret_value, SecretId=secret), secret
    assert refused(secrets.put_secret_value, SecretId="millrace/store/reader", SecretString="{}")
    lake = cloud.client_of("serve-lake", "s3")
    part = next(iter(cloud.keys(TABLE)))
    lake.get_object(Bucket=cloud.bucket, Key=part)
    assert refused(lake.put_object, Bucket=cloud.bucket, Key=part, Body=b"")
    assert refused(lake.delete_object, Bucket=cloud.bucket, Key=part)
    for prefix in ("raw/united/", "state/united/", "runs/united/"):
        assert refused(lake.list_objects_v2, Bucket=cloud.bucket, Prefix=prefix), prefix
        assert refused(lake.get_object, Bucket=cloud.bucket, Key=next(iter(cloud.keys(prefix)))), prefix


def test_serve_has_no_right_that_it_had_not(cloud: Cloud, reports: dict[str, Report]) -> None:
    cloud.call("GET", "/quakes", key=cloud.consumer, query={"limit": 1})
    secrets = cloud.client_of("serve", "secretsmanager")
    assert refused(secrets.get_secret_value, SecretId="millrace/serve/seal")
    lake = cloud.client_of("serve", "s3")
    for key in (PIPELINE, next(iter(cloud.keys(TABLE)))):
        assert refused(lake.get_object, Bucket=cloud.bucket, Key=key), key
    assert refused(lake.list_objects_v2, Bucket=cloud.bucket, Prefix="tables/")


def by_id(rows: list[dict[str, Any]]) -> dict[str, Report]:
    """Rows of an answer as the table has them."""
    return {row["id"]: (row["magnitude"], moment(row)) for row in rows}


def moment(row: dict[str, Any]) -> datetime:
    """When what a row reports occurred."""
    return datetime.fromisoformat(row["occurred_at"].replace("Z", "+00:00"))


def begins(cloud: Cloud) -> datetime:
    """From when on the store has rows, as publish noted it."""
    moment = "(recent->>'from')::timestamptz AT TIME ZONE 'UTC'"
    ((boundary,),) = cloud.sql(
        f"SELECT to_char({moment}, 'YYYY-MM-DD\"T\"HH24:MI:SS.US+00:00') FROM millrace.published WHERE schema = 'united'"
    )
    return datetime.fromisoformat(boundary)


def kept_for_a_day_less(pipeline: str) -> str:
    """The pipeline's definition, by which the next publish moves the boundary by a day."""
    return re.sub(r"keep: (\d+)d", lambda kept: f"keep: {int(kept[1]) - 1}d", pipeline)


@contextmanager
def negated_in_store(cloud: Cloud) -> Iterator[None]:
    """The magnitudes of the store's rows with the other sign, so that answers tell where they come from."""
    negate = "UPDATE united.quakes SET magnitude = -magnitude"
    cloud.sql(negate)
    try:
        yield
    finally:
        cloud.sql(negate)
