"""The operational store: a private PostgreSQL of the instance, started by Millrace's own command."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

from localcloud.instance import ROOT, Instance, base_environment
from localcloud.packages import binary
from localcloud.progress import Failed, step


def start(instance: Instance) -> dict[str, Any]:
    """Starts PostgreSQL, unless it runs already, and gives its two roles' credentials as the secrets hold them."""
    step("starting PostgreSQL")
    described = _millrace(instance, "start", "--json")
    common = {name: described[name] for name in ("host", "port", "dbname")}
    common["sslmode"] = described.get("sslmode", "disable")
    instance.facts["store"] = {role: {**common, **described[role]} for role in ("owner", "reader")}
    instance.save()
    return instance.facts["store"]


def stop(instance: Instance) -> None:
    """Stops PostgreSQL, if it was started. Where its own command can't, what carries the instance's mark is ended
    anyway."""
    if instance.facts.pop("store", None):
        try:
            _millrace(instance, "stop")
        except Failed as failure:
            step(f"PostgreSQL was not stopped in its own way: {failure}")


def _millrace(instance: Instance, *arguments: str) -> dict[str, Any]:
    environment = {
        **base_environment(instance),
        "MILLRACE_POSTGRES_BIN": os.environ.get("MILLRACE_POSTGRES_BIN") or _server_binaries(),
    }
    command = [str(binary("millrace")), "postgres", *arguments, "--dir", str(instance.path("postgres"))]
    done = subprocess.run(command, env=environment, cwd=instance.directory, capture_output=True, text=True, check=False)
    with instance.path("log", "postgres.log").open("a") as log:
        log.write(done.stderr)
    if done.returncode:
        raise Failed(f"`millrace postgres {arguments[0]}` failed:\n{done.stderr.strip() or done.stdout.strip()}")
    return json.loads(done.stdout) if "--json" in arguments else {}


def _server_binaries() -> str:
    found = subprocess.run([ROOT / "scripts" / "postgres-binaries"], capture_output=True, text=True, check=False)
    if found.returncode:
        raise Failed(found.stderr.strip())
    return found.stdout.strip()
