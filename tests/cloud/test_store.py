"""The object store in which everything lies: conditional puts, ranges and lists are what `crates/store` takes them for."""

from __future__ import annotations

import os
import subprocess

import pytest
from cloud import Cloud

from localcloud.instance import ROOT

SUITE = ROOT / "target" / "debug" / "examples" / "s3_conformance"


@pytest.mark.parametrize("versions", ["Suspended", "Enabled"])
def test_s3_holds_to_the_suite_that_a_folder_holds_to(cloud: Cloud, versions: str) -> None:
    assert SUITE.exists(), "the suite is built by `cargo test --workspace`"
    bucket = f"millrace-conformance-{versions.lower()}"
    cloud.s3().create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    if versions == "Enabled":
        cloud.s3().put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": versions})
    try:
        environment = {**os.environ, **cloud.instance.aws_environment(), "MILLRACE_LAKE": f"s3://{bucket}"}
        done = subprocess.run([SUITE], env=environment, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stderr
    finally:
        cloud.s3().delete_bucket(Bucket=bucket)
