"""A route over Redis: what `publish` writes there as its owner, the compiled Lambda `serve-redis` looks up as a reader."""

from __future__ import annotations

import json
import socket
import time
from typing import Any
from urllib.parse import quote

import pytest
from cloud import Cloud, refused

#: Where the rows of the pipeline `looked_up` are looked up.
ROUTE = "/looked-up"
TABLE = "tables/looked_up/quakes"
#: How long a publish may stay unseen, in seconds (docs/endpoints.md).
SEEN = 1.0


@pytest.fixture(scope="module")
def published(cloud: Cloud) -> dict[str, float | None]:
    """Magnitudes by id, as the lake has them after a run that published them."""
    # Tests before this one may have made the source a large one.
    cloud.source("/_control", {"records": 1707})
    cloud.succeed("looked_up")
    return magnitudes(cloud)


def test_a_row_is_looked_up_by_its_key(cloud: Cloud, published: dict[str, float | None]) -> None:
    for key in list(published)[:: len(published) // 20]:
        assert look_up(cloud, key).body["data"] == [{"id": key, "magnitude": published[key]}]
    assert int(ask(cloud, "owner", "ZCARD millrace:rows:looked_up.quakes").removeprefix(":")) == len(published)


def test_an_unknown_key_has_no_row_whatever_is_in_it(cloud: Cloud, published: dict[str, float | None]) -> None:
    some = next(iter(published))
    for key in ("nobody", "*", f"{some[:-1]}?", f"x:{some}", f"{some}\r\nFLUSHALL", "millrace:patterns"):
        answer = cloud.call("GET", f"{ROUTE}/{quote(key, safe='')}", key=cloud.consumer)
        assert (answer.status, answer.body["data"]) == (200, []), answer


def test_it_refuses_as_every_route_does(cloud: Cloud, published: dict[str, float | None]) -> None:
    path = f"{ROUTE}/{next(iter(published))}"
    assert cloud.call("GET", path).status == 401
    assert cloud.call("GET", path, key="wrong").status == 403
    answer = cloud.call("GET", path, key=cloud.consumer, query={"most": "1"})
    assert (answer.status, answer.body["error"][0]["parameter"]) == (400, "most"), answer


def test_a_tag_is_good_until_the_next_publish(cloud: Cloud, published: dict[str, float | None]) -> None:
    key, magnitude = next((key, magnitude) for key, magnitude in published.items() if magnitude is not None)
    first = look_up(cloud, key)
    tag = {"If-None-Match": first.headers["etag"]}
    assert first.headers["x-millrace-as-of"]
    assert cloud.call("GET", f"{ROUTE}/{key}", key=cloud.consumer, headers=tag).status == 304

    count = len(published)
    corrected = cloud.source("/_control", {"correct": {"count": count, "magnitude": 0.5}})["corrected"]["ids"]
    assert key in corrected
    cloud.succeed("looked_up")
    # The answer may count as the newest for as long as the docs say.
    time.sleep(SEEN)
    anew = cloud.call("GET", f"{ROUTE}/{key}", key=cloud.consumer, headers=tag)
    assert anew.status == 200, anew
    assert anew.body["data"] == [{"id": key, "magnitude": pytest.approx(magnitude + 0.5)}]
    assert anew.headers["etag"] != first.headers["etag"]


def test_the_function_that_looks_up_may_do_nothing_else(cloud: Cloud, published: dict[str, float | None]) -> None:
    look_up(cloud, next(iter(published)))
    secrets = cloud.client_of("serve-redis", "secretsmanager")
    reader = json.loads(secrets.get_secret_value(SecretId="millrace/redis/reader")["SecretString"])
    assert reader["username"] == "reader"
    for secret in ("millrace/redis/owner", "millrace/store/owner", "millrace/store/reader", "millrace/operators"):
        assert refused(secrets.get_secret_value, SecretId=secret), secret
    assert refused(secrets.put_secret_value, SecretId="millrace/redis/reader", SecretString="{}")
    lake = cloud.client_of("serve-redis", "s3")
    lake.get_object(Bucket=cloud.bucket, Key="definitions/endpoints/looked_up.yaml")
    assert refused(lake.get_object, Bucket=cloud.bucket, Key=next(iter(cloud.keys(TABLE))))
    assert refused(lake.list_objects_v2, Bucket=cloud.bucket, Prefix="tables/")
    assert refused(lake.put_object, Bucket=cloud.bucket, Key="definitions/endpoints/mine.yaml", Body=b"")
    # What serves the store knows no Redis.
    cloud.call("GET", "/quakes", key=cloud.consumer, query={"limit": 1})
    assert refused(cloud.client_of("serve", "secretsmanager").get_secret_value, SecretId="millrace/redis/reader")


def test_redis_lets_its_users_do_what_is_theirs(cloud: Cloud, published: dict[str, float | None]) -> None:
    row = f"quake:{next(iter(published))}"
    assert ask(cloud, "reader", f"GET {row}").startswith("$")
    for command in (f"SET {row} x", f"DEL {row}", "FLUSHALL", "KEYS *", "SCAN 0", "CONFIG GET *", "ACL LIST"):
        assert ask(cloud, "reader", command).startswith("-NOPERM"), command
    for command in ("FLUSHALL", "KEYS *", "CONFIG GET *", "ACL LIST"):
        assert ask(cloud, "owner", command).startswith("-NOPERM"), command


def magnitudes(cloud: Cloud) -> dict[str, float | None]:
    """The table's rows, in the lake."""
    table = cloud.table(TABLE, "id", "magnitude")
    return dict(zip(table["id"], table["magnitude"], strict=True))


def look_up(cloud: Cloud, key: str) -> Any:
    """The answer for a key, which must be a good one."""
    answer = cloud.call("GET", f"{ROUTE}/{key}", key=cloud.consumer)
    assert answer.status == 200, answer
    return answer


def ask(cloud: Cloud, user: str, command: str) -> str:
    """The first line of what Redis answers one of its users."""
    credentials = cloud.instance.facts["redis"][user]
    with socket.create_connection((credentials["host"], credentials["port"]), timeout=10) as connection:
        connection.sendall(f"AUTH {user} {credentials['password']}\r\n{command}\r\n".encode())
        answers = connection.makefile("r", encoding="utf-8")
        assert answers.readline() == "+OK\n"
        return answers.readline().rstrip()
