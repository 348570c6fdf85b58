"""Long-running processes of an instance: each in a session of its own, found again by later commands, and ended
without ever hitting a stranger that was given the same process id."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

#: Names the instance in the environment of each of its processes and of what they start.
MARK = "MILLRACE_CLOUD_INSTANCE"


#: What this process started itself and has to collect.
_children: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True)
class Process:
    """A process, told apart from a later one of the same id by the moment when it started."""

    pid: int
    started: str

    def is_alive(self) -> bool:
        """Whether it still runs."""
        return _started(self.pid) == self.started


def spawn(arguments: list[str], environment: dict[str, str], log: Path, directory: Path) -> Process:
    """Starts a process that outlives this one, in a session of its own; what it writes is appended to `log`."""
    with log.open("ab") as output:
        child = subprocess.Popen(
            arguments,
            env=environment,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _children.append(child)
    return Process(child.pid, _started(child.pid) or "")


def stop(process: Process, grace: float = 5) -> None:
    """Asks the process to end, then ends it and all that it started in its session."""
    if not process.is_alive():
        return
    os.kill(process.pid, signal.SIGTERM)
    _await_end(process, grace)
    # Its children are in its group, and as long as one of them lives the group's id is not given anew.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    _await_end(process, 5)


def _await_end(process: Process, seconds: float) -> None:
    until = time.monotonic() + seconds
    while process.is_alive() and time.monotonic() < until:
        _collect()
        time.sleep(0.05)
    _collect()


def stop_marked(instance: str) -> int:
    """Ends whatever still carries the instance's mark, and says how many that were: what a process left behind that
    was killed. Only where the system tells a process's environment (Linux)."""
    mark = f"{MARK}={instance}".encode()
    ended = 0
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            marked = mark in (entry / "environ").read_bytes().split(b"\0")
            if marked and int(entry.name) != os.getpid():
                os.kill(int(entry.name), signal.SIGKILL)
                ended += 1
        except (OSError, ProcessLookupError):
            continue
    return ended


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _collect() -> None:
    _children[:] = [child for child in _children if child.poll() is None]


def _started(pid: int) -> str | None:
    """When the process of that id started, in whatever unit the system has; none if there is no such process, or if
    it has ended and only its parent has not yet noticed."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return None if state == "Z" else fields[18]
    except OSError:
        if Path("/proc/self/stat").exists():
            return None
    found = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return found.stdout.strip() or None
