"""What `make bench-transform` runs: raw payloads → Delta, beside dlt, DuckDB and Polars; an upsert, beside DuckDB and delta-rs.

Every measurement is a process of its own: seconds as it says them, CPU seconds and peak memory as the system says them. Of
several rounds the best one counts.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
MILLRACE = ROOT / "target" / "debug" / "examples" / "pages_to_table"


@dataclass
class Measured:
    """What one process took."""

    seconds: float
    cpu: float
    peak_mib: int
    report: dict


def measure(*command: object) -> Measured:
    """Runs a command, the last line of which is a JSON object with its seconds."""
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, text=True)
    output = process.stdout.read() if process.stdout else ""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))} ended with {process.returncode}")
    report = json.loads(output.strip().splitlines()[-1])
    return Measured(report["seconds"], usage.ru_utime + usage.ru_stime, usage.ru_maxrss // 1024, report)


def millrace(*words: object) -> None:
    """What is done beside the measurements."""
    subprocess.run([MILLRACE, *map(str, words)], check=True)


def python(script: str, *words: object) -> Measured:
    """A peer."""
    return measure(sys.executable, HERE / script, *words)


def best(rounds: int, contenders: dict) -> dict[str, Measured]:
    """The quickest of some rounds of each, in turns: what else the machine does meets all of them."""
    found: dict[str, Measured] = {}
    for _ in range(rounds):
        for name, once in contenders.items():
            measured = once()
            if name not in found or measured.seconds < found[name].seconds:
                found[name] = measured
    return found


def line(name: str, measured: Measured, beside: float, more: str = "") -> None:
    """Prints a row of the table."""
    print(
        f"{name:<44} {measured.seconds:>8.2f} s {measured.cpu:>8.2f} s {measured.peak_mib:>6} MiB "
        f"{measured.seconds / beside:>7.2f}{more}",
        flush=True,
    )


def head(title: str, size: str) -> None:
    """Prints the head of a table."""
    print(f"\n{title}: {size}, two threads each\n{'':<44} {'wall':>10} {'CPU':>10} {'peak':>10} {'ratio':>7}")


def folder(work: Path, name: str) -> Path:
    """An empty folder."""
    path = work / name
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def transform(work: Path, records: int, rounds: int, with_dlt: bool) -> None:
    """Nested records, once."""
    pages = folder(work, "pages")
    subprocess.run([sys.executable, ROOT / "bench" / "pages.py", pages, "--records", str(records)], check=True)
    size = sum(file.stat().st_size for file in (pages / "json").iterdir())
    head("Raw payloads → tables", f"{records:,} nested records, {size / 1e6:.0f} MB")

    def ours(*write: str) -> Measured:
        lake = folder(work, "lake")
        millrace("prepare", lake, pages / "json", *write)
        return measure(MILLRACE, "run", lake)

    contenders = {
        "Millrace, upsert, lists as child tables": lambda: ours("upsert"),
        "Millrace, append, lists as child tables": lambda: ours("append"),
        "Millrace, append, lists kept as lists": lambda: ours("append", "keep"),
        "DuckDB, read_json → Parquet": lambda: python("duckdb_tables.py", "convert", pages / "json", folder(work, "out")),
        "Polars, scan_ndjson → Parquet": lambda: python("polars_tables.py", pages / "ndjson", folder(work, "out")),
    }
    found = best(rounds, contenders)
    if with_dlt:
        found["dlt, normalize and load → Delta, append"] = python("dlt_tables.py", pages / "json", folder(work, "out"))
    first = next(iter(found.values()))
    for name, measured in found.items():
        line(name, measured, first.seconds)


def upsert(work: Path, rows: int, changed: int) -> None:
    """Changed rows into a table that has many."""
    lake, pages = folder(work, "lake"), folder(work, "pages")
    table = lake / "tables" / "bench" / "orders"
    portion = min(rows, 1_000_000)
    for first in range(0, rows, portion):
        millrace("rows", pages, first, portion, 1, "first")
        millrace("prepare", lake, pages / "json", "append")
        measure(MILLRACE, "run", lake)
    spread = rows // changed
    for title, first, apart in (("the latest", rows - changed, 1), ("spread over all", 0, spread)):
        head(f"Upsert of {title}", f"{changed:,} changed rows into {rows:,}")
        millrace("rows", pages, first, changed, apart, "second")
        copy = folder(work, "copy")
        shutil.copytree(lake, copy, dirs_exist_ok=True)
        before = {file.name for file in table.glob("*.parquet")}
        millrace("prepare", copy, pages / "json", "upsert")
        ours = measure(MILLRACE, "run", copy)
        added = (copy / "tables" / "bench" / "orders").glob("*.parquet")
        rewritten = sum(file.stat().st_size for file in added if file.name not in before)
        line("Millrace", ours, ours.seconds, f", {rewritten / 1e6:.0f} MB written")
        duck = python("duckdb_tables.py", "upsert", table, pages / "json", folder(work, "out"))
        line("DuckDB's own table, by its primary key", duck, ours.seconds)
        shutil.copytree(table, folder(work, "out") / "table")
        merge = python("delta_rs_merge.py", work / "out" / "table", pages / "ndjson")
        line("delta-rs, MERGE", merge, ours.seconds, f", {merge.report['rewritten'] / 1e6:.0f} MB written")


def main() -> None:
    """Reads the arguments and measures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--changed", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--without-dlt", action="store_true", help="dlt takes minutes")
    parser.add_argument("--only", choices=["transform", "upsert"])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="millrace-bench-") as name:
        work = Path(name)
        if arguments.only != "upsert":
            transform(work, arguments.records, arguments.rounds, not arguments.without_dlt)
        if arguments.only != "transform":
            upsert(work, arguments.rows, arguments.changed)


if __name__ == "__main__":
    main()
