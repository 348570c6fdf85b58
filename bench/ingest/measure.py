"""What `make bench-ingest` runs: pages of nginx → raw storage in S3, beside a bare download, dlt's extract and airbyte-cdk's read.

Every measurement is a process of its own: seconds as it says them, without its start; CPU seconds and peak memory as the
system says them. The contenders take turns, so that what else the machine does meets all of them, and of several rounds the
median counts. nginx and an emulator of S3 run beside them on the same machine.
"""

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import linked_pages

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
MILLRACE = ROOT / "target" / "debug" / "bench-ingest"

NGINX = """
daemon off;
worker_processes 1;
pid {work}/nginx.pid;
error_log {work}/nginx.log;
events {{}}
http {{
  access_log off;
  sendfile on;
  keepalive_requests 1000000;
  default_type application/json;
  client_body_temp_path {work}/nginx-body;
  proxy_temp_path {work}/nginx-proxy;
  fastcgi_temp_path {work}/nginx-fastcgi;
  uwsgi_temp_path {work}/nginx-uwsgi;
  scgi_temp_path {work}/nginx-scgi;
  server {{ listen 127.0.0.1:{port}; root {site}; }}
}}
"""


@dataclass
class Measured:
    """What one process took."""

    seconds: float
    cpu: float
    peak_mib: float
    counts: dict


def measure(*command: object, settings: dict[str, str] | None = None) -> Measured:
    """Runs a command, the last line of which is a JSON object with its seconds."""
    environment = {**os.environ, **(settings or {})}
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, text=True, env=environment)
    output = process.stdout.read() if process.stdout else ""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))} ended with {process.returncode}")
    report = json.loads(output.strip().splitlines()[-1])
    return Measured(report["seconds"], usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, report["counts"])


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextmanager
def running(url: str, command: list[object], log: Path, settings: dict[str, str] | None = None) -> Iterator[None]:
    """A server, from when it answers until it is not needed any more."""
    with log.open("w") as sink:
        process = subprocess.Popen(
            [str(word) for word in command], stdout=sink, stderr=sink, env={**os.environ, **(settings or {})}
        )
    try:
        until = time.monotonic() + 30
        while not answers(url):
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"{command[0]} did not start:\n{log.read_text()}")
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait()


def answers(url: str) -> bool:
    """Whether a server answers at all."""
    try:
        urllib.request.urlopen(url, timeout=1).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def rounds(count: int, contenders: dict[str, Callable[[], Measured]]) -> dict[str, Measured]:
    """The median of some rounds of each, in turns."""
    found: dict[str, list[Measured]] = {name: [] for name in contenders}
    for _ in range(count):
        for name, once in contenders.items():
            found[name].append(once())
    middle = {}
    for name, all_of_it in found.items():
        by_time = sorted(all_of_it, key=lambda measured: measured.seconds)
        middle[name] = by_time[(len(by_time) - 1) // 2]
        middle[name].peak_mib = statistics.median(measured.peak_mib for measured in all_of_it)
    return middle


def line(name: str, measured: Measured, ours: Measured) -> None:
    """Prints a row of the table."""
    print(
        f"{name:<46} {measured.seconds:>8.2f} s {measured.cpu:>8.2f} s {measured.peak_mib:>6.0f} MiB "
        f"{measured.seconds / ours.seconds:>8.2f}",
        flush=True,
    )


def empty(work: Path, name: str) -> Path:
    """An empty folder."""
    path = work / name
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def table(arguments: argparse.Namespace, work: Path, lake: dict[str, str]) -> None:
    """Measures and prints."""
    site = work / "site"
    size = linked_pages.write(site, arguments.pages, 500)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings = work / "nginx.conf"
    settings.write_text(NGINX.format(work=work, site=site, port=port))
    nginx = [arguments.nginx, "-c", settings, "-p", work]
    with running(f"{url}/00000.json", nginx, work / "nginx-start.log"):
        found = rounds(
            arguments.rounds,
            {
                "ours": lambda: measure(MILLRACE, "pull", url, "/00000.json", settings=lake),
                "bare": lambda: measure(MILLRACE, "download", url, arguments.pages),
            },
        )
        peers = {
            "dlt, extract": "dlt_extract.py",
            "airbyte-cdk, read": "airbyte_read.py",
        }
        if arguments.without_peers:
            peers = {}
        found |= rounds(
            arguments.peer_rounds,
            {
                name: lambda script=script: measure(sys.executable, HERE / script, url, "/00000.json", empty(work, "out"))
                for name, script in peers.items()
            },
        )
        ours = found["ours"]
        print(
            f"\n{arguments.pages} pages of 500 nested records, {size / 1e6:.0f} MB; Millrace in the profile dev, its ingest at "
            f"opt-level 3\n{'':<46} {'wall':>10} {'CPU':>10} {'peak':>10} {'ratio':>8}"
        )
        line("Millrace, to S3: scanned, hashed, compressed", ours, ours)
        line("bare download, one page after the other", found["bare"], ours)
        for name in peers:
            line(name, found[name], ours)
        print(f"Millrace takes {ours.seconds / found['bare'].seconds:.1f} times as long as the bare download")
        if arguments.times_ten:
            linked_pages.write(site, arguments.pages * 10, 500)
            larger = measure(MILLRACE, "pull", url, "/00000.json", settings=lake)
            line("Millrace, ten times the pages", larger, ours)
            print(f"peak memory: {larger.peak_mib / ours.peak_mib - 1:+.0%} for ten times the pages")


def main() -> None:
    """Reads the arguments and measures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nginx", required=True, help="nginx's binary")
    parser.add_argument("--emulator", required=True, help="a Python that has ministack")
    parser.add_argument("--pages", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peer-rounds", type=int, default=1, help="they take half a minute each")
    parser.add_argument("--without-peers", action="store_true")
    parser.add_argument("--times-ten", action=argparse.BooleanOptionalAction, default=True)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="millrace-bench-") as name:
        work = Path(name)
        # nginx drops its rights where it is started by root, and has to read the pages.
        work.chmod(0o755)
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        emulator = {
            "GATEWAY_PORT": str(port),
            "BIND_HOST": "127.0.0.1",
            "PERSIST_STATE": "0",
            "S3_PERSIST": "0",
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "TMPDIR": name,
        }
        lake = {
            "MILLRACE_LAKE": "s3://lake",
            "AWS_ENDPOINT_URL": url,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "000000000000",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }
        command = [arguments.emulator, "-m", "ministack"]
        with running(f"{url}/_ministack/health", command, work / "s3.log", emulator):
            urllib.request.urlopen(urllib.request.Request(f"{url}/lake", method="PUT")).close()
            table(arguments, work, lake)


if __name__ == "__main__":
    main()
