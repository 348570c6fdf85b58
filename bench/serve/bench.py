"""Lookups by key: Millrace's serve against pgbench, ROAPI and Datasette, and over the lake against ROAPI, on this machine,
one after the other.

Prints a table, and ends with status 1 where a target is missed. Everything that it starts ends with it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator

from aws_stub import services
from runtime_api import cold_start, handler_times

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
COLUMNS = "id, magnitude, place, occurred_at, status, felt"
ROWS = """
    DROP SCHEMA IF EXISTS bench CASCADE;
    CREATE SCHEMA bench;
    CREATE TABLE bench.quakes AS
        SELECT n::bigint AS id, (n % 90) / 10.0::float8 AS magnitude, (n % 400) || ' km NW of the town ' || n % 5000 AS place,
            timestamptz '2000-01-01' + n * interval '7 minutes' AS occurred_at, 'reviewed'::text AS status,
            CASE WHEN n % 3 = 0 THEN n % 1000 END AS felt
        FROM generate_series(1, :rows) AS n;
    ALTER TABLE bench.quakes ADD PRIMARY KEY (id);
    VACUUM ANALYZE bench.quakes;
"""
QUERY = f"SELECT {COLUMNS} FROM bench.quakes WHERE id = :id"
ENDPOINT = f"""
metadata: {{ name: quake, description: One earthquake }}
routes:
  /quakes/{{id}}:
    datasource: operational_store
    query: {QUERY}
    params: [{{ name: id, type: int }}]
"""
#: What makes the table that the lake's datasource is asked for, as `quakes_to_lake` writes it.
PIPELINE = """
pipeline: bench
description: What make bench-serve asks for
resources:
  - { name: quakes, connection: none, path: /quakes, records: items, key: [id] }
tables:
  - { name: quakes, from: quakes, write: upsert, key: [id] }
publish:
  - { table: quakes, to: lake, as: bench.quakes }
"""
# What issue 5 demands.
TIMES_ROAPI_ON_PARQUET = 3.0
SHARE_OF_PGBENCH, P99_MS, TIMES_OTHERS, OWN_MS, TIMES_IDLE, BINARY_MIB = 0.40, 3.0, 15.0, 1.0, 1.5, 20
#: How often pgbench and serve take turns.
TURNS = 7
#: How often each function is started cold.
STARTS = 40


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--seconds", type=int, default=10, help="how long each is measured")
    parser.add_argument("--clients", type=int, default=4, help="connections to PostgreSQL: of pgbench, and of serve")
    parser.add_argument("--callers", type=int, default=8, help="connections of wrk to each server: more than it has itself, as in use")
    parser.add_argument("--serve", type=pathlib.Path, default=ROOT / "target/release/serve", help="the function's binary")
    parser.add_argument("--serve-lake", type=pathlib.Path, default=ROOT / "target/release/serve-lake", help="the same, for the lake")
    parser.add_argument("--quakes-to-lake", type=pathlib.Path, default=ROOT / "target/debug/examples/quakes_to_lake")
    parser.add_argument("--idle", type=pathlib.Path, default=ROOT / "target/release/examples/idle", help="a Lambda that does nothing")
    parser.add_argument("--floor", type=pathlib.Path, default=ROOT / "target/release/examples/floor", help="one that asks the store once")
    parser.add_argument("--millrace", type=pathlib.Path, default=ROOT / "target/debug/millrace")
    parser.add_argument("--others", type=pathlib.Path, help="the folder with roapi and datasette; without, they are left out")
    options = parser.parse_args()
    missing = [tool for tool in ("wrk", "pgbench", "psql") if not shutil.which(tool)]
    if missing:
        print(f"skipped: {', '.join(missing)} not found (Debian: apt-get install wrk postgresql-contrib)", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="millrace-bench-") as folder:
        return Bench(options, pathlib.Path(folder)).run()


class Bench:
    def __init__(self, options: argparse.Namespace, folder: pathlib.Path) -> None:
        self.options = options
        self.folder = folder
        self.rows = options.rows
        self.missed: list[str] = []

    def run(self) -> int:
        with self.postgres() as store:
            self.load(store)
            print(f"{'':34}{'per second':>12}{'p50 ms':>9}{'p99 ms':>9}")
            share, pgbench, served = self.in_turns(store)
            self.line("pgbench -M prepared", *pgbench)
            self.line("millrace serve, server mode", *served)
            self.target("of pgbench's transactions", share, SHARE_OF_PGBENCH, "{:.0%}")
            self.target("ms at the 99th percentile", served[2], P99_MS, "{:.2f}", most=True)
            if self.options.others:
                self.others(store, served[0])
            self.lake()
            own = self.lambda_times(store)
            one_client, query_ms, query_p99 = self.pgbench(store, clients=1)
            self.line("Lambda handler, one after another", 1000 / statistics.mean(own), statistics.median(own), own[int(len(own) * 0.99)])
            self.line("pgbench -M prepared, one client", one_client, query_ms, query_p99)
            self.target("ms of its own (p50, without the query)", statistics.median(own) - query_ms, OWN_MS, "{:.2f}", most=True)
            idle, floor, cold = self.cold_starts(store)
            print(f"{'cold start, an idle Lambda':34}{'':12}{idle:9.2f}")
            print(f"{'  with one query of the store':34}{'':12}{floor:9.2f}")
            print(f"{'cold start, serve':34}{'':12}{cold:9.2f}")
            print(f"         {floor / idle:.2f} times as long as idle takes to log in to PostgreSQL and ask it once, which every answer takes")
            self.target("times an idle Lambda's cold start (p50, to the first answer)", cold / idle, TIMES_IDLE, "{:.2f}", most=True)
        mib = self.options.serve.stat().st_size / 1024 / 1024
        self.target("MiB of binary", mib, BINARY_MIB, "{:.1f}", most=True)
        return 1 if self.missed else 0

    # What is measured.

    def in_turns(self, store: dict) -> tuple[float, list[float], list[float]]:
        """What serve answers as a share of what pgbench gets, and the figures of both; medians of several short turns, so that
        what else the machine does meanwhile meets both."""
        with self.serve(store) as url:
            self.wrk(url, "/quakes/", seconds=2)
            turns = [(self.pgbench(store, seconds=3), self.wrk(url, "/quakes/", seconds=3)) for _ in range(TURNS)]
        median = lambda figures: [statistics.median(figure) for figure in zip(*figures)]  # noqa: E731
        pgbench, served = (median(figures) for figures in zip(*turns))
        return statistics.median(served[0] / pgbench[0] for pgbench, served in turns), pgbench, served

    def pgbench(self, store: dict, clients: int | None = None, seconds: int | None = None) -> tuple[float, float, float]:
        """Transactions per second, and the 50th and 99th percentile in milliseconds."""
        script = self.folder / "lookup.sql"
        script.write_text(f"\\set id random(1, {self.rows})\n{QUERY};\n")
        count = clients or self.options.clients
        command = ["pgbench", "-n", "-M", "prepared", "-c", str(count), "-j", str(min(count, 2)), "-T", str(seconds or self.options.seconds)]
        log = pathlib.Path(tempfile.mkdtemp(dir=self.folder)) / "pgbench"
        command += ["-f", script, "--log", "--log-prefix", log, "--sampling-rate", "0.1"]
        said = subprocess.run(command, env=libpq(store["reader"]), check=True, capture_output=True, text=True).stdout
        taken = sorted(int(line.split()[2]) / 1000 for part in log.parent.iterdir() for line in part.open())
        return float(found(r"tps = ([\d.]+)", said)), statistics.median(taken), taken[int(len(taken) * 0.99)]

    def wrk(self, url: str, before: str, after: str = "", seconds: int | None = None) -> tuple[float, float, float]:
        """Requests per second, and the 50th and 99th percentile in milliseconds; unless said for how many seconds, when it
        has warmed up."""
        command = ["wrk", "-t", "2", "-c", str(self.options.callers), "--latency", "-s", HERE / "lookup.lua"]
        for seconds in [seconds] if seconds else [2, self.options.seconds]:
            said = subprocess.run([*command, "-d", f"{seconds}s", url, "--", str(self.rows), before, after],
                                  check=True, capture_output=True, text=True).stdout
        if "Non-2xx" in said:
            raise SystemExit(f"{url} did not answer every request with data:\n{said}")
        percentile = lambda part: milliseconds(found(rf"(?m)^ +{part}%\s+(\S+)", said))  # noqa: E731
        return float(found(r"Requests/sec:\s+([\d.]+)", said)), percentile(50), percentile(99)

    def others(self, store: dict, served: float) -> None:
        csv = self.folder / "quakes.csv"
        copy = f"\\copy (SELECT {COLUMNS} FROM bench.quakes) TO '{csv}' (FORMAT csv, HEADER)"
        subprocess.run(["psql", "-qX", "-c", copy], env=libpq(store["owner"]), check=True)
        with self.roapi(csv) as url:
            roapi = self.wrk(url, "/api/tables/quakes?filter[id]=")
        self.line("ROAPI", *roapi)
        with self.datasette(csv) as url:
            datasette = self.wrk(url, "/quakes/quakes/", ".json?_shape=objects")
        self.line("Datasette", *datasette)
        self.target("times ROAPI's", served / roapi[0], TIMES_OTHERS, "{:.0f}")
        self.target("times Datasette's", served / datasette[0], TIMES_OTHERS, "{:.0f}")

    def lake(self) -> None:
        """The datasource `lake`, and ROAPI on the very file of its table."""
        folder = self.folder / "the-lake"
        for kind, name, text in (("pipelines", "bench", PIPELINE), ("endpoints", "quake", ENDPOINT.replace("operational_store", "lake"))):
            (folder / "definitions" / kind).mkdir(parents=True)
            (folder / "definitions" / kind / f"{name}.yaml").write_text(text)
        subprocess.run([self.options.quakes_to_lake, folder, str(self.rows)], check=True)
        with self.serve_lake(folder) as url:
            served = self.wrk(url, "/quakes/")
        self.line("millrace serve-lake, server mode", *served)
        if not self.options.others:
            return
        parquet = next((folder / "tables/bench/quakes").glob("*.parquet"))
        with self.roapi(parquet) as url:
            roapi = self.wrk(url, "/api/tables/quakes?filter[id]=")
        self.line("ROAPI on the same Parquet", *roapi)
        self.target("times ROAPI's on the same Parquet", served[0] / roapi[0], TIMES_ROAPI_ON_PARQUET, "{:.1f}")

    def lambda_times(self, store: dict) -> list[float]:
        """How long the handler takes from an event to its answer, in milliseconds, sorted."""
        events = [self.event(number * 7 % self.rows + 1) for number in range(3000)]
        answers = handler_times([str(self.options.serve)], self.environment(store), events)
        times = []
        for milliseconds_taken, answer in answers:
            if answer["statusCode"] != 200:
                raise SystemExit(f"the handler answered {answer}")
            times.append(milliseconds_taken)
        return sorted(times[200:])

    def cold_starts(self, store: dict) -> list[float]:
        """Milliseconds from a process's start to its first answer: of a Lambda with the same clients that does nothing, of one
        that knows the store's login and asks it once, and of serve, which reads its definitions, its secret and a row on the
        way. One after the other, in turns."""
        folder = self.environment(store)
        with services(ENDPOINT, json.dumps(store["reader"])) as found:
            environment = {**os.environ, "MILLRACE_STORE_SECRET": "reader", "RUST_LOG": "warn", **found}
            told = {**environment, "MILLRACE_SECRETS_FILE": folder["MILLRACE_SECRETS_FILE"]}
            starts = [
                ([str(self.options.idle)], environment),
                ([str(self.options.floor), QUERY.replace(":id", "$1")], told),
                ([str(self.options.serve)], environment),
            ]
            taken: list[list[float]] = [[] for _ in starts]
            for number in range(STARTS + 2):
                for (command, environment), times in zip(starts, taken):
                    milliseconds_taken, answer = cold_start(command, environment, self.event(number + 1))
                    if answer["statusCode"] != 200:
                        raise SystemExit(f"{command[0]} answered {answer}")
                    times.append(milliseconds_taken)
        return [statistics.median(times[2:]) for times in taken]

    def event(self, key: int) -> dict:
        """What API Gateway hands over for a lookup."""
        event = json.loads((ROOT / "events/serve/quakes.json").read_text())
        return {**event, "path": f"/quakes/{key}", "queryStringParameters": None, "multiValueQueryStringParameters": None}

    # What is started.

    @contextlib.contextmanager
    def postgres(self) -> Iterator[dict]:
        folder = self.folder / "postgres"
        command = [str(self.options.millrace), "postgres"]
        said = subprocess.run([*command, "start", "--dir", folder, "--json"], check=True, capture_output=True, text=True).stdout
        try:
            store = json.loads(said)
            place = {name: store[name] for name in ("host", "port", "dbname", "sslmode")}
            yield {role: place | store[role] for role in ("owner", "reader")}
        finally:
            subprocess.run([*command, "stop", "--dir", folder], check=False, capture_output=True)

    def load(self, store: dict) -> None:
        statements = ROWS.replace(":rows", str(self.rows)).split(";")
        arguments = [argument for statement in statements if statement.strip() for argument in ("-c", statement)]
        subprocess.run(["psql", "-qX", "-v", "ON_ERROR_STOP=1", *arguments], env=libpq(store["owner"]), check=True,
                       stderr=subprocess.DEVNULL)

    def environment(self, store: dict) -> dict[str, str]:
        lake = self.folder / "lake/definitions/endpoints"
        lake.mkdir(parents=True, exist_ok=True)
        (lake / "quake.yaml").write_text(ENDPOINT)
        secrets = self.folder / "secrets.json"
        secrets.write_text(json.dumps({"reader": store["reader"]}))
        return {
            **os.environ, "MILLRACE_LAKE": str(self.folder / "lake"), "MILLRACE_STORE_SECRET": "reader",
            "MILLRACE_SECRETS_FILE": str(secrets), "MILLRACE_STORE_CONNECTIONS": str(self.options.clients),
            "RUST_LOG": "warn", "AWS_REGION": "eu-central-1", "AWS_EC2_METADATA_DISABLED": "true",
        }

    @contextlib.contextmanager
    def serve(self, store: dict) -> Iterator[str]:
        port = free_port()
        environment = {**self.environment(store), "MILLRACE_LISTEN": f"127.0.0.1:{port}"}
        with process([str(self.options.serve)], f"http://127.0.0.1:{port}/readyz", self.folder, environment) as url:
            yield url

    @contextlib.contextmanager
    def serve_lake(self, lake: pathlib.Path) -> Iterator[str]:
        port = free_port()
        secrets = self.folder / "seal.json"
        secrets.write_text(json.dumps({"seal": "for as long as the bench takes"}))
        environment = {
            **os.environ, "MILLRACE_LAKE": str(lake), "MILLRACE_SEAL_SECRET": "seal", "MILLRACE_SECRETS_FILE": str(secrets),
            "MILLRACE_LISTEN": f"127.0.0.1:{port}", "RUST_LOG": "warn", "AWS_REGION": "eu-central-1", "AWS_EC2_METADATA_DISABLED": "true",
        }
        with process([str(self.options.serve_lake)], f"http://127.0.0.1:{port}/quakes/1", self.folder, environment) as url:
            yield url

    @contextlib.contextmanager
    def roapi(self, table: pathlib.Path) -> Iterator[str]:
        port = free_port()
        command = [str(self.options.others / "roapi"), "--table", f"quakes={table}", "--addr-http", f"127.0.0.1:{port}",
                   "--addr-postgres", f"127.0.0.1:{free_port()}"]
        with process(command, f"http://127.0.0.1:{port}/api/tables/quakes?limit=1", self.folder) as url:
            yield url

    @contextlib.contextmanager
    def datasette(self, csv: pathlib.Path) -> Iterator[str]:
        database = self.folder / "quakes.db"
        rows = (line.rstrip("\n").split(",") for line in csv.open())
        next(rows)
        with contextlib.closing(sqlite3.connect(database)) as connection:
            connection.execute(f"CREATE TABLE quakes ({COLUMNS.replace('id,', 'id INTEGER PRIMARY KEY,', 1)})")
            connection.executemany("INSERT INTO quakes VALUES (?, ?, ?, ?, ?, ?)", rows)
            connection.commit()
        port = free_port()
        command = [str(self.options.others / "datasette"), "serve", "-i", str(database), "-p", str(port)]
        with process(command, f"http://127.0.0.1:{port}/quakes/quakes/1.json", self.folder) as url:
            yield url

    # What is said.

    def line(self, name: str, per_second: float, p50: float, p99: float) -> None:
        print(f"{name:34}{per_second:12.0f}{p50:9.2f}{p99:9.2f}", flush=True)

    def target(self, what: str, value: float, bound: float, form: str, *, most: bool = False) -> None:
        met = value <= bound if most else value >= bound
        print(f"  {'ok    ' if met else 'MISSED'} {form.format(value)} {what} (target: {'at most' if most else 'at least'} {form.format(bound)})",
              flush=True)
        if not met:
            self.missed.append(what)


@contextlib.contextmanager
def process(command: list[str], ready: str, folder: pathlib.Path, environment: dict[str, str] | None = None) -> Iterator[str]:
    """Runs a server, from when it answers `ready` on."""
    log = folder / f"{pathlib.Path(command[0]).name}.log"
    with log.open("w") as out:
        server = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
    try:
        until = time.monotonic() + 90
        while not answers(ready):
            if server.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"{command[0]} did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.1)
        yield "/".join(ready.split("/")[:3])
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return response.status == 200
    except OSError:
        return False


def libpq(login: dict) -> dict[str, str]:
    return {**os.environ, "PGHOST": login["host"], "PGPORT": str(login["port"]), "PGDATABASE": login["dbname"],
            "PGUSER": login["username"], "PGPASSWORD": login["password"], "PGSSLMODE": login.get("sslmode", "prefer")}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    if not match:
        raise SystemExit(f"{pattern!r} was not found in:\n{text}")
    return match[1]


def milliseconds(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s)", text).groups()
    return float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


if __name__ == "__main__":
    sys.exit(main())
