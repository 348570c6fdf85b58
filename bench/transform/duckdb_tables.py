"""DuckDB: the pages → one Parquet file, or changed rows into a table that has them already."""

import json
import sys
import time

import duckdb


def convert(pages: str, out: str) -> None:
    """`read_json` of all pages → Parquet, lists and objects kept as they are."""
    connection = duckdb.connect()
    connection.execute("SET threads = 2")
    started = time.perf_counter()
    connection.execute(
        f"COPY (SELECT * FROM read_json('{pages}/*.json')) TO '{out}/orders.parquet' (FORMAT parquet, COMPRESSION zstd)"
    )
    print(json.dumps({"seconds": time.perf_counter() - started}))


def upsert(table: str, changes: str, out: str) -> None:
    """Changed rows into DuckDB's own table, by its primary key."""
    connection = duckdb.connect(f"{out}/upsert.duckdb")
    connection.execute("SET threads = 2")
    connection.execute(f"CREATE TABLE rows AS FROM read_parquet('{table}/*.parquet')")
    connection.execute("ALTER TABLE rows ADD PRIMARY KEY (id)")
    connection.execute("CHECKPOINT")
    started = time.perf_counter()
    connection.execute(f"INSERT OR REPLACE INTO rows BY NAME FROM read_json('{changes}/*.json')")
    connection.execute("CHECKPOINT")
    print(json.dumps({"seconds": time.perf_counter() - started}))


if __name__ == "__main__":
    {"convert": convert, "upsert": upsert}[sys.argv[1]](*sys.argv[2:])
