"""What the tests stand on: instances in temporary folders, functions and tasks that do as a script says."""

from __future__ import annotations

import contextlib
import json
import platform
import shutil
import sys
import tempfile
import time
import unittest
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from localcloud import aws, packages, processes
from localcloud.instance import ACCOUNT, REGION, Instance

_STUB = Path(__file__).parent / "stub"

#: A role whose policy lets a stub do whatever a test asks of it.
ROLE = f"arn:aws:iam::{ACCOUNT}:role/stub"


class Cloud:
    """An instance with nothing in it but what a test puts there."""

    def __init__(self, without: str = "", **settings: str) -> None:
        # Short: the paths of sockets and of programs have limits.
        self.folder = Path(tempfile.mkdtemp(prefix="millrace-"))
        self.instance = Instance(self.folder / "cloud")
        self.instance.create()
        self.stub = self.instance.folder("stub")
        chosen = {
            "MILLRACE_EMULATOR_WITHOUT": without,
            "MILLRACE_TASK_PROGRAM": str(_STUB / "bootstrap"),
            **settings,
        }
        aws.start(self.instance, {name: value for name, value in chosen.items() if value})
        self._create_role()

    def _create_role(self) -> None:
        services = [
            "lambda.amazonaws.com",
            "states.amazonaws.com",
            "ecs-tasks.amazonaws.com",
            "scheduler.amazonaws.com",
        ]
        trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": services}}
        client = self.client("iam")
        client.create_role(RoleName="stub", AssumeRolePolicyDocument=_policy(trust))
        everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
        client.put_role_policy(RoleName="stub", PolicyName="everything", PolicyDocument=_policy(everything))

    def client(self, service: str) -> Any:
        """A client of the account's owner."""
        return aws.client(self.instance, service)

    def script(self, function: str, *lines: str) -> None:
        """What a function does, from its next invocation on."""
        (self.stub / f"{function}.at").unlink(missing_ok=True)
        (self.stub / f"{function}.script").write_text("\n".join(lines))

    def asked(self, function: str) -> list[dict[str, Any]]:
        """What a function was asked, oldest first."""
        book = self.stub / "asked.jsonl"
        lines = book.read_text().splitlines() if book.exists() else []
        return [entry for entry in map(json.loads, lines) if entry["function"] == function]

    @property
    def stub_environment(self) -> dict[str, str]:
        """What a stub needs to know."""
        return {"STUB_DIR": str(self.stub), "STUB_PYTHON": sys.executable}

    def stub_zip(self) -> bytes:
        """The stub as a function's package."""
        archive = self.folder / "stub.zip"
        write_stub_zip(archive)
        return archive.read_bytes()

    def create_function(self, name: str, callers: tuple[str, ...] = ("apigateway", "events"), **options: Any) -> str:
        """Makes a function of the stub that those services may invoke, and gives its ARN."""
        settings = {
            "Role": ROLE,
            "Runtime": "provided.al2023",
            "Handler": "bootstrap",
            "Timeout": 20,
            "Environment": {"Variables": self.stub_environment},
            **options,
        }
        client = self.client("lambda")
        made = client.create_function(FunctionName=name, Code={"ZipFile": self.stub_zip()}, **settings)
        for service in callers:
            client.add_permission(
                FunctionName=name,
                StatementId=service,
                Action="lambda:InvokeFunction",
                Principal=f"{service}.amazonaws.com",
            )
        return made["FunctionArn"]

    def create_role(self, name: str, service: str, *statements: dict[str, Any]) -> str:
        """Makes a role that a service may take on, and gives its ARN."""
        trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": f"{service}.amazonaws.com"}}
        client = self.client("iam")
        made = client.create_role(RoleName=name, AssumeRolePolicyDocument=_policy(trust))
        if statements:
            client.put_role_policy(RoleName=name, PolicyName="work", PolicyDocument=_policy(*statements))
        return made["Role"]["Arn"]

    def create_machine(self, name: str, definition: dict[str, Any], role: str = ROLE) -> str:
        """Makes a state machine, and gives its ARN."""
        text = json.dumps({"QueryLanguage": "JSONata", **definition})
        made = self.client("stepfunctions").create_state_machine(name=name, definition=text, roleArn=role)
        return made["stateMachineArn"]

    def execute(self, machine: str, given: Any, within: float = 60, **options: Any) -> dict[str, Any]:
        """Runs an execution to its end."""
        client = self.client("stepfunctions")
        started = client.start_execution(stateMachineArn=machine, input=json.dumps(given), **options)
        return self.ended(started["executionArn"], within)

    def ended(self, execution: str, within: float = 60) -> dict[str, Any]:
        """An execution, as soon as it has ended."""
        client = self.client("stepfunctions")

        def found() -> dict[str, Any] | None:
            described = client.describe_execution(executionArn=execution)
            return described if described["status"] != "RUNNING" else None

        return until(found, within, f"the end of {execution}")

    def close(self) -> None:
        """Ends it, and removes its folder."""
        aws.stop(self.instance)
        processes.stop_marked(self.instance.identity)
        shutil.rmtree(self.folder, ignore_errors=True)


def _policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def write_stub_zip(archive: Path) -> None:
    """Packs the stub as `bootstrap.zip` of a function."""
    with zipfile.ZipFile(archive, "w") as opened:
        for name in ("bootstrap", "stub.py"):
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o755 << 16
            opened.writestr(entry, (_STUB / name).read_bytes())


def until(found: Callable[[], Any], within: float = 30, what: str = "it") -> Any:
    """What `found` gives, as soon as it gives anything."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        value = found()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"waited {within} s in vain for {what}")


class EmulatorTest(unittest.TestCase):
    """A test that makes one observation on the emulator as it comes, and one on the mended one."""

    as_it_comes: Cloud
    mended: Cloud

    @classmethod
    def setUpClass(cls) -> None:
        cls.as_it_comes = Cloud(without="all")
        cls.addClassCleanup(cls.as_it_comes.close)
        cls.mended = Cloud()
        cls.addClassCleanup(cls.mended.close)

    def observe(self, observation: Callable[[Cloud], Any], defect: Any, mended: Any) -> None:
        """Holds that the emulator has the defect still, and that the patch mends it."""
        with ThreadPoolExecutor(max_workers=2) as pool:
            seen = [pool.submit(observation, cloud) for cloud in (self.as_it_comes, self.mended)]
        self.assertEqual(seen[0].result(), defect, "the emulator does without this patch now: see whether it can go")
        self.assertEqual(seen[1].result(), mended)


@contextlib.contextmanager
def measured() -> Iterator[Callable[[], float]]:
    """Seconds since the block began."""
    began = time.monotonic()
    yield lambda: time.monotonic() - began


def architecture() -> str:
    """This machine's, as Lambda calls it."""
    return {"x86_64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}[platform.machine()]


__all__ = ["ACCOUNT", "REGION", "ROLE", "Cloud", "EmulatorTest", "architecture", "measured", "packages", "until"]
