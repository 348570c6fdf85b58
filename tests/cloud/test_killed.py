"""`kill -9` of the functions' processes at random moments: every run ends well, and the result equals a clean run's."""

from __future__ import annotations

import os
import random
import time
from collections import Counter

from cloud import Cloud, kill, run_of

LONG = os.environ.get("MILLRACE_TEST_LENGTH") == "long"
RECORDS = 200_000 if LONG else 40_000
KILLS = 21 if LONG else 5
STEPS = ("ingest", "transform", "publish")


def test_killed_functions_leave_what_a_clean_run_leaves(cloud: Cloud) -> None:
    cloud.source("/_control", {"records": RECORDS})
    kills: Counter[str] = Counter()
    runs = 0
    # Every step gets its share: the next victim is the one that has been killed least.
    while sum(kills.values()) < KILLS:
        answer = cloud.start("bulk")
        assert answer.status == 202, answer
        run, runs = run_of(answer), runs + 1
        killed_in_run = 0
        while cloud.call("GET", f"/runs/{run}", key=cloud.operator).body["data"]["status"] == "running" or killed_in_run == 0:
            status = cloud.call("GET", f"/runs/{run}", key=cloud.operator).body["data"]["status"]
            if status not in ("running", "queued"):
                break
            # Not more than a few of one run: the state machine gives a step eight tries, and no more.
            under_way = [step for step in STEPS if is_under_way(cloud, run, step)]
            if under_way and killed_in_run < 5 and sum(kills.values()) < KILLS:
                time.sleep(random.uniform(0, 0.5))
                for process in cloud.workers(under_way):
                    kill(process)
                    kills[under_way[0]] += 1
                    killed_in_run += 1
                time.sleep(random.uniform(0.5, 2))
            else:
                time.sleep(0.1)
        entry = cloud.wait(run, 600)
        assert entry["status"] == "succeeded", entry
    print(f"{RECORDS} records, {runs} runs, killed: {dict(kills)}")
    clean(cloud)


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


def is_under_way(cloud: Cloud, run: str, step: str) -> bool:
    """Whether an invocation of the step has begun and not ended, as the ledger has it."""
    steps = cloud.call("GET", f"/runs/{run}", key=cloud.operator).body["data"]["steps"]
    return any(name.startswith(step) and not record["ended_at"] for name, record in steps.items())
