"""The object store in which everything lies: conditional puts, ranges and lists are what `crates/store` takes them for."""

from __future__ import annotations

import os
import subprocess

from cloud import Cloud

from localcloud.instance import ROOT

SUITE = ROOT / "target" / "debug" / "examples" / "s3_conformance"


def test_s3_holds_to_the_suite_that_a_folder_holds_to(cloud: Cloud) -> None:
    assert SUITE.exists(), "the suite is built by `cargo test --workspace`"
    bucket = "millrace-conformance"
    cloud.s3().create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    try:
        environment = {**os.environ, **cloud.instance.aws_environment(), "MILLRACE_LAKE": f"s3://{bucket}"}
        done = subprocess.run([SUITE], env=environment, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stderr
    finally:
        cloud.s3().delete_bucket(Bucket=bucket)
