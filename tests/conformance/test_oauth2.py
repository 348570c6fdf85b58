"""Tokens of an OAuth 2 server that is not ours: oauth2-mock-server, whose signatures the resource checks."""

from __future__ import annotations

import base64
import json
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from harness import Author, free_port, server

HERE = Path(__file__).parent


@dataclass
class Guarded:
    """A token endpoint, and the items that its tokens open."""

    token_url: str
    items_url: str

    def grants(self) -> list[dict[str, Any]]:
        """What the token endpoint was asked, and what it answered."""
        with urllib.request.urlopen(f"{self.items_url}/grants") as answer:
            return json.load(answer)


@pytest.fixture(scope="module")
def source(node_package: Callable[[str], Path]) -> Iterator[Guarded]:
    """The server."""
    tokens, items = free_port(), free_port()
    guarded = Guarded(f"http://127.0.0.1:{tokens}/token", f"http://127.0.0.1:{items}")
    command = ["node", HERE / "oauth2_server.mjs", node_package("oauth2-mock-server"), tokens, items]
    with server(command, guarded.items_url):
        yield guarded


def define(author: Author, source: Guarded, auth: str) -> None:
    """A pipeline of the items, with that kind of credential."""
    author.write(
        "connections/guarded.yaml",
        f"connection: guarded\nbase_url: {source.items_url}\n"
        f"auth:\n  {auth}: {{ token_url: {source.token_url}, secret: aws::secret/millrace/guarded, scope: items.read }}\n",
    )
    author.write(
        "pipelines/guarded.yaml",
        "pipeline: guarded\nresources:\n  - name: items\n    connection: guarded\n    path: /items\n    records: items\n"
        "    paginate: { offset: { limit: 5 } }\n    key: [id]\n",
    )


def test_client_credentials(author: Author, source: Guarded) -> None:
    """The client says who it is by Basic, asks for its scope, and uses one token for all pages."""
    define(author, source, "oauth2_client_credentials")
    author.secret("millrace/guarded", {"client_id": "mill", "client_secret": "wheel & race"})
    before = len(source.grants())
    author.millrace("run", "guarded")
    assert [record["id"] for record in author.records("guarded", "items", "items")] == list(range(12))
    (grant,) = source.grants()[before:]
    assert grant["form"] == {"grant_type": "client_credentials", "scope": "items.read"}
    # RFC 6749, section 2.3.1: both are encoded as in a form.
    assert grant["authorization"] == "Basic " + base64.b64encode(b"mill:wheel%20%26%20race").decode()
    nowhere_in(author, grant["answer"]["access_token"])


def test_a_cassette_holds_no_token(author: Author, source: Guarded) -> None:
    """What a token endpoint says is not recorded, and what is recorded plays without it."""
    define(author, source, "oauth2_client_credentials")
    author.secret("millrace/guarded", {"client_id": "mill", "client_secret": "wheel & race"})
    before = len(source.grants())
    author.millrace("record", "guarded")
    (grant,) = source.grants()[before:]
    cassette = (author.folder / "cassettes" / "guarded.jsonl").read_text()
    for hidden in (grant["answer"]["access_token"], "wheel", "client_credentials"):
        assert hidden not in cassette
    (author.folder / "secrets.yaml").unlink()
    author.millrace("run", "guarded", "--replay", author.folder / "cassettes" / "guarded.jsonl")
    assert len(source.grants()) == before + 1


def test_refresh_token(author: Author, source: Guarded) -> None:
    """The next refresh token is written back, and the next run's process begins with it."""
    define(author, source, "oauth2_refresh_token")
    author.secret("millrace/guarded", {"client_id": "mill", "client_secret": "wheel", "refresh_token": "first"})
    before = len(source.grants())
    author.millrace("run", "guarded")
    author.millrace("run", "guarded")
    # The second run finds an access token that is good.
    (first,) = source.grants()[before:]
    assert first["form"]["refresh_token"] == "first"
    expire(author)
    author.millrace("run", "guarded")
    (_, second) = source.grants()[before:]
    assert second["form"]["refresh_token"] == first["answer"]["refresh_token"]
    assert len(author.records("guarded", "items", "items")) == 3 * 12
    nowhere_in(author, second["answer"]["access_token"])
    nowhere_in(author, second["answer"]["refresh_token"])


def expire(author: Author) -> None:
    """As if the access token had come to its end."""
    file = author.folder / ".millrace" / "local" / "secrets" / "millrace~guarded.json"
    written = json.loads(file.read_text())
    secret = json.loads(written["text"])
    secret["renew_after"] = "2020-01-01T00:00:00Z"
    file.write_text(json.dumps({**written, "text": json.dumps(secret)}))


def nowhere_in(author: Author, hidden: str) -> None:
    """Nothing in the lake holds that value."""
    for path in (author.folder / ".millrace" / "local" / "lake").rglob("*"):
        assert not path.is_file() or hidden.encode() not in path.read_bytes(), path
