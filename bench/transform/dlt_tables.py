"""dlt: pages that are extracted already → Delta tables, by its normalize and load."""

import json
import logging
import os
import sys
import time
from pathlib import Path

os.environ |= {
    "NORMALIZE__WORKERS": "2",
    "LOAD__WORKERS": "2",
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "RUNTIME__LOG_LEVEL": "ERROR",
}
import dlt  # noqa: E402  (reads the environment as it is imported)


@dlt.resource(name="orders", write_disposition="append", table_format="delta", primary_key="id")
def orders(folder: str):
    """The pages, a list of records each."""
    for file in sorted(Path(folder).iterdir()):
        yield json.loads(file.read_bytes())


def main(pages: str, out: str) -> None:
    """Extracts, which is not measured; then normalizes and loads, which is."""
    logging.disable(logging.WARNING)
    pipeline = dlt.pipeline(
        "bench",
        pipelines_dir=f"{out}/state",
        destination=dlt.destinations.filesystem(f"file://{out}/tables"),
        dataset_name="bench",
    )
    pipeline.extract(orders(pages), loader_file_format="parquet")
    started = time.perf_counter()
    pipeline.normalize()
    normalized = time.perf_counter()
    pipeline.load()
    print(json.dumps({"seconds": time.perf_counter() - started, "normalize": normalized - started}))


if __name__ == "__main__":
    main(*sys.argv[1:])
