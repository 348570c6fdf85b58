"""The earthquakes, from a schedule to a served row: the same rows at every stage, and only what changed the next time."""

from __future__ import annotations

import hashlib
import json
import math

import zstandard
from cloud import Cloud

from localcloud import main_job

#: The reports of the snapshot.
REPORTS = 1707


def raw_bodies(cloud: Cloud, run: str) -> list[tuple[dict, bytes]]:
    """A run's answers, decompressed by a library that is not Millrace's, with the manifest's word on each."""
    prefix = f"raw/earthquakes/quakes/{run}/"
    bodies = []
    for key in sorted(cloud.keys(prefix + "manifest/")):
        manifest = json.loads(cloud.read(key))
        if manifest["object"] is None:
            continue
        segment = cloud.read(manifest["object"])
        for page in manifest["pages"]:
            frame = segment[page["offset"] : page["offset"] + page["length"]]
            body = zstandard.ZstdDecompressor().decompress(frame, max_output_size=page["body_length"])
            bodies.append((page, body))
    return bodies


def test_a_second_plan_shows_no_difference(cloud: Cloud) -> None:
    cloud.command("plan")


def test_rows_agree_at_every_stage(cloud: Cloud) -> None:
    cloud.source("/_control", {"records": REPORTS})
    run = main_job.run_by_schedule(cloud.instance, "earthquakes")
    entry = cloud.wait(run)
    assert entry["status"] == "succeeded", entry
    assert entry["trigger"]["by"] == "schedule"

    bodies = raw_bodies(cloud, run)
    sent = {(item["sha256"], item["length"]) for item in cloud.source("/_sent") if item["status"] == 200}
    for page, body in bodies:
        assert hashlib.sha256(body).hexdigest() == page["sha256"]
        assert (page["sha256"], len(body)) in sent, "the payload is not what the source sent"
    raw = [feature["id"] for _, body in bodies for feature in json.loads(body)["features"]]
    assert len(raw) == len(set(raw)) == REPORTS

    table = cloud.table("tables/earthquakes/quakes", "id", "magnitude")
    assert len(table["id"]) == REPORTS
    assert set(table["id"]) == set(raw)

    stored = cloud.sql("SELECT id, magnitude FROM seismology.quakes")
    assert len(stored) == REPORTS
    assert {id for id, _ in stored} == set(raw)

    made = cloud.table("tables/earthquakes/quakes_by_day", "day", "region", "quakes")
    assert sum(made["quakes"]) == int(cloud.sql("SELECT count(*) FROM seismology.quakes WHERE kind = 'earthquake'")[0][0])
    by_day = {(row["day"], row["region"]): row["quakes"] for row in cloud.rows("/quakes-by-day", since="1900-01-01")}
    days = zip(made["day"], made["region"], made["quakes"], strict=True)
    assert by_day == {(day.isoformat(), region): quakes for day, region, quakes in days}

    served = cloud.rows("/quakes", min_magnitude=-10)
    with_magnitude = {id for id, magnitude in zip(table["id"], table["magnitude"], strict=True) if magnitude is not None}
    assert len(served) == len(with_magnitude)
    assert {row["id"] for row in served} == with_magnitude


def test_a_second_run_fetches_only_what_changed_and_takes_the_corrections(cloud: Cloud) -> None:
    cloud.source("/_control", {"records": REPORTS})
    cloud.succeed("earthquakes")
    before = dict(cloud.sql("SELECT id, magnitude FROM seismology.quakes"))
    fetched = cloud.source("/_stats")["records"]
    corrected = cloud.source("/_control", {"correct": {"count": 20, "magnitude": 0.5}})["corrected"]["ids"]
    assert len(corrected) == 20
    cloud.succeed("earthquakes")
    fetched = cloud.source("/_stats")["records"] - fetched
    assert 20 <= fetched < REPORTS / 4, f"{fetched} records fetched"

    after = cloud.sql("SELECT id, magnitude FROM seismology.quakes")
    assert len(after) == REPORTS
    values = dict(after)
    assert len(values) == REPORTS, "an id is there twice"
    for id in corrected:
        if before[id]:
            assert math.isclose(float(values[id]), float(before[id]) + 0.5)
    table = cloud.table("tables/earthquakes/quakes", "id", "magnitude")
    assert sorted(table["id"]) == sorted(values)
    for id, magnitude in zip(table["id"], table["magnitude"], strict=True):
        assert (magnitude is None and not values[id]) or float(values[id]) == magnitude
