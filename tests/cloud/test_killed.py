"""`kill -9` of the functions' processes at random moments: every run ends well, and the result equals a clean run's."""

from __future__ import annotations

import json
import os
import random
import time
from typing import Any

from cloud import Cloud, kill, run_of

LONG = os.environ.get("MILLRACE_TEST_LENGTH") == "long"
RECORDS = 200_000 if LONG else 40_000
KILLS = 21 if LONG else 5
STEPS = ("ingest", "transform", "publish")


def test_killed_functions_leave_what_a_clean_run_leaves(cloud: Cloud) -> None:
    cloud.source("/_control", {"records": RECORDS})
    kills = dict.fromkeys(STEPS, 0)
    runs = 0
    while sum(kills.values()) < KILLS:
        runs += 1
        assert runs <= 2 * KILLS, f"the steps end before they can be killed: {kills}"
        answer = cloud.start("bulk")
        assert answer.status == 202, answer
        run = run_of(answer)
        kill_in(cloud, run, kills)
        entry = cloud.wait(run, 600)
        assert entry["status"] == "succeeded", json.dumps(entry, indent=2)
    print(f"{RECORDS} records, {runs} runs, killed: {kills}")
    clean(cloud)


def kill_in(cloud: Cloud, run: str, kills: dict[str, int]) -> None:
    """Kills processes of the run until it ends, or until it had its share: the state machine gives a step eight tries."""
    killed = 0
    while killed < 5 and sum(kills.values()) < KILLS:
        entry = cloud.call("GET", f"/runs/{run}", key=cloud.operator).body["data"]
        if entry["status"] not in ("running", "queued"):
            return
        # Every step gets its share: the next victim is the one that has been killed least.
        victim = min(STEPS, key=kills.__getitem__)
        if is_under_way(entry, victim):
            time.sleep(random.uniform(0, 0.2))
            for process in cloud.workers([victim]):
                kill(process)
                kills[victim] += 1
                killed += 1
        time.sleep(0.02)


def clean(cloud: Cloud) -> None:
    """What is there now is what the source has: each report once, at every stage."""
    expected = RECORDS
    table = cloud.table("tables/bulk/quakes", "id", "magnitude")
    assert len(table["id"]) == len(set(table["id"])) == expected
    stored = cloud.sql("SELECT count(*), count(DISTINCT id), round(sum(magnitude)::numeric, 3) FROM bulk.quakes")[0]
    assert stored[:2] == [str(expected), str(expected)]
    assert abs(float(stored[2]) - sum(value for value in table["magnitude"] if value is not None)) < 0.01
    served = cloud.rows("/bulk")
    assert [row["id"] for row in served] == sorted(table["id"])


def is_under_way(entry: dict[str, Any], step: str) -> bool:
    """Whether an invocation of the step has begun and not ended, as the ledger has it."""
    return any(name.startswith(step) and not record["ended_at"] for name, record in entry["steps"].items())
