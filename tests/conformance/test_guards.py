"""Credentials that libraries which are not ours judge: Authlib's signed assertions and refresh tokens, botocore's signatures."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import ROOT, Author, free_port, server

HERE = Path(__file__).parent
PRIVATE_KEY = ROOT / "crates" / "ingest" / "tests" / "pull" / "keys" / "rsa.pem"


@pytest.fixture
def source(tmp_path: Path) -> Iterator[str]:
    """The source's URL."""
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key(PRIVATE_KEY.read_bytes(), None).public_key()
    public = tmp_path / "public.pem"
    public.write_bytes(key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with server([sys.executable, HERE / "guards.py", port, public], url):
        yield url


def define(author: Author, url: str, auth: str, path: str) -> None:
    """A pipeline of 30 items on pages of five."""
    author.write("connections/guarded.yaml", f"connection: guarded\nbase_url: {url}\nauth: {auth}\n")
    author.write(
        "pipelines/guarded.yaml",
        f"pipeline: guarded\nresources:\n  - name: items\n    connection: guarded\n    path: {path}\n    records: items\n"
        "    params: { order: 'by name, then id' }\n    paginate: { offset: { limit: 5 } }\n    key: [id]\n",
    )


def seen(url: str) -> dict[str, int]:
    """How many tokens were given, and how often one was shown that had been used up."""
    with urllib.request.urlopen(f"{url}/seen") as answer:
        return json.load(answer)


def ids(author: Author) -> list[int]:
    return [record["id"] for record in author.records("guarded", "items", "items")]


def test_an_assertion_that_a_private_key_has_signed(author: Author, source: str) -> None:
    """Authlib checks signature, issuer, subject, audience and times; a token that ends is renewed by another assertion."""
    define(
        author,
        source,
        f"{{ jwt_bearer: {{ token_url: {source}/token, secret: aws::secret/millrace/key, issuer: mill@example.com, "
        "subject: ann@example.com } }",
        "/items",
    )
    author.secret("millrace/key", PRIVATE_KEY.read_text())
    author.millrace("run", "guarded")
    assert ids(author) == list(range(30))
    # Seven pages, of which each token opens four.
    assert seen(source)["grants"] == 2

    author.write(
        "connections/guarded.yaml",
        (author.folder / "connections" / "guarded.yaml").read_text().replace("mill@", "somebody.else@"),
    )
    done = author.command("run", "guarded")
    assert done.returncode == 1 and "Unauthorized" in done.stderr and "invalid_grant" in done.stderr, done.stderr


def test_refresh_tokens_that_are_good_for_one_use(author: Author, source: str) -> None:
    """Four processes at once renew again and again, and none shows a token that another has used up."""
    auth = f"{{ oauth2_refresh_token: {{ token_url: {source}/token, secret: aws::secret/millrace/client }} }}"
    define(author, source, auth, "/items")
    for number in range(4):
        text = (author.folder / "pipelines" / "guarded.yaml").read_text()
        author.write(f"pipelines/p{number}.yaml", text.replace("pipeline: guarded", f"pipeline: p{number}"))
    client = {"client_id": "mill", "client_secret": "wheel & race", "refresh_token": "first-refresh-token"}
    author.secret("millrace/client", client)
    line = [str(ROOT / "target" / "debug" / "millrace"), "-C", str(author.folder), "run"]
    running = [subprocess.Popen([*line, f"p{number}"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for number in range(4)]
    for process in running:
        _, said = process.communicate(timeout=120)
        # Where the others use up two tokens before a process comes to show one, its run ends, and can go on.
        assert process.returncode == 0 or re.search(rb"GET \S+ answered 401", said), said.decode()
    counts = seen(source)
    assert counts["thefts"] == 0 and counts["grants"] >= 4, counts
    author.millrace("run", "guarded")
    assert ids(author) == list(range(30))


def test_a_signature_of_aws(author: Author, source: str) -> None:
    """botocore signs the same request and comes to the same signature, whatever is in its path and its query."""
    auth = "{ aws_sigv4: { secret: aws::secret/millrace/aws, region: eu-central-1, service: execute-api } }"
    define(author, source, auth, "/signed/a%20b~c")
    key = {"access_key_id": "AKIAMILL", "secret_access_key": "race/and+wheel", "session_token": "session=token"}
    author.secret("millrace/aws", key)
    author.millrace("run", "guarded")
    assert ids(author) == list(range(30))
    author.secret("millrace/aws", {**key, "secret_access_key": "another"})
    done = author.command("run", "guarded")
    assert done.returncode == 1 and "Unauthorized" in done.stderr, done.stderr
