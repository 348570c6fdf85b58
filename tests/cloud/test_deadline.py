"""A source that is too slow for one Lambda, which has 15 seconds here: the run goes on from its checkpoint, and by its
own decision in a task."""

from __future__ import annotations

import pytest
from cloud import Cloud


def test_a_slow_source_is_pulled_through_checkpoints_and_a_task(cloud: Cloud) -> None:
    records = 1707
    cloud.source("/_control", {"records": records, "delay_ms": 600})
    try:
        before = cloud.source("/_stats")["records"]
        entry = cloud.wait(cloud.start("slow").body["data"]["run"], 600)
        fetched = cloud.source("/_stats")["records"] - before
    finally:
        cloud.source("/_control", {"delay_ms": 0})
    assert entry["status"] == "succeeded", entry
    ingest = entry["steps"]["ingest/quakes"]
    assert ingest["invocations"] >= 3, ingest
    assert ingest["ran_on"] == ["lambda", "task"], ingest
    # No record twice but those of the page in flight.
    assert records <= fetched <= records + 20, f"{fetched} records fetched"
    assert ingest["counts"]["records"] == records
    assert cloud.sql("SELECT count(*), count(DISTINCT id) FROM slow.quakes") == [[str(records), str(records)]]
    if cloud.instance.facts["tasks"] != "containers":
        pytest.skip("no Docker engine answers: the task ran as a process, not as a container")
