"""airbyte-cdk: a declarative source's `read`, its messages written to a file that nobody reads."""

import json
import logging
import os
import sys
import time
from pathlib import Path

from airbyte_cdk.entrypoint import AirbyteEntrypoint
from airbyte_cdk.models import ConfiguredAirbyteCatalogSerializer
from airbyte_cdk.sources.declarative.concurrent_declarative_source import ConcurrentDeclarativeSource


def manifest(url: str, path: str) -> dict:
    """The source, as its builder would write it."""
    return {
        "version": "7.0.0",
        "type": "DeclarativeSource",
        "check": {"type": "CheckStream", "stream_names": ["orders"]},
        "streams": [
            {
                "type": "DeclarativeStream",
                "name": "orders",
                "primary_key": ["id"],
                "schema_loader": {
                    "type": "InlineSchemaLoader",
                    "schema": {"type": "object", "additionalProperties": True, "properties": {}},
                },
                "retriever": {
                    "type": "SimpleRetriever",
                    "requester": {"type": "HttpRequester", "url_base": url, "path": path, "http_method": "GET"},
                    "record_selector": {
                        "type": "RecordSelector",
                        "extractor": {"type": "DpathExtractor", "field_path": ["results"]},
                    },
                    "paginator": {
                        "type": "DefaultPaginator",
                        "page_token_option": {"type": "RequestPath"},
                        "pagination_strategy": {
                            "type": "CursorPagination",
                            "cursor_value": "{{ response['next'] and '" + url + "' + response['next'] }}",
                            "stop_condition": "{{ not response['next'] }}",
                        },
                    },
                },
            }
        ],
        "concurrency_level": {"type": "ConcurrencyLevel", "default_concurrency": 2},
        "spec": {"type": "Spec", "connection_specification": {"type": "object", "properties": {}}},
    }


def main(url: str, path: str, out: str) -> None:
    """Reads, and prints how long that took."""
    logging.disable(logging.WARNING)
    folder = Path(out)
    catalog = {
        "streams": [
            {
                "stream": {"name": "orders", "json_schema": {}, "supported_sync_modes": ["full_refresh"]},
                "sync_mode": "full_refresh",
                "destination_sync_mode": "append",
            }
        ]
    }
    (folder / "config.json").write_text("{}")
    (folder / "catalog.json").write_text(json.dumps(catalog))
    source = ConcurrentDeclarativeSource(
        catalog=ConfiguredAirbyteCatalogSerializer.load(catalog),
        config={},
        state=[],
        source_config=manifest(url, path),
    )
    arguments = ["read", "--config", f"{out}/config.json", "--catalog", f"{out}/catalog.json"]
    records = 0
    started = time.perf_counter()
    with open(os.devnull, "w", encoding="utf-8") as sink:
        for message in AirbyteEntrypoint(source).run(AirbyteEntrypoint.parse_args(arguments)):
            records += '"type":"RECORD"' in message
            print(message, file=sink)
    seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "counts": {"records": records}}))


if __name__ == "__main__":
    main(*sys.argv[1:])
