"""delta-rs: changed rows into a Delta table by DataFusion's MERGE."""

import json
import sys
import time
from pathlib import Path

import deltalake
import polars


def main(table: str, changes: str) -> None:
    """MERGE by `id`: matched rows are updated, others inserted."""
    delta = deltalake.DeltaTable(table)
    before = set(delta.file_uris())
    source = polars.read_ndjson(f"{changes}/*.ndjson").to_arrow()
    started = time.perf_counter()
    (
        delta.merge(source, predicate="t.id = s.id", source_alias="s", target_alias="t")
        .when_matched_update_all()
        .when_not_matched_insert_all()
        .execute()
    )
    seconds = time.perf_counter() - started
    added = set(delta.file_uris()) - before
    print(json.dumps({"seconds": seconds, "rewritten": sum(Path(file).stat().st_size for file in added)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
