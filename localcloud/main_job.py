"""The main job on the local cloud: earthquakes from the source to the API, started by the scheduler and by a caller."""

from __future__ import annotations

import datetime
import json
import time
import uuid
from typing import Any

from localcloud import api, aws
from localcloud.instance import Instance
from localcloud.progress import Failed, detail, step

PIPELINE = "earthquakes"
ROUTE = "/quakes"

#: How long a run may take, in seconds.
PATIENCE = 300

_FINAL = {"succeeded", "failed", "cancelled", "skipped"}


def run(instance: Instance) -> None:
    """Runs the pipeline twice and reads what it published."""
    step(f"a run of {PIPELINE}, started by EventBridge Scheduler")
    _finish(instance, run_by_schedule(instance, PIPELINE))
    step(f"a run of {PIPELINE}, started by POST /pipelines/{PIPELINE}/runs")
    _finish(instance, run_by_caller(instance, PIPELINE))
    step(f"reading {ROUTE} through API Gateway")
    rows = first_page(instance)
    step(f"{len(rows)} rows on the first page")


def run_by_schedule(instance: Instance, pipeline: str, patience: float = 60) -> str:
    """Has Scheduler start a run, and gives the run's id."""
    scheduled = schedule_now(instance, pipeline)
    until = time.monotonic() + patience
    while time.monotonic() < until:
        for entry in _runs(instance, pipeline):
            if entry["trigger"].get("scheduled_at") == scheduled:
                return entry["run"]
        time.sleep(0.5)
    raise Failed(
        f"the schedule of {pipeline} was due at {scheduled}, and no run of that time is in the ledger: "
        "see `scripts/cloud logs trigger`"
    )


def schedule_now(instance: Instance, pipeline: str) -> str:
    """Makes a schedule for once, in two seconds, with the target of the pipeline's own, which stays as Terraform left
    it. Gives the time that it means."""
    client = aws.client(instance, "scheduler")
    group, name = instance.facts["schedules"][pipeline].split("/")
    own = client.get_schedule(GroupName=group, Name=name)
    at = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0) + datetime.timedelta(seconds=2)
    client.create_schedule(
        GroupName=group,
        Name=f"{name}-once-{uuid.uuid4().hex[:8]}",
        ScheduleExpression=f"at({at:%Y-%m-%dT%H:%M:%S})",
        FlexibleTimeWindow={"Mode": "OFF"},
        ActionAfterCompletion="DELETE",
        Target=own["Target"],
    )
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def run_by_caller(instance: Instance, pipeline: str) -> str:
    """Starts a run by the control API, and gives its id."""
    answer = api.call(
        instance,
        "POST",
        f"/pipelines/{pipeline}/runs",
        key=instance.facts["keys"]["operator"],
        headers={"Idempotency-Key": str(uuid.uuid4())},
    )
    what = f"POST /pipelines/{pipeline}/runs"
    return _document(api.expect(answer, 202, what))["run"]


def wait(instance: Instance, run: str, patience: float = PATIENCE) -> dict[str, Any]:
    """Waits for a run's end, telling how far it is, and gives its entry in the ledger."""
    until = time.monotonic() + patience
    told = ""
    while time.monotonic() < until:
        answer = api.call(instance, "GET", f"/runs/{run}", key=instance.facts["keys"]["operator"])
        entry = _document(api.expect(answer, 200, f"GET /runs/{run}"))
        state = _state(entry)
        if state != told:
            detail(state)
            told = state
        if entry["status"] in _FINAL:
            return entry
        time.sleep(0.5)
    raise Failed(
        f"{run} has not ended after {patience:.0f} s ({told}): "
        f"see `scripts/cloud logs ingest` and {instance.path('log', 'emulator.log')}"
    )


def first_page(instance: Instance) -> list[dict[str, Any]]:
    """The rows of the route's first page; there must be some."""
    answer = api.call(instance, "GET", ROUTE, key=instance.facts["keys"]["consumer"], query={"min_magnitude": 5})
    rows = api.expect(answer, 200, f"GET {ROUTE}").body["data"]
    if not rows:
        raise Failed(f"GET {ROUTE} has no rows, though both runs succeeded: see `scripts/cloud logs publish`")
    return rows


def _runs(instance: Instance, pipeline: str) -> list[dict[str, Any]]:
    key = instance.facts["keys"]["operator"]
    answer = api.call(instance, "GET", "/runs", key=key, query={"pipeline": pipeline})
    return api.expect(answer, 200, "GET /runs").body["data"]


def _document(answer: api.Answer) -> dict[str, Any]:
    """The one document of an answer in the envelope."""
    data = answer.body["data"]
    return data[0] if isinstance(data, list) else data


def _state(entry: dict[str, Any]) -> str:
    records = sorted(entry.get("steps", {}).items(), key=lambda named: named[1]["started_at"])
    steps = [_step(name, record) for name, record in records]
    return ", ".join([f"{entry['run']} {entry['status']}", *steps])


def _step(name: str, record: dict[str, Any]) -> str:
    counts = record.get("counts", {})
    rows = next((counts[key] for key in ("rows", "records") if key in counts), None)
    mark = "done" if record.get("done") else "failed" if record.get("failure") else "…"
    return f"{name} {mark}" + (f" ({rows})" if rows is not None else "")


def _finish(instance: Instance, run: str) -> None:
    entry = wait(instance, run)
    if entry["status"] != "succeeded":
        failure = json.dumps(entry.get("failure"))
        raise Failed(f"{run} {entry['status']}: {failure}\nThe functions' logs say more: scripts/cloud logs ingest.")
    instance.facts.update(run=run, definition=entry["definition"])
    instance.save()
