"""Polars: the pages as lines → one Parquet file, by its streaming engine."""

import json
import os
import sys
import time

os.environ["POLARS_MAX_THREADS"] = "2"
import polars  # noqa: E402  (reads the environment as it is imported)


def main(pages: str, out: str) -> None:
    """`scan_ndjson` of all pages → Parquet: quicker than `read_ndjson` page by page."""
    started = time.perf_counter()
    polars.scan_ndjson(f"{pages}/*.ndjson").sink_parquet(f"{out}/orders.parquet", compression="zstd")
    print(json.dumps({"seconds": time.perf_counter() - started}))


if __name__ == "__main__":
    main(*sys.argv[1:])
