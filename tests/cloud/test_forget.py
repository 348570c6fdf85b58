"""An erasure leaves no trace of the key in any version of any object of a bucket that keeps versions."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import zstandard
from arro3.core import Array, DataType, Table
from cloud import Cloud
from deltalake import write_deltalake

from localcloud.instance import ROOT

MILLRACE = ROOT / "target" / "debug" / "millrace"
WRITER = ROOT / "target" / "debug" / "examples" / "pages_to_table"
BUCKET = "millrace-forget"
SUBJECT = "subject-4711"
# What a frame of zstd begins with.
FRAME = b"\x28\xb5\x2f\xfd"
PIPELINE = """pipeline: bench
resources:
  - { name: orders, connection: bench, path: /orders, key: [id] }
tables:
  - { name: orders, from: orders, write: upsert, key: [id] }
models:
  - { name: by_mail, query: 'SELECT mail, count(*) AS n FROM orders__lines l JOIN orders o ON l._parent_id = o.id GROUP BY 1' }
  - { name: log, write: append, query: 'SELECT id, mail FROM orders' }
"""
CONNECTION = "connection: bench\nbase_url: https://bench.test\nauth: none\n"


def records(run: int) -> list[dict[str, Any]]:
    """What a run pulls: the subject, and others."""
    names = [SUBJECT, "ada", f"number-{run}"]
    return [{"id": name, "mail": f"{name}@example.com", "run": run, "lines": [{"of": name}]} for name in names]


def model(lake: Path, name: str, column: str) -> None:
    """A model's table as it was made while the subject was known, in two versions."""
    for mode in ("append", "overwrite"):
        rows = Table.from_pydict({column: Array([SUBJECT, "ada"], DataType.utf8())})
        write_deltalake(str(lake / "tables" / "bench" / name), rows, mode=mode)


def mirror(s3: Any, lake: Path) -> None:
    """Makes the bucket hold what a folder holds: what was there before becomes earlier versions."""
    files = {str(file.relative_to(lake)): file for file in lake.rglob("*") if file.is_file()}
    for known in s3.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        if known["Key"] not in files:
            s3.delete_object(Bucket=BUCKET, Key=known["Key"])
    for key, file in files.items():
        s3.put_object(Bucket=BUCKET, Key=key, Body=file.read_bytes())


def versions(s3: Any) -> list[dict[str, str]]:
    """All versions of all objects."""
    pages = s3.get_paginator("list_object_versions").paginate(Bucket=BUCKET)
    return [version for page in pages for version in page.get("Versions", [])]


def frames(body: bytes) -> Iterator[bytes]:
    """What the frames of zstd hold in an object: those of raw payloads, and each page of Parquet is one."""
    at = body.find(FRAME)
    while at >= 0:
        with contextlib.suppress(zstandard.ZstdError):
            yield zstandard.ZstdDecompressor().decompressobj().decompress(body[at:])
        at = body.find(FRAME, at + 1)


def traces(s3: Any) -> list[str]:
    """The versions of objects whose bytes, decompressed, name the subject."""
    found = []
    for version in versions(s3):
        key = version["Key"]
        body = s3.get_object(Bucket=BUCKET, Key=key, VersionId=version["VersionId"])["Body"].read()
        text = body + b"".join(frames(body))
        if SUBJECT.encode() in text:
            found.append(key)
    return found


def test_no_version_of_any_object_names_who_was_forgotten(cloud: Cloud, tmp_path: Path) -> None:
    s3 = cloud.s3()
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    lake, pages, definitions = tmp_path / "lake", tmp_path / "pages", tmp_path / "definitions"
    for run in range(3):
        pages.mkdir(exist_ok=True)
        (pages / "0.json").write_text(json.dumps(records(run)), encoding="utf-8")
        subprocess.run([WRITER, "prepare", lake, pages, "upsert"], check=True)
        subprocess.run([WRITER, "run", lake], check=True, stdout=subprocess.DEVNULL)
        mirror(s3, lake)
    model(lake, "by_mail", "mail")
    model(lake, "log", "id")
    mirror(s3, lake)
    before = traces(s3)
    assert {key.split("/")[0] for key in before} == {"raw", "tables"}, before
    assert {key.split("/")[2] for key in before if key.startswith("tables/")} >= {"orders", "by_mail", "log"}, before
    for kind, text in (("connections", CONNECTION), ("pipelines", PIPELINE)):
        (definitions / kind).mkdir(parents=True)
        (definitions / kind / "bench.yaml").write_text(text, encoding="utf-8")
    command = [MILLRACE, "-C", definitions, "forget", "bench", "--key", f"id={SUBJECT}", "--lake", f"s3://{BUCKET}"]
    environment = {**os.environ, **cloud.instance.aws_environment()}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "versions removed" in done.stdout, done.stdout
    assert traces(s3) == []
    rows = cloud.table("tables/bench/orders", "id", bucket=BUCKET)["id"]
    assert sorted(rows) == ["ada", "number-0", "number-1", "number-2"]
    assert sorted(cloud.table("tables/bench/by_mail", "mail", bucket=BUCKET)["mail"]) == [f"{name}@example.com" for name in sorted(rows)]
    assert cloud.table("tables/bench/log", "id", bucket=BUCKET)["id"] == ["ada"]
    for version in versions(s3):
        s3.delete_object(Bucket=BUCKET, Key=version["Key"], VersionId=version["VersionId"])
    s3.delete_bucket(Bucket=BUCKET)
