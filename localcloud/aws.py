"""Starts and stops the emulator that stands in for AWS, and makes its clients."""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

import boto3
from botocore.config import Config

from localcloud import docker_engine, processes
from localcloud.instance import ACCOUNT, REGION, ROOT, Instance, base_environment
from localcloud.progress import Failed, step

#: How long the emulator may take to answer for the first time, in seconds.
PATIENCE = 30


def start(instance: Instance, settings: Mapping[str, str] | None = None) -> None:
    """Starts the emulator, unless it runs already. `settings` are environment variables of the emulator's that win
    over the ones here."""
    if instance.is_running("emulator"):
        return
    step("starting the AWS emulator")
    # Another process may take the port in the moment between finding it free and listening on it.
    for _ in range(3):
        if _start_on(instance, processes.free_port(), settings or {}):
            return
    raise Failed(f"the AWS emulator did not start: see {instance.path('log', 'emulator.log')}")


def _start_on(instance: Instance, port: int, settings: Mapping[str, str]) -> bool:
    url = f"http://127.0.0.1:{port}"
    temporary = instance.folder("tmp")
    environment = {
        **base_environment(instance),
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "TMPDIR": str(temporary),
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_REGION": REGION,
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        # What functions and tasks talk to.
        "AWS_ENDPOINT_URL": url,
        # Policies are enforced and signatures checked.
        "AUTH": "true",
        "LAMBDA_ACCOUNT_CONCURRENCY": "1000",
        # Nothing is kept beyond the emulator's life, and no fixed port is taken.
        "PERSIST_STATE": "0",
        "S3_PERSIST": "0",
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
    }
    if not docker_engine.is_available():
        environment["MILLRACE_TASK_PROGRAM"] = str(ROOT / "target" / "debug" / "task")
    environment.update(settings)
    instance.facts["tasks"] = "processes" if "MILLRACE_TASK_PROGRAM" in environment else "containers"
    log = instance.path("log", "emulator.log")
    process = processes.spawn([sys.executable, "-m", "localcloud.emulator"], environment, log, instance.directory)
    instance.processes["emulator"] = process
    instance.facts["url"] = url
    instance.save()
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and process.is_alive():
        if is_healthy(url):
            return True
        time.sleep(0.05)
    processes.stop(process, grace=1)
    return False


def is_healthy(url: str) -> bool:
    """Whether the emulator answers."""
    try:
        with urllib.request.urlopen(f"{url}/_ministack/health", timeout=1) as answer:
            return bool(json.load(answer))
    except (OSError, ValueError, urllib.error.URLError):
        return False


def client(instance: Instance, service: str) -> Any:
    """A client of one of the instance's services. It never looks at the person's own AWS settings."""
    os.environ.update({name: os.devnull for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")})
    return boto3.client(
        service,
        endpoint_url=instance.url,
        region_name=REGION,
        aws_access_key_id=ACCOUNT,
        aws_secret_access_key="test",
        # A function may run for 15 minutes, and an invocation must not be repeated by the client.
        config=Config(read_timeout=920, retries={"total_max_attempts": 1}),
    )


def stop(instance: Instance) -> None:
    """Ends the emulator, the functions that it runs, and the containers of its tasks."""
    if "emulator" in instance.processes:
        processes.stop(instance.processes.pop("emulator"))
    if instance.facts.get("tasks") == "containers":
        docker_engine.remove_containers_of(instance.facts["url"])
