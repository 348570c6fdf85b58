"""A whole answer as files: asked for through the gateway, made by the function that the lake notifies, fetched by a link."""

from __future__ import annotations

import urllib.request
from uuid import uuid4

from cloud import Cloud, until


def test_a_whole_answer_comes_as_a_file(cloud: Cloud) -> None:
    cloud.succeed("earthquakes")
    headers = {"Prefer": "respond-async", "Accept": "application/x-ndjson"}
    answer = cloud.call("GET", "/quakes", key=cloud.consumer, query={"min_magnitude": -10}, headers=headers)
    assert answer.status == 202, answer
    (export,) = answer.body["data"]
    path = f"/exports/{export['export']}"
    assert answer.headers["location"].endswith(path)

    def done() -> dict | None:
        (told,) = cloud.call("GET", path, key=cloud.consumer).body["data"]
        assert told["status"] != "failed", told
        return told if told["status"] == "done" else None

    told = until(done, patience=60)
    (file,) = told["files"]
    # The link is all that it takes: neither a key nor a role.
    with urllib.request.urlopen(file["url"], timeout=10) as content:
        rows = content.read().splitlines()
    assert len(rows) == file["rows"] == told["rows"] == len(cloud.rows("/quakes", min_magnitude=-10))
    assert cloud.call("GET", path).status == 401
    assert cloud.call("GET", f"/exports/{uuid4()}", key=cloud.consumer).status == 404
