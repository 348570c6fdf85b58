"""A model on the local cloud: the compiled Lambda `refine` makes it of what the run wrote, with its own role."""

from __future__ import annotations

import json
from collections import Counter
from math import floor

from cloud import Cloud

PIPELINE = "definitions/pipelines/earthquakes.yaml"
FILE = "definitions/models/by_kind.sql"
SQL = b"""SELECT floor(magnitude)::bigint AS kind, count(*) AS quakes
FROM quakes
WHERE magnitude IS NOT NULL
GROUP BY 1
"""
MODELS = b"""models:
  - { name: kinds, query: SELECT count(*) AS n FROM by_kind }
  - { name: by_kind, file: by_kind.sql, expect: [{ column: kind, is: unique }] }
publish:
"""


def test_models_are_made_behind_the_tables_that_they_read(cloud: Cloud) -> None:
    pipeline = cloud.read(PIPELINE).replace(b"publish:\n", MODELS)
    with cloud.changed(FILE, SQL), cloud.changed(PIPELINE, pipeline):
        entry = cloud.succeed("earthquakes")
    steps = entry["steps"]
    for name in ("by_kind", "kinds"):
        step = steps[f"refine/{name}"]
        assert (step["done"], step["ran_on"]) == (True, ["lambda"]), json.dumps(step, indent=2)
    assert steps["refine/by_kind"]["ended_at"] <= steps["refine/kinds"]["started_at"]
    read = cloud.table("tables/earthquakes/quakes", "magnitude")["magnitude"]
    expected = Counter(floor(magnitude) for magnitude in read if magnitude is not None)
    made = cloud.table("tables/earthquakes/by_kind", "kind", "quakes")
    assert dict(zip(made["kind"], made["quakes"])) == expected
    assert cloud.table("tables/earthquakes/kinds", "n")["n"] == [len(expected)]
