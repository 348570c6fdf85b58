"""Answers that are no text come through the gateway as they are."""

from __future__ import annotations

import pytest
from cloud import Cloud

ARROW = "application/vnd.apache.arrow.stream"
PARQUET = "application/vnd.apache.parquet"


@pytest.mark.parametrize(("form", "begins", "ends"), [(PARQUET, b"PAR1", b"PAR1"), (ARROW, b"\xff\xff\xff\xff", b"\xff\xff\xff\xff\0\0\0\0")])
def test_columns_are_bytes(cloud: Cloud, form: str, begins: bytes, ends: bytes) -> None:
    cloud.succeed("earthquakes")
    answer = cloud.call("GET", "/quakes", key=cloud.consumer, headers={"Accept": form})
    assert (answer.status, answer.headers["content-type"]) == (200, form)
    assert isinstance(answer.body, bytes), "Base64 is text"
    assert answer.body.startswith(begins)
    assert answer.body.endswith(ends)
