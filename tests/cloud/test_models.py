"""A model on the local cloud: the compiled Lambda `refine` makes it of what the run wrote, with its own role."""

from __future__ import annotations

import json
from collections import Counter
from math import floor

from cloud import Cloud

from localcloud import invocation
from localcloud.instance import ROOT

PIPELINE = "definitions/pipelines/earthquakes.yaml"
FILE = "definitions/models/by_kind.sql"
SQL = b"""SELECT floor(magnitude)::bigint AS kind, count(*) AS quakes
FROM quakes
WHERE magnitude IS NOT NULL
GROUP BY 1
"""
MODELS = b"""models:
  - { name: kinds, query: SELECT count(*) AS n FROM by_kind }
  - name: by_kind
    file: by_kind.sql
    expect:
      - { column: kind, is: unique }
      - { column: kind, between: [0, 10], otherwise: quarantine }
"""


def test_models_are_made_behind_the_tables_that_they_read(cloud: Cloud) -> None:
    pipeline = cloud.read(PIPELINE).replace(b"models:\n", MODELS)
    with cloud.changed(FILE, SQL), cloud.changed(PIPELINE, pipeline):
        entry = cloud.succeed("earthquakes")
    steps = entry["steps"]
    for name in ("by_kind", "kinds"):
        step = steps[f"refine/{name}"]
        assert (step["done"], step["ran_on"]) == (True, ["lambda"]), json.dumps(step, indent=2)
    assert steps["refine/by_kind"]["ended_at"] <= steps["refine/kinds"]["started_at"]
    read = cloud.table("tables/earthquakes/quakes", "magnitude")["magnitude"]
    all_kinds = Counter(floor(magnitude) for magnitude in read if magnitude is not None)
    expected = {kind: quakes for kind, quakes in all_kinds.items() if kind >= 0}
    made = cloud.table("tables/earthquakes/by_kind", "kind", "quakes")
    assert dict(zip(made["kind"], made["quakes"])) == expected
    assert cloud.table("tables/earthquakes/kinds", "n")["n"] == [len(expected)]
    kept_out = cloud.read(f"quarantine/earthquakes/by_kind/{entry['run']}/{0:012}.jsonl").splitlines()
    records = [json.loads(line)["record"] for line in kept_out]
    assert {record["kind"]: record["quakes"] for record in records} == dict(all_kinds - Counter(expected))
    assert len(records) > 0


def test_the_sample_events_make_the_shipped_model_and_hand_it_to_a_task(cloud: Cloud) -> None:
    entry = cloud.succeed("earthquakes")
    assert entry["steps"]["refine/quakes_by_day"]["ran_on"] == ["lambda"]
    facts = cloud.instance.facts
    known = {name: facts.get(name) for name in ("run", "definition")}
    facts.update(run=entry["run"], definition=entry["definition"])
    try:
        answers = [invocation.invoke(cloud.instance, "refine", ROOT / "events" / "refine" / f"{name}.json") for name in ("first", "out-of-time")]
    finally:
        facts.update(known)
    assert [answer["next"] for answer in answers] == ["done", "task"], answers
    assert answers[0]["counts"].get("rows_written", 0) > 100 or not answers[0]["counts"], answers
