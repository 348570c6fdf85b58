"""dlt: a REST API → its extracted packages on disk, by `extract` alone."""

import json
import logging
import os
import sys
import time

# As dlt's page on performance advises: larger buffers, no progress, no telemetry.
os.environ |= {
    "DATA_WRITER__BUFFER_MAX_ITEMS": "100000",
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "RUNTIME__LOG_LEVEL": "ERROR",
}
import dlt  # noqa: E402  (reads the environment as it is imported)
from dlt.sources.rest_api import rest_api_source  # noqa: E402


def main(url: str, path: str, out: str) -> None:
    """Extracts, and prints how long that took."""
    logging.disable(logging.WARNING)
    source = rest_api_source(
        {
            "client": {"base_url": url},
            "resources": [
                {
                    "name": "orders",
                    "endpoint": {
                        "path": path,
                        "data_selector": "results",
                        "paginator": {"type": "json_link", "next_url_path": "next"},
                    },
                }
            ],
        }
    )
    pipeline = dlt.pipeline("bench", pipelines_dir=f"{out}/state", destination="filesystem", dataset_name="bench")
    started = time.perf_counter()
    pipeline.extract(source)
    seconds = time.perf_counter() - started
    counts = pipeline.last_trace.last_extract_info.metrics.values()
    records = sum(count.items_count for load in counts for metric in load for name, count in metric["table_metrics"].items())
    print(json.dumps({"seconds": seconds, "counts": {"records": records}}))


if __name__ == "__main__":
    main(*sys.argv[1:])
