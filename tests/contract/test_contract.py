"""The server keeps what its OpenAPI document says, whatever it is sent."""

from __future__ import annotations

import concurrent.futures
import http.client
import json
import os
import re
import subprocess
import sys
import urllib.parse
import urllib.request
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import sqlmap
from conftest import HERE, Server

LONG = os.environ.get("MILLRACE_TEST_LENGTH") == "long"
#: Requests of each route, of each phase.
EXAMPLES = 3_200 if LONG else 60
#: What the requests are made from: another one makes others.
SEED = os.environ.get("MILLRACE_TEST_SEED", "7")
#: How many requests there must have been.
LEAST = 20_000 if LONG else 400


def test_requests_made_of_the_document_are_answered_as_it_says(server: Server, tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("schemathesis")
    command = [
        program, "--config-file", str(HERE / "schemathesis.toml"), "run", f"{server.url}/openapi.json",
        # One: of two at once, the parser of Python 3.11 ends one with an error of its own now and then.
        "--header", f"x-api-key: {server.key}", "--workers", "1",
        "--phases", "examples,coverage,fuzzing", "--max-examples", str(EXAMPLES), "--checks", "all",
        "--continue-on-failure", "--generation-database", "none", "--seed", SEED, "--suppress-health-check", "all",
    ]
    environment = os.environ | {"SCHEMATHESIS_HOOKS": str(HERE / "hooks.py")}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    said = result.stdout + result.stderr
    print(said[-3_000:])
    assert result.returncode == 0, said[-20_000:]
    cases = re.search(r"([\d,]+) generated", said)
    assert cases, said[-3_000:]
    assert int(cases[1].replace(",", "")) >= LEAST, said[-3_000:]


def test_injections_are_data_or_refused(server: Server) -> None:
    before = server.sql(FINGERPRINT)
    document = json.load(urllib.request.urlopen(f"{server.url}/openapi.json"))
    targets = [
        (path, parameter) for path, item in document["paths"].items() for parameter in item["get"]["parameters"]
    ]
    payloads = corpus()
    work = [(path, parameter, payload) for path, parameter in targets for payload in payloads]
    assert len(work) > (100_000 if LONG else 5_000)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        counts = sum(pool.map(lambda part: send(server, document, part), chunks(work, 4)), Counter())
    print(f"{len(payloads)} payloads, {len(targets)} parameters: {dict(counts)}")
    assert set(counts) == {200, 400, 404}
    assert server.sql(FINGERPRINT) == before


FINGERPRINT = """
SELECT count(*), md5(string_agg(t::text, '' ORDER BY id)) FROM contract.things AS t;
SELECT count(*) FROM pg_catalog.pg_class; SELECT count(*) FROM pg_catalog.pg_roles;
"""


def corpus() -> list[str]:
    """sqlmap's payloads between its boundaries, with its placeholders filled in."""
    data = Path(sqlmap.__file__).parent / "data/xml"
    boundaries = [("", "")]
    for boundary in ElementTree.parse(data / "boundaries.xml").getroot():
        boundaries.append((boundary.findtext("prefix") or "", boundary.findtext("suffix") or ""))
    payloads = []
    for file in sorted((data / "payloads").glob("*.xml")):
        for number, test in enumerate(ElementTree.parse(file).getroot()):
            request = test.find("request")
            payload, comment = request.findtext("payload") or "", request.findtext("comment") or ""
            chosen = boundaries if LONG else [boundaries[number % len(boundaries)]]
            payloads += [filled(f"1{prefix} {payload}{comment} {suffix}") for prefix, suffix in chosen]
    return sorted({payload[:1_500] for payload in payloads})


def filled(text: str) -> str:
    for placeholder, value in (
        ("[SLEEPTIME]", "9"), ("[QUERY]", "SELECT 1"), ("[INFERENCE]", "1=1"), ("[ORIGVALUE]", "1"), ("[RANDSTR", "x["),
        ("[DELIMITER_START]", "q"), ("[DELIMITER_STOP]", "q"), ("[GENERIC_SQL_COMMENT]", "-- "), ("[CHAR]", "NULL"),
    ):
        text = text.replace(placeholder, value)
    return re.sub(r"\[[A-Z_]*\d*\]", "7", text)


def chunks(work: list, count: int) -> list[list]:
    return [work[start::count] for start in range(count)]


def send(server: Server, document: dict, work: list) -> Counter:
    """Sends each payload as its parameter, beside right values for what the route needs."""
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=8)
    counts = Counter()
    for path, parameter, payload in work:
        query = {}
        headers = {"x-api-key": server.key}
        url = path
        for other in document["paths"][path]["get"]["parameters"]:
            value = payload if other is parameter else "1"
            if other["in"] == "path":
                url = url.replace(f"{{{other['name']}}}", urllib.parse.quote(value, safe=""))
            elif other is parameter and other["in"] == "header":
                # What no header may hold, no client sends.
                headers[other["name"]] = "".join(letter for letter in payload if " " <= letter <= "~")
            elif other is parameter:
                query[other["name"]] = value
        connection.request("GET", f"{url}?{urllib.parse.urlencode(query)}", headers=headers)
        answer = connection.getresponse()
        body = json.loads(answer.read())
        counts[answer.status] += 1
        sent = (path, parameter["name"], payload, body)
        if path.startswith("/exports/"):
            # Of an export that nobody asked for, there is nothing.
            assert (answer.status, body["error"][0]["type"]) == (404, "/problems/not-found"), sent
        elif parameter["in"] == "header":
            # A preference that nobody knows is none.
            assert answer.status == 200, sent
        elif answer.status == 200:
            assert body["data"] == [], f"{path} found rows by {parameter['name']} = {payload!r}"
        else:
            assert (answer.status, body["error"][0]["type"]) == (400, "/problems/bad-parameter"), sent
    return counts
