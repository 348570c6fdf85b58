"""What a run takes of memory does not depend on how large a page or a record of it is."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import polars
import pytest

ROOT = Path(__file__).resolve().parents[2]
WRITER = ROOT / "target" / "debug" / "examples" / "pages_to_table"
MEGABYTES = 500 if os.environ.get("MILLRACE_TEST_LENGTH") == "long" else 120
# What the process has without any record, and the slices and batches that wait for one another.
PEAK_MIB = 200


def run(lake: Path, pages: Path) -> dict:
    """Takes the pages, and says what the process says of itself."""
    subprocess.run([WRITER, "prepare", lake, pages, "upsert", "lenient"], check=True)
    done = subprocess.run([WRITER, "run", lake], check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def write(pages: Path, pieces: list[str], padding: str) -> None:
    """A page whose records have a padding between their pieces."""
    pages.mkdir()
    with (pages / "0.json").open("w", encoding="utf-8") as page:
        for piece in pieces:
            page.write(piece.replace("PADDING", padding))


@pytest.mark.skipif(not WRITER.exists(), reason="target/debug/examples/pages_to_table is not built")
@pytest.mark.parametrize("largest", ["record", "page"])
def test_memory_is_bounded(tmp_path: Path, largest: str) -> None:
    """One record of hundreds of megabytes is kept out; as many megabytes in small records are taken."""
    if largest == "record":
        middle, taken = [f'{{"id":2,"v":"{"x" * 1_000_000}'] + ["x" * 1_000_000] * (MEGABYTES - 1) + ['"},'], [1, 3]
    else:
        middle = [f'{{"id":{10 + number},"v":"PADDING"}},' for number in range(MEGABYTES * 10)]
        taken = [1, 3, *range(10, 10 + MEGABYTES * 10)]
    write(tmp_path / "pages", ['[{"id":1},', *middle, '{"id":3}]'], "y" * 100_000)
    report = run(tmp_path / "lake", tmp_path / "pages")
    assert report["counts"].get("rows_quarantined", 0) == (1 if largest == "record" else 0)
    rows = polars.read_delta(str(tmp_path / "lake" / "tables" / "bench" / "orders"))
    assert sorted(rows["id"]) == sorted(taken)
    print(f"{MEGABYTES} MB in one {largest}: {report['peak_mib']} MiB")
    assert report["peak_mib"] <= PEAK_MIB
