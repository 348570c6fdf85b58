"""ECS: a task is a container on the machine's own network where a Docker engine answers, else a process."""

from __future__ import annotations

import os
from typing import Any

from ministack.core import lambda_runtime
from ministack.core.responses import get_account_id, get_region
from ministack.services import ecs

from localcloud.emulator import host_processes
from localcloud.emulator.patching import patch


@patch("ecs.credentials")
def give_credentials_that_sdks_take() -> None:
    """Containers get the address of a credentials server on `host.docker.internal`, which the Rust SDK refuses (it is
    neither loopback nor HTTPS) and which does not answer on Linux. They get the task role's keys instead, so that the
    role's policies are enforced."""
    build = ecs._build_run_kwargs

    def build_with_credentials(container: dict, task: dict, environment: dict, *rest: Any) -> dict:
        for name in ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN"):
            environment.pop(name, None)
        role = task.get("taskRoleArn")
        if role:
            environment.update(_credentials(task.get("family", "task"), role))
        environment.setdefault("AWS_REGION", get_region())
        return build(container, task, environment, *rest)

    ecs._build_run_kwargs = build_with_credentials


def _credentials(family: str, role: str) -> dict[str, str]:
    # The emulator makes keys for a function's role; a task's are no different.
    config = {
        "FunctionArn": f"arn:aws:lambda:{get_region()}:{get_account_id()}:function:ecs-{family}",
        "FunctionName": f"ecs-{family}",
        "Role": role,
    }
    return {name: value for name, value in lambda_runtime.execution_credentials(config).items() if value}


@patch("ecs.container")
def run_as_defined() -> None:
    """`entryPoint`, `user` and `readonlyRootFilesystem` are ignored; and a container on a network of its own reaches
    neither the emulator nor PostgreSQL nor the sample source, which listen on 127.0.0.1 only. It shares the machine's
    network instead, as nothing of `awsvpc` can be had here."""
    build = ecs._build_run_kwargs

    def build_as_defined(container: dict, task: dict, environment: dict, *rest: Any) -> dict:
        _point_to_loopback(environment)
        options = build(container, task, environment, *rest)
        for unwanted in ("network", "ports", "extra_hosts"):
            options.pop(unwanted, None)
        options["network_mode"] = "host"
        if container.get("entryPoint"):
            options["entrypoint"] = container["entryPoint"]
        if container.get("user"):
            options["user"] = container["user"]
        if container.get("readonlyRootFilesystem"):
            options["read_only"] = True
        return options

    ecs._build_run_kwargs = build_as_defined


def _point_to_loopback(environment: dict[str, str]) -> None:
    for name in ("AWS_ENDPOINT_URL", "ECS_CONTAINER_METADATA_URI_V4"):
        if name in environment:
            environment[name] = environment[name].replace("host.docker.internal", "127.0.0.1")


@patch("ecs.processes")
def run_processes_where_there_is_no_docker() -> None:
    """Without a Docker engine a task is recorded as running and nothing runs. With `MILLRACE_TASK_PROGRAM` set it runs
    as a process of this machine instead."""
    program = os.environ.get("MILLRACE_TASK_PROGRAM")
    if program:
        client = host_processes.Client(program)
        ecs._docker = client
        ecs._get_docker = lambda: client
