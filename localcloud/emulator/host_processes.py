"""Runs ECS tasks as processes of this machine, behind the few methods of the Docker client that the emulator calls.
For machines without a Docker engine: the same program with the same environment, without the container around it."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import uuid
from collections.abc import Iterator, Sequence
from typing import Any


class NotFound(Exception):
    """There is no such container."""


class Container:
    """One process, seen as a container."""

    def __init__(self, arguments: list[str], environment: dict[str, str], labels: dict[str, str], name: str) -> None:
        self.id = uuid.uuid4().hex
        self.name = name
        self.labels = labels
        self.attrs: dict[str, Any] = {"NetworkSettings": {"Networks": {}}}
        self._lines: list[bytes] = []
        self._more = threading.Condition()
        self._drained = False
        # In the emulator's own process group, so that what ends that group ends the task.
        self._process = subprocess.Popen(
            arguments,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        threading.Thread(target=self._drain, daemon=True).start()

    def _drain(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._more:
                self._lines.append(line)
                self._more.notify_all()
        with self._more:
            self._drained = True
            self._more.notify_all()

    def reload(self) -> None:
        """A process is always seen as it is."""

    @property
    def status(self) -> str:
        """`exited` only when all output has been read as well, so that the end of a log is not lost."""
        return "exited" if self._process.poll() is not None and self._drained else "running"

    def wait(self, **_: Any) -> dict[str, int]:
        """The exit status, in Docker's numbers."""
        code = self._process.wait()
        return {"StatusCode": 128 - code if code < 0 else code}

    def logs(self, stream: bool = False, tail: int | None = None, **_: Any) -> bytes | Iterator[bytes]:
        """What it wrote; with `stream`, line by line until it ends."""
        return self._follow() if stream else b"".join(self._lines[-tail:] if tail else self._lines)

    def _follow(self) -> Iterator[bytes]:
        at = 0
        while True:
            with self._more:
                while at >= len(self._lines) and not self._drained:
                    self._more.wait(1)
                if at >= len(self._lines):
                    return
                line = self._lines[at]
            at += 1
            yield line

    def stop(self, timeout: float = 30) -> None:
        """Asks it to end, then makes it."""
        if self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def remove(self, v: bool = False, force: bool = False) -> None:
        """Forgets it."""
        if force:
            self.stop(1)
        _containers.pop(self.id, None)


_containers: dict[str, Container] = {}


class Containers:
    """The processes that run, or ran."""

    def __init__(self, program: str) -> None:
        self._program = program

    def get(self, identifier: str) -> Container:
        """The one of that id."""
        if identifier not in _containers:
            raise NotFound(identifier)
        return _containers[identifier]

    def list(self, **_: Any) -> list[Container]:
        """All of them."""
        return list(_containers.values())

    def run(
        self,
        image: str,
        command: Sequence[str] | None = None,
        environment: dict[str, str] | None = None,
        labels: dict[str, str] | None = None,
        name: str = "",
        **_: Any,
    ) -> Container:
        """Starts the task's program: whatever the image is called, there is one task image in Millrace."""
        inherited = {variable: os.environ[variable] for variable in ("PATH", "TMPDIR") if variable in os.environ}
        full = {**inherited, **{key: str(value) for key, value in (environment or {}).items()}}
        container = Container([self._program, *(command or [])], full, labels or {}, name)
        _containers[container.id] = container
        return container


class Images:
    """Images are not needed here."""

    def get(self, image: str) -> str:
        """Whatever it is called, it is there."""
        return image

    def pull(self, image: str, **_: Any) -> str:
        """Whatever it is called, it is there."""
        return image


class Client:
    """What the emulator takes for a Docker client."""

    def __init__(self, program: str) -> None:
        self.containers = Containers(program)
        self.images = Images()
