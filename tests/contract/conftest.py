"""The function `serve` as a server, over a table with a column of every type and the endpoints that the repository ships."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BINARIES = ROOT / "target/debug"
KEY = "key-of-the-contracts-caller"
CONSUMERS = {"contract": {"keys": [KEY], "scopes": ["things:read"], "claims": {"tenant": "even"}}}
#: As the shipped pipeline publishes them; its endpoints read no more than this.
QUAKES = """
CREATE SCHEMA seismology;
CREATE TABLE seismology.quakes AS
    SELECT 'us' || n AS id, (n % 90) / 10.0::float8 AS magnitude, 'mb' AS magnitude_type, 'place ' || n AS place,
        timestamptz '2026-01-01' + n * interval '1 hour' AS occurred_at, timestamptz '2026-02-01' AS updated_at,
        'reviewed' AS status, n AS felt, n % 5 = 0 AS tsunami, 'https://example.org/' || n AS url
    FROM generate_series(1, 1000) AS n;
ALTER TABLE seismology.quakes ADD PRIMARY KEY (id);
CREATE TABLE seismology.quakes_by_day AS
    SELECT occurred_at::date AS day, 'region ' || length(id) AS region, count(*) AS quakes, max(magnitude) AS largest_magnitude
    FROM seismology.quakes GROUP BY 1, 2;
ALTER TABLE seismology.quakes_by_day ADD PRIMARY KEY (day, region);
GRANT USAGE ON SCHEMA seismology TO PUBLIC;
GRANT SELECT ON ALL TABLES IN SCHEMA seismology TO PUBLIC;
"""


@dataclass
class Server:
    """A server that runs."""

    url: str
    key: str
    login: dict
    folder: Path

    def sql(self, text: str) -> str:
        """What psql says to a statement of the owner's."""
        login = self.login | self.login["owner"]
        environment = os.environ | {
            "PGHOST": login["host"], "PGPORT": str(login["port"]), "PGDATABASE": login["dbname"],
            "PGUSER": login["username"], "PGPASSWORD": login["password"], "PGSSLMODE": "disable",
        }
        psql = Path(os.environ.get("MILLRACE_POSTGRES_BIN", "")) / "psql"
        command = [str(psql) if psql.exists() else "psql", "-qAtX", "-v", "ON_ERROR_STOP=1"]
        return subprocess.run(command, input=text, env=environment, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("contract")
    postgres = [BINARIES / "millrace", "postgres"]
    said = subprocess.run([*postgres, "start", "--json", "--dir", folder / "postgres"], cwd=folder, check=True,
                          capture_output=True, text=True).stdout
    try:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{probe.getsockname()[1]}"
        server = Server(f"http://{address}", KEY, json.loads(said), folder)
        server.sql((HERE / "tables.sql").read_text() + QUAKES)
        endpoints = folder / "lake/definitions/endpoints"
        endpoints.mkdir(parents=True)
        for file in [*(ROOT / "endpoints").glob("*.yaml"), *(HERE / "endpoints").glob("*.yaml")]:
            shutil.copy(file, endpoints)
        reader = {name: server.login[name] for name in ("host", "port", "dbname", "sslmode")} | server.login["reader"]
        secrets = folder / "secrets.json"
        secrets.write_text(json.dumps({"reader": reader, "millrace/consumers": CONSUMERS}))
        environment = os.environ | {
            "MILLRACE_LAKE": str(folder / "lake"), "MILLRACE_STORE_SECRET": "reader", "MILLRACE_LISTEN": address,
            "MILLRACE_SECRETS_FILE": str(secrets), "MILLRACE_STORE_CONNECTIONS": "8", "RUST_LOG": "warn",
            "AWS_REGION": "eu-central-1", "AWS_EC2_METADATA_DISABLED": "true",
        }
        with (folder / "serve.log").open("w") as log:
            process = subprocess.Popen([BINARIES / "serve"], env=environment, stdout=log, stderr=log)
        try:
            wait(server, process)
            yield server
        finally:
            process.kill()
            process.wait()
    finally:
        subprocess.run([*postgres, "stop", "--dir", folder / "postgres"], cwd=folder, check=False, capture_output=True)


def wait(server: Server, process: subprocess.Popen) -> None:
    until = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(f"{server.url}/readyz", timeout=5):
                return
        except OSError:
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError((server.folder / "serve.log").read_text()) from None
            time.sleep(0.05)
