"""Pages of servers that are not ours: all rows are there once, and where the definition names no paginator it is found."""

from __future__ import annotations

import json
import sqlite3
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import Author, free_port, server

HERE = Path(__file__).parent

#: How many rows each server has: more than one page, and no whole number of pages.
ROWS = 43


def pull(author: Author, url: str, resource: str, records: str = "") -> tuple[list[int], str]:
    """The ids that a run of a resource leaves in the lake, and what the run said; `resource` is its YAML."""
    author.write("connections/source.yaml", f"connection: source\nbase_url: {url}\n")
    author.write(
        "pipelines/paged.yaml",
        f"pipeline: paged\nresources:\n  - {{ name: rows, connection: source, records: '{records}', {resource} }}\n",
    )
    done = author.command("run", "paged")
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return [record.get("id", record.get("ID")) for record in author.records("paged", "rows", records)], said


@pytest.fixture(scope="module")
def json_server(node_package: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """json-server over a file."""
    database = tmp_path_factory.mktemp("json-server") / "db.json"
    database.write_text(json.dumps({"rows": [{"id": number, "name": f"row {number}"} for number in range(ROWS)]}))
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = ["node", node_package("json-server") / "lib/cli/bin.js", "--host", "127.0.0.1", "--port", port, database]
    with server(command, url, folder=database.parent):
        yield url


@pytest.fixture(scope="module")
def datasette(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Datasette over an SQLite file."""
    database = tmp_path_factory.mktemp("datasette") / "mill.db"
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, name TEXT)")
        connection.executemany("INSERT INTO rows VALUES (?, ?)", [(number, f"row {number}") for number in range(ROWS)])
    connection.close()
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = [sys.executable, "-m", "datasette", database, "--port", port, "--setting", "default_page_size", 10]
    with server(command, url):
        yield url


@pytest.fixture(scope="module")
def rest_framework() -> Iterator[str]:
    """Django REST framework."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    with server([sys.executable, HERE / "rest_framework_app.py", port, ROWS], f"{url}/pages"):
        yield url


@pytest.fixture
def odata() -> Iterator[str]:
    """An OData service, whose data a test may change."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    with server([sys.executable, HERE / "odata_service.py", port, ROWS], f"{url}/Products"):
        yield url


@pytest.mark.parametrize(
    ("resource", "found"),
    [
        ("path: /rows, params: { _page: 1, _limit: 10 }", "paginate: link_header"),
        ("path: /rows, paginate: { page: { page_param: _page, size_param: _limit, size: 10 } }", None),
        ("path: /rows, paginate: { offset: { offset_param: _start, limit_param: _limit, limit: 10 } }", None),
    ],
)
def test_json_server(author: Author, json_server: str, resource: str, found: str | None) -> None:
    """A Link header, pages by number, and slices."""
    ids, said = pull(author, json_server, resource)
    assert ids == list(range(ROWS))
    assert found is None or found in said


@pytest.mark.parametrize(
    ("resource", "found"),
    [
        ("path: /mill/rows.json, params: { _shape: objects }", "paginate: link_header"),
        ("path: /mill/rows.json, params: { _shape: objects }, paginate: { next_link: { path: next_url } }", None),
        ("path: /mill/rows.json, params: { _shape: objects }, paginate: { cursor: { param: _next, path: next } }", None),
    ],
)
def test_datasette(author: Author, datasette: str, resource: str, found: str | None) -> None:
    """A Link header, a link in the body, and the token beside it."""
    ids, said = pull(author, datasette, resource, "rows")
    assert ids == list(range(ROWS))
    assert found is None or found in said


@pytest.mark.parametrize(
    ("resource", "found"),
    [
        ("path: /pages", "paginate: { next_link: { path: next } }"),
        ("path: /offsets", "paginate: { next_link: { path: next } }"),
        ("path: /cursors", "paginate: { next_link: { path: next } }"),
        ("path: /pages, paginate: { page: { size_param: size, size: 10 } }", None),
        ("path: /offsets, paginate: { offset: { limit: 10, end: { total: count } } }", None),
    ],
)
def test_rest_framework(author: Author, rest_framework: str, resource: str, found: str | None) -> None:
    """Its three paginations, by the link that all of them have and by their parameters."""
    ids, said = pull(author, rest_framework, resource, "results")
    assert ids == list(range(1, ROWS + 1))
    assert found is None or found in said


def test_odata(author: Author, odata: str) -> None:
    """OData's own link, found by itself."""
    ids, said = pull(author, odata, "path: /Products", "value")
    assert ids == list(range(ROWS))
    assert "paginate: odata" in said


def test_odata_delta(author: Author, odata: str) -> None:
    """The second run gets what changed since the first one, a deletion among it."""
    ids, _ = pull(author, odata, "path: /Products, paginate: odata_delta", "value")
    assert ids == list(range(ROWS))
    send("PATCH", f"{odata}/Products(7)", {"Name": "changed"})
    send("DELETE", f"{odata}/Products(8)")
    author.millrace("run", "paged")
    changes = author.records("paged", "rows", "value")[ROWS:]
    assert [change["Name"] for change in changes if change.get("ID") == 7] == ["changed"]
    (removed,) = [change for change in changes if "@removed" in change or "reason" in change]
    assert "Products(8)" in json.dumps(removed)
    author.millrace("run", "paged")
    assert len(author.records("paged", "rows", "value")) == ROWS + len(changes), "nothing has changed since"


def send(method: str, url: str, body: object = None) -> None:
    """Changes something by the service's own interface."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"}, method=method)
    urllib.request.urlopen(request).close()
