"""A site of static pages, each with the link to the next one in its body: the same bytes for the same arguments.

    python bench/ingest/linked_pages.py FOLDER [--pages 400] [--page 500]

writes FOLDER/00000.json and so on: `{"count": …, "next": "/00001.json", "previous": …, "results": [record, …]}`, as a
Django REST framework sends it. The records are those of bench/pages.py, with a text that brings a page to 225 kB.
"""

import argparse
import json
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from pages import order  # noqa: E402

WORDS = "the mill race carries water from the weir to the wheel and back into the river below it".split()


def record(number: int, rng: random.Random) -> dict:
    """The record of that number."""
    found = order(number, rng)
    found["note"] = " ".join(rng.choice(WORDS) for _ in range(4))
    return found


def write(folder: Path, pages: int, size: int) -> int:
    """Writes the pages, and gives back how many bytes they have."""
    rng = random.Random(20_261_121)
    folder.mkdir(parents=True, exist_ok=True)
    written = 0
    for page in range(pages):
        link = [f"/{other:05}.json" if 0 <= other < pages else None for other in (page - 1, page + 1)]
        body = {
            "count": pages * size,
            "next": link[1],
            "previous": link[0],
            "results": [record(number, rng) for number in range(page * size, (page + 1) * size)],
        }
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
        written += (folder / f"{page:05}.json").write_bytes(text.encode())
    return written


def main() -> None:
    """Reads the arguments and writes the site."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pages", type=int, default=400)
    parser.add_argument("--page", type=int, default=500)
    arguments = parser.parse_args()
    print(f"{write(arguments.folder, arguments.pages, arguments.page) / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
