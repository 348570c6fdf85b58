"""Pages of nested records, as an API would send them: the same bytes for the same arguments.

    python bench/pages.py FOLDER [--records 200000] [--page 1000]

writes FOLDER/json/00000.json (a list of records each) and FOLDER/ndjson/00000.ndjson (the same records, a line each, for
readers that want lines). A record is an order: a customer with an address, two or three lines, some tags.
"""

import argparse
import json
import random
from pathlib import Path

CITIES = ["Ghent", "Porto", "Turku", "Graz", "Lyon", "Cork", "Malmö", "Gdańsk"]
STREETS = ["Mill Lane", "Weir Road", "Sluice Street", "Harbour Row", "Station Road"]
STATUS = ["open", "paid", "shipped", "returned"]
TAGS = ["gift", "express", "export", "b2b", "sample"]


def order(number: int, rng: random.Random) -> dict:
    """The order of that number."""
    customer = rng.randrange(40_000)
    minute = number % 525_600
    placed = f"2026-{1 + minute // 44_640:02}-{1 + minute // 1440 % 28:02}T{minute // 60 % 24:02}:{minute % 60:02}:00Z"
    return {
        "id": number,
        "placed_at": placed,
        "status": STATUS[rng.randrange(4)],
        "currency": "EUR",
        "channel": "web",
        "total": rng.randrange(100, 90_000) / 100,
        "customer": {
            "id": customer,
            "name": f"Customer {customer}",
            "email": f"customer.{customer}@example.com",
            "address": {
                "street": f"{STREETS[customer % 5]} {customer % 180}",
                "city": CITIES[customer % 8],
                "zip": f"{10_000 + customer % 80_000}",
                "country": "Europe",
            },
        },
        "lines": [
            {
                "sku": f"SKU-{rng.randrange(9_000):05}",
                "quantity": rng.randrange(1, 9),
                "price": rng.randrange(100, 30_000) / 100,
            }
            for _ in range(rng.randrange(1, 5))
        ],
        "tags": rng.sample(TAGS, rng.randrange(0, 3)),
        "note": None if number % 3 else f"Leave it at number {customer % 180}, please.",
    }


def write(folder: Path, records: int, page: int) -> None:
    """Writes the pages, in both forms."""
    rng = random.Random(20_261_121)
    for form in ("json", "ndjson"):
        (folder / form).mkdir(parents=True, exist_ok=True)
    for index, first in enumerate(range(0, records, page)):
        texts = [
            json.dumps(order(number, rng), ensure_ascii=False, separators=(",", ":"))
            for number in range(first, min(first + page, records))
        ]
        (folder / "json" / f"{index:05}.json").write_text("[" + ",".join(texts) + "]", encoding="utf-8")
        (folder / "ndjson" / f"{index:05}.ndjson").write_text("\n".join(texts) + "\n", encoding="utf-8")


def main() -> None:
    """Reads the arguments and writes the pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--page", type=int, default=1_000)
    arguments = parser.parse_args()
    write(arguments.folder, arguments.records, arguments.page)


if __name__ == "__main__":
    main()
