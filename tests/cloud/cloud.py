"""What the tests see of a local cloud: what a caller, an operator and a reader of the lake would."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError
from deltalake import DeltaTable, QueryBuilder

from localcloud import api, aws, main_job, processes
from localcloud.instance import REGION, ROOT, Instance

#: Pipelines of the tests, deployed beside the shipped ones: `definitions/` of this folder.
DEFINITIONS = Path(__file__).parent / "definitions"

#: Where the functions stand that reach the stores. The emulator's network is this machine's all the same.
NETWORK = {"subnet_ids": ["subnet-1"], "security_group_ids": ["sg-1"]}

#: When half of the sample source's reports had happened.
HALF = datetime(2018, 2, 3, 17, 26, tzinfo=timezone.utc)


class Cloud:
    """A deployed local cloud."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.instance = Instance(directory)

    # ── its life ────────────────────────────────────────────────────────────────────────────────────────────────────

    def up(self) -> None:
        """Deploys the shipped definitions and the tests' own, with an ingest function that has 15 seconds."""
        origin = self.directory.parent / "definitions"
        for kind in ("connections", "pipelines", "models", "endpoints"):
            shutil.copytree(ROOT / kind, origin / kind)
            if (DEFINITIONS / kind).is_dir():
                shutil.copytree(DEFINITIONS / kind, origin / kind, dirs_exist_ok=True)
        port = processes.free_port()
        keyed = origin / "connections" / "keyed.yaml"
        keyed.write_text(keyed.read_text().replace("http://127.0.0.1:1", f"http://127.0.0.1:{port}"))
        united = origin / "pipelines" / "united.yaml"
        united.write_text(united.read_text().replace("keep: 1d", f"keep: {days_since_half()}d"))
        variables = self.directory.parent / "variables.json"
        variables.write_text(json.dumps({"functions": {"ingest": {"timeout_seconds": 15}}, "network": NETWORK}))
        self.command("up", "--no-job", "--definitions", str(origin), "--variables", str(variables), "--sample", f"--records 1707 --port {port}")
        self.instance = Instance.open(self.directory)

    def down(self) -> None:
        """Destroys it by Terraform, which must leave nothing, and ends it."""
        self.command("down", "--destroy")

    def command(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A command of `scripts/cloud` on this instance."""
        line = [sys.executable, "-m", "localcloud", "--directory", str(self.directory), *arguments]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
        if check:
            assert done.returncode == 0, f"{' '.join(arguments)}:\n{done.stdout}\n{done.stderr}"
        return done

    def keep_logs(self) -> None:
        """Copies the logs to where a person finds them when the instance is gone."""
        logs, kept = self.directory / "log", ROOT / ".millrace" / "test" / "cloud"
        if logs.is_dir():
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(logs, kept, ignore_dangling_symlinks=True)

    # ── its API ─────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def operator(self) -> str:
        """The operator's key."""
        return self.instance.facts["keys"]["operator"]

    @property
    def consumer(self) -> str:
        """The consumer's key."""
        return self.instance.facts["keys"]["consumer"]

    def call(self, method: str, path: str, **more: Any) -> api.Answer:
        """One request through API Gateway."""
        return api.call(self.instance, method, path, **more)

    def start(self, pipeline: str, idempotency_key: str | None = None) -> api.Answer:
        """Asks for a run."""
        headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
        return self.call("POST", f"/pipelines/{pipeline}/runs", key=self.operator, headers=headers)

    def run(self, pipeline: str) -> dict[str, Any]:
        """Starts a run, waits for its end, and gives its entry in the ledger."""
        answer = self.start(pipeline)
        assert answer.status == 202, answer
        return self.wait(run_of(answer))

    def wait(self, run: str, patience: float = 300) -> dict[str, Any]:
        """A run's entry in the ledger after its end."""
        return main_job.wait(self.instance, run, patience)

    def succeed(self, pipeline: str) -> dict[str, Any]:
        """A run that must end well."""
        entry = self.run(pipeline)
        assert entry["status"] == "succeeded", json.dumps(entry, indent=2)
        return entry

    def rows(self, path: str, **query: Any) -> list[dict[str, Any]]:
        """All rows of a route, page by page."""
        rows: list[dict[str, Any]] = []
        while True:
            answer = self.call("GET", path, key=self.consumer, query={"limit": 1000, **query})
            assert answer.status == 200, answer
            rows += answer.body["data"]
            if not (cursor := answer.body["page"]["next"]):
                return rows
            query["cursor"] = cursor

    # ── its source ──────────────────────────────────────────────────────────────────────────────────────────────────

    def source(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """What the sample source says, or is told."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.instance.facts["source"] + path, data=data, headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    # ── its lake and its store ──────────────────────────────────────────────────────────────────────────────────────

    def s3(self) -> Any:
        """A client of its object store."""
        return aws.client(self.instance, "s3")

    @property
    def bucket(self) -> str:
        """The lake's bucket."""
        return self.instance.facts["lake"].removeprefix("s3://")

    def keys(self, prefix: str) -> list[str]:
        """The keys under a prefix."""
        pages = self.s3().get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    @contextmanager
    def changed(self, key: str, body: bytes) -> Iterator[None]:
        """An object of the lake as somebody puts it by hand; afterwards it is again the version that it was."""
        version = self.s3().put_object(Bucket=self.bucket, Key=key, Body=body)["VersionId"]
        try:
            yield
        finally:
            self.s3().delete_object(Bucket=self.bucket, Key=key, VersionId=version)

    def read(self, key: str) -> bytes:
        """An object's bytes."""
        return self.s3().get_object(Bucket=self.bucket, Key=key)["Body"].read()

    def table(self, key: str, *columns: str, bucket: str | None = None) -> dict[str, list[Any]]:
        """Columns of a Delta table, read by an implementation that is not Millrace's."""
        options = {
            "AWS_ENDPOINT_URL": self.instance.url,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "111122223333",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "eu-central-1",
            "aws_virtual_hosted_style_request": "false",
        }
        table = DeltaTable(f"s3://{bucket or self.bucket}/{key}", storage_options=options)
        rows = QueryBuilder().register("rows", table).execute(f"SELECT {', '.join(columns)} FROM rows").read_all()
        return {column: rows.column(column).to_pylist() for column in columns}

    def sql(self, query: str) -> list[list[str]]:
        """What the operational store answers its owner."""
        store = self.instance.facts["store"]["owner"]
        binaries = os.environ.get("MILLRACE_POSTGRES_BIN", "")
        psql = shutil.which("psql", path=f"{binaries}{os.pathsep}{os.environ['PATH']}")
        assert psql, "psql is not on the PATH"
        environment = {
            **os.environ,
            "PGHOST": str(store["host"]),
            "PGPORT": str(store["port"]),
            "PGDATABASE": store["dbname"],
            "PGUSER": store["username"],
            "PGPASSWORD": store["password"],
        }
        done = subprocess.run([psql, "-AtF\t", "-c", query], env=environment, capture_output=True, text=True, check=True)
        return [line.split("\t") for line in done.stdout.splitlines()]

    # ── its processes ───────────────────────────────────────────────────────────────────────────────────────────────

    def workers(self, functions: Iterable[str]) -> list[int]:
        """The processes that are functions of this instance."""
        found = []
        for process in Path("/proc").iterdir():
            if not process.name.isdigit():
                continue
            try:
                environment = (process / "environ").read_bytes()
                if str(self.directory).encode() not in environment:
                    continue
                name = next(
                    (
                        value.partition(b"=")[2].decode()
                        for value in environment.split(b"\0")
                        if value.startswith(b"AWS_LAMBDA_FUNCTION_NAME=")
                    ),
                    "",
                )
            except OSError:
                continue
            if any(name == self.instance.facts["functions"][function] for function in functions):
                found.append(int(process.name))
        return found

    def client_of(self, function: str, service: str) -> Any:
        """A client with what a function that runs has of its role."""
        worker = self.workers([function])[0]
        environment = dict(
            variable.decode().split("=", 1)
            for variable in Path(f"/proc/{worker}/environ").read_bytes().split(b"\0")
            if variable
        )
        return boto3.client(
            service,
            endpoint_url=self.instance.url,
            region_name=REGION,
            aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
            aws_session_token=environment.get("AWS_SESSION_TOKEN"),
        )


def refused(call: Any, **arguments: str | bytes) -> bool:
    """Whether IAM refuses it; anything else than that is an error."""
    try:
        call(**arguments)
    except ClientError as error:
        assert error.response["Error"]["Code"] in ("AccessDenied", "AccessDeniedException"), error
        return True
    return False


def days_since_half() -> int:
    """For how many days a store keeps rows that has the later half of the source's reports, to a day."""
    return (datetime.now(timezone.utc) - HALF).days


def kill(process: int) -> None:
    """`kill -9`, which may come too late. Waits for the end: a worker that is only about to end still gets a request."""
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return
    until(lambda: _has_ended(process), patience=10)


def _has_ended(process: int) -> bool:
    """Whether it is gone, or waits only for its parent to take notice."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state in "ZX"


def run_of(answer: api.Answer) -> str:
    """The run that an answer of the control API is about."""
    data = answer.body["data"]
    return (data[0] if isinstance(data, list) else data)["run"]


def until(condition: Callable[[], Any], patience: float = 60) -> Any:
    """What the condition gives when it first gives something."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if result := condition():
            return result
        time.sleep(0.1)
    raise AssertionError(f"not within {patience} s")
