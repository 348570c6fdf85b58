"""An author with a folder of definitions and the compiled command, and servers that are not ours."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import zstandard

ROOT = Path(__file__).resolve().parents[2]
MILLRACE = ROOT / "target" / "debug" / "millrace"

#: How long a server may take until it answers, in seconds: Node on a busy machine is slow to start.
PATIENCE = 60


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def server(
    command: Sequence[object], ready: str, environment: Mapping[str, str] | None = None, folder: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a server until the block ends; the block begins when something answers at the URL `ready`, with whatever status."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            cwd=folder,
            # What it starts itself ends with it.
            start_new_session=True,
        )
        try:
            _wait(process, ready, log)
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait(process: subprocess.Popen[bytes], ready: str, log: Any) -> None:
    until = time.monotonic() + PATIENCE
    while True:
        try:
            urllib.request.urlopen(ready, timeout=5).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            pass
        if process.poll() is not None or time.monotonic() > until:
            log.seek(0)
            words = " ".join(map(str, process.args))  # type: ignore[arg-type]
            raise AssertionError(f"{words} does not answer:\n{log.read().decode(errors='replace')[-4000:]}")
        time.sleep(0.05)


class Author:
    """An author's folder, and the command over it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, file: str, text: str) -> Path:
        """Writes a file of the folder: `connections/crm.yaml`."""
        path = self.folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def secret(self, name: str, value: object) -> None:
        """Puts a secret into the folder's `secrets.yaml`; what is not text is written as JSON."""
        file = self.folder / "secrets.yaml"
        known = json.loads(file.read_text()) if file.exists() else {}
        known[name] = value if isinstance(value, str) else json.dumps(value)
        file.write_text(json.dumps(known))

    def command(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """What the command did, however it ended."""
        line = [str(MILLRACE), "-C", str(self.folder), *map(str, arguments)]
        return subprocess.run(line, capture_output=True, text=True, timeout=300, check=False)

    def millrace(self, *arguments: object) -> str:
        """What the command printed; it must end well."""
        done = self.command(*arguments)
        said = f"{done.stdout}\n{done.stderr}"
        assert done.returncode == 0, f"millrace {' '.join(map(str, arguments))}: {done.returncode}\n{said}"
        return done.stdout

    def bodies(self, pipeline: str, resource: str) -> list[bytes]:
        """The bodies that the runs so far have stored of a resource, in order."""
        lake = self.folder / ".millrace" / "local" / "lake"
        bodies = []
        for path in sorted((lake / "raw" / pipeline / resource).glob("*/manifest/*.json")):
            manifest = json.loads(path.read_text())
            if manifest["object"] is None:
                continue
            segment = (lake / manifest["object"]).read_bytes()
            for page in manifest["pages"]:
                frame = segment[page["offset"] : page["offset"] + page["length"]]
                bodies.append(zstandard.ZstdDecompressor().decompress(frame, max_output_size=page["body_length"]))
        return bodies

    def records(self, pipeline: str, resource: str, path: str = "") -> list[Any]:
        """The records of JSON bodies; `path` is where in a body they are: `data.items`."""
        records: list[Any] = []
        for body in self.bodies(pipeline, resource):
            found = json.loads(body)
            for name in filter(None, path.split(".")):
                found = found[name]
            records += found
        return records
