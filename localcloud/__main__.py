"""The local cloud's commands: `scripts/cloud --help`."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

from localcloud import (
    api,
    aws,
    deployment,
    environment,
    invocation,
    logs,
    main_job,
    packages,
    processes,
    progress,
    redis,
    source,
    store,
)
from localcloud.instance import ROOT, Instance
from localcloud.progress import Failed, step


def main() -> int:
    """Runs one command; the exit status says whether it worked."""
    arguments = _parser().parse_args()
    instance = Instance.open(arguments.directory)
    command: Callable[[Instance, argparse.Namespace], None] = arguments.command
    try:
        if arguments.changes:
            with instance.locked():
                command(Instance.open(arguments.directory), arguments)
        else:
            command(instance, arguments)
    except Failed as failure:
        progress.finish()
        print(f"\n{failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        progress.finish()
        print("\ninterrupted; `scripts/cloud down` removes what was started", file=sys.stderr)
        return 130
    progress.finish()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/cloud",
        description="Runs Millrace's Terraform, state machine and functions on a stand-in for AWS on this machine.",
        epilog="Two local clouds run side by side if each has a directory of its own (MILLRACE_CLOUD_DIR).",
    )
    parser.add_argument(
        "--directory",
        type=Path,
        default=Path(os.environ.get("MILLRACE_CLOUD_DIR", ROOT / ".millrace" / "cloud")),
        help="where the instance keeps its things (MILLRACE_CLOUD_DIR; default: .millrace/cloud)",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, function: Callable[..., None], text: str, changes: bool = False) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(command=function, changes=changes)
        return command

    up = add("up", _up, "starts everything, applies infra/, runs the main job, and says where things are", True)
    up.add_argument("--no-job", action="store_true", help="apply, and leave the running to the caller")
    up.add_argument("--variables", type=Path, help="JSON with variables of infra/ that win over the local ones")
    up.add_argument("--definitions", type=Path, default=ROOT, help="folder with connections/, pipelines/, models/, endpoints/")
    up.add_argument("--sample", default="", help="options of the sample source: '--records 200000 --delay-ms 5'")
    add("plan", _plan, "plans again: fails if anything would change")
    down = add("down", _down, "ends everything and removes its files", True)
    down.add_argument("--destroy", action="store_true", help="terraform destroy first, and fail if anything is left")
    add("status", _status, "says what runs and where")
    invoke = add("invoke", _invoke, "invokes a function, or runs the task, with an event and prints its answer")
    invoke.add_argument("function")
    invoke.add_argument("event", type=Path, help="a JSON file")
    log = add("logs", logs.show, "prints a function's log, or the task's")
    log.add_argument("function")
    log.add_argument("--follow", action="store_true", help="go on until interrupted")
    add("env", _env, 'prints what makes AWS tools talk to this local cloud: eval "$(scripts/cloud env)"')
    return parser


def _up(instance: Instance, arguments: argparse.Namespace) -> None:
    overrides = json.loads(arguments.variables.read_text()) if arguments.variables else {}
    for name in (*packages.FUNCTIONS, "task", "sample", "millrace"):
        packages.binary(name)
    if instance.exists() and not instance.is_running("emulator"):
        step("removing what is left of a local cloud that was interrupted")
        _remove(instance)
        instance = Instance(instance.directory)
    instance.create()
    instance.save()
    aws.start(instance)
    store.start(instance)
    source.start(instance, shlex.split(arguments.sample))
    terraform = deployment.deploy(instance, overrides, arguments.definitions)
    if arguments.no_job:
        return
    step("terraform plan")
    _expect_no_difference(terraform.difference())
    main_job.run(instance)
    step("done")
    _tell(instance)


def _plan(instance: Instance, _: argparse.Namespace) -> None:
    _expect_no_difference(deployment.existing(instance).difference())
    print("no difference: what is deployed is what infra/ says")


def _expect_no_difference(difference: str) -> None:
    if difference:
        raise Failed(f"a second plan would change what the first apply made:\n\n{difference}")


def _down(instance: Instance, arguments: argparse.Namespace) -> None:
    if not instance.exists():
        print("no local cloud here", file=sys.stderr)
        return
    if arguments.destroy:
        step("terraform destroy")
        terraform = deployment.existing(instance)
        step(terraform.destroy())
        left = terraform.resources()
        if left:
            raise Failed(f"terraform destroy left {', '.join(left)}")
    step("ending the local cloud")
    _remove(instance)


def _remove(instance: Instance) -> None:
    source.stop(instance)
    aws.stop(instance)
    store.stop(instance)
    redis.stop(instance)
    packages.remove_images(instance)
    processes.stop_marked(instance.identity)
    instance.remove()


def _status(instance: Instance, _: argparse.Namespace) -> None:
    if not instance.exists():
        print("no local cloud here: start one with `make cloud`")
        return
    print(f"directory  {instance.directory}")
    for name in ("emulator", "sample", *(["redis"] if "redis" in instance.processes else [])):
        print(f"{name:9}  {'runs' if instance.is_running(name) else 'does not run'}")
    if "rest_api_id" in instance.facts:
        _tell(instance)


def _invoke(instance: Instance, arguments: argparse.Namespace) -> None:
    print(json.dumps(invocation.invoke(instance, arguments.function, arguments.event), indent=2))


def _env(instance: Instance, _: argparse.Namespace) -> None:
    for name, value in environment.variables(instance).items():
        print(f"export {name}={shlex.quote(value)}")


def _tell(instance: Instance) -> None:
    """Says where things are and what to try."""
    base, keys = api.base_url(instance), instance.facts["keys"]
    tasks = instance.facts.get("tasks")
    progress.finish()
    print(
        f"""
The API        {base}
Its docs       {base}/docs
The source     {instance.facts["source"]} (the sample's reports)
Logs           {instance.path("log")}, and scripts/cloud logs FUNCTION
Tasks run as   {tasks}{"" if tasks == "containers" else ": no Docker engine answers on this machine"}

Try:
  curl -H 'x-api-key: {keys["consumer"]}' '{base}/quakes?min_magnitude=6'
  curl -H 'x-api-key: {keys["operator"]}' '{base}/runs?pipeline=earthquakes'
  curl -X POST -H 'x-api-key: {keys["operator"]}' -H 'Idempotency-Key: again' '{base}/pipelines/earthquakes/runs'
  scripts/cloud invoke serve events/serve/quakes.json
  eval "$(scripts/cloud env)" && aws s3 ls --recursive {instance.facts["lake"]}
  make stop      ends and removes all of it"""
    )


if __name__ == "__main__":
    sys.exit(main())
