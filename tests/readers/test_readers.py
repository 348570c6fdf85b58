"""Tables after more than a hundred commits, read by delta-rs, Polars and DuckDB: all of them read what was written."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import deltalake
import duckdb
import polars
import pytest

ROOT = Path(__file__).resolve().parents[2]
WRITER = ROOT / "target" / "debug" / "examples" / "pages_to_table"
RUNS = 104
PAGE = 25
KEPT_RUNS = 6


def record(run: int, place: int) -> dict:
    """A record of a run; every run writes some keys of earlier ones again."""
    key = (run * 7 + place) % 300
    return {
        "id": key,
        "at": f"2026-01-01T00:00:{run % 60:02}Z",
        "amount": run + place / 4,
        "paid": place % 2 == 0,
        "note": None if place % 3 else f"número {run}",
        "lines": [{"sku": f"s{place}", "n": n} for n in range(place % 3)],
    }


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake whose table took one run after the other."""
    if not WRITER.exists():
        pytest.skip("target/debug/examples/pages_to_table is not built: cargo build --workspace --example pages_to_table")
    folder = tmp_path_factory.mktemp("readers")
    for run in range(RUNS):
        pages = folder / "pages"
        pages.mkdir(exist_ok=True)
        (pages / "0.json").write_text(json.dumps([record(run, place) for place in range(PAGE)]), encoding="utf-8")
        subprocess.run([WRITER, "prepare", folder / "lake", pages, "upsert"], check=True)
        subprocess.run([WRITER, "run", folder / "lake"], check=True, stdout=subprocess.DEVNULL)
    return folder / "lake" / "tables" / "bench"


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table whose lists stayed lists, over runs that found wider numbers and more fields in them."""
    if not WRITER.exists():
        pytest.skip("target/debug/examples/pages_to_table is not built: cargo build --workspace --example pages_to_table")
    folder = tmp_path_factory.mktemp("kept")
    for run in range(KEPT_RUNS):
        pages = folder / "pages"
        pages.mkdir(exist_ok=True)
        (pages / "0.json").write_text(json.dumps([kept_record(run, place) for place in range(PAGE)]), encoding="utf-8")
        subprocess.run([WRITER, "prepare", folder / "lake", pages, "upsert", "keep"], check=True)
        subprocess.run([WRITER, "run", folder / "lake"], check=True, stdout=subprocess.DEVNULL)
    return folder / "lake" / "tables" / "bench" / "orders"


def kept_record(run: int, place: int) -> dict:
    """A record with lists of objects and of lists."""
    line = {"sku": f"s{place}", "n": run if run < 2 else run + 0.5}
    if run > 2:
        line["lots"] = [place, place + 1]
    grid = None if place % 5 == 0 else [[place], [], [run, place]]
    return {"id": (run * 7 + place) % 40, "lines": [line] * (place % 3), "grid": grid}


def kept_rows() -> list[tuple]:
    """The rows that should be there, with all fields that any of them has."""
    records = [kept_record(run, place) for run in range(KEPT_RUNS) for place in range(PAGE)]
    rows = {record["id"]: record for record in records}
    whole = [{"sku": None, "n": None, "lots": None}]
    lines = lambda row: [{**whole[0], **line, "n": float(line["n"])} for line in row["lines"]]  # noqa: E731
    return sorted((row["id"], lines(row), row["grid"]) for row in rows.values())


def test_lists_that_were_kept_are_read_alike_by_all(kept: Path) -> None:
    """Lists of structs and of lists, by delta-rs, Polars and DuckDB."""
    table = deltalake.DeltaTable(kept)
    fields = {field.name: json.loads(field.type.to_json()) for field in table.schema().fields}
    assert fields["lines"]["type"] == "array" and fields["lines"]["elementType"]["type"] == "struct"
    rows = duckdb.execute("SELECT id, lines, grid FROM read_parquet(?)", [table.file_uris()]).fetchall()
    assert sorted(rows, key=lambda row: row[0]) == kept_rows()
    for frame in (polars.read_delta(str(kept)), polars.read_parquet(table.file_uris())):
        found = frame.select("id", "lines", "grid").sort("id").to_dicts()
        assert [(row["id"], row["lines"], row["grid"]) for row in found] == kept_rows()


def expected() -> dict[int, dict]:
    """The rows that should be there."""
    rows = [record(run, place) for run in range(RUNS) for place in range(PAGE)]
    return {row["id"]: row for row in rows}


def summary(rows: list[tuple]) -> list[tuple]:
    """Rows as they are compared."""
    return sorted((int(row[0]), float(row[1]), bool(row[2]), row[3]) for row in rows)


def wanted() -> list[tuple]:
    """The expected rows as they are compared."""
    return summary([(row["id"], row["amount"], row["paid"], row["note"]) for row in expected().values()])


def by_polars(frame: polars.DataFrame) -> list[tuple]:
    """The rows of a frame as they are compared."""
    return summary(frame.select("id", "amount", "paid", "note").rows())


def test_delta_rs_reads_the_table(lake: Path) -> None:
    """delta-rs, its log alone."""
    table = deltalake.DeltaTable(lake / "orders")
    assert table.version() == RUNS - 1
    assert (table.protocol().min_reader_version, table.protocol().min_writer_version) == (1, 2)
    assert by_polars(polars.read_parquet(table.file_uris())) == wanted()


def test_polars_reads_the_table(lake: Path) -> None:
    """Polars by its own reader of Delta, children too."""
    assert by_polars(polars.read_delta(str(lake / "orders"))) == wanted()
    children = polars.read_delta(str(lake / "orders__lines"))
    assert children.height == sum(len(row["lines"]) for row in expected().values())
    assert set(children["_parent_id"]) <= set(expected())


def test_duckdb_reads_the_files(lake: Path) -> None:
    """DuckDB over the files that the log names."""
    files = deltalake.DeltaTable(lake / "orders").file_uris()
    rows = duckdb.execute("SELECT id, amount, paid, note FROM read_parquet(?)", [files]).fetchall()
    assert summary(rows) == wanted()


def test_a_reader_of_checkpoints_needs_no_earlier_log(lake: Path) -> None:
    """What lies behind the last checkpoint is not needed."""
    log = lake / "orders" / "_delta_log"
    last = json.loads((log / "_last_checkpoint").read_text())["version"]
    assert last >= 80
    for entry in log.glob("*.json"):
        if entry.stem.isdigit() and int(entry.stem) < last:
            entry.unlink()
    assert by_polars(polars.read_delta(str(lake / "orders"))) == wanted()
    transactions = deltalake.DeltaTable(lake / "orders").transaction_version("millrace")
    assert transactions == RUNS
