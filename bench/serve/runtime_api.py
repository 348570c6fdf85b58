"""Lambda's runtime API, as much of it as measuring takes: hands a process one event after the other, and takes the time
until each answer."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import time
from collections.abc import Iterator


def handler_times(command: list[str], environment: dict[str, str], events: list[dict]) -> list[tuple[float, dict]]:
    """Milliseconds from each event to its answer, and the answer."""
    with started(command, environment) as (connection, _):
        return [((answered - sent) * 1000, answer) for sent, answered, answer in conversation(connection, events)]


def cold_start(command: list[str], environment: dict[str, str], event: dict) -> tuple[float, dict]:
    """Milliseconds from a process's start to its answer to the event that waits for it, and the answer."""
    with started(command, environment) as (connection, began):
        [(_, answered, answer)] = conversation(connection, [event])
        return (answered - began) * 1000, answer


@contextlib.contextmanager
def started(command: list[str], environment: dict[str, str]) -> Iterator[tuple[socket.socket, float]]:
    """Runs a function's process; the connection on which it asks for events, and when it began."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        listener.settimeout(30)
        environment = {
            **environment, "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{listener.getsockname()[1]}", "AWS_LAMBDA_FUNCTION_NAME": "serve",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512", "AWS_LAMBDA_FUNCTION_VERSION": "1",
        }
        began = time.perf_counter()
        function = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        try:
            connection = stack.enter_context(listener.accept()[0])
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            yield connection, began
        finally:
            function.kill()
            function.wait()


def conversation(connection: socket.socket, events: list[dict]) -> list[tuple[float, float, dict]]:
    """When each event was sent, when it was answered, and how."""
    reader = connection.makefile("rb")
    times = []
    sent = 0.0
    pending = iter(events)
    while len(times) < len(events):
        line, body = read(reader)
        if b"/invocation/next" in line:
            event = next(pending)
            headers = {
                "Lambda-Runtime-Aws-Request-Id": f"{len(times):08}-0000-4000-8000-000000000000",
                "Lambda-Runtime-Deadline-Ms": str(int(time.time() * 1000) + 30_000),
                "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-central-1:000000000000:function:serve",
            }
            message = answer("200 OK", json.dumps(event).encode(), headers)
            sent = time.perf_counter()
            connection.sendall(message)
        else:
            times.append((sent, time.perf_counter(), json.loads(body)))
            connection.sendall(answer("202 Accepted", b"{}", {}))
    return times


def read(reader) -> tuple[bytes, bytes]:
    """A request's first line, and its body."""
    line = reader.readline()
    length, chunked = 0, False
    while (header := reader.readline().strip().lower()):
        name, _, value = header.partition(b":")
        if name == b"content-length":
            length = int(value)
        chunked |= name == b"transfer-encoding" and b"chunked" in value
    if not chunked:
        return line, reader.read(length)
    body = b""
    while (size := int(reader.readline().strip(), 16)):
        body += reader.read(size)
        reader.readline()
    reader.readline()
    return line, body


def answer(status: str, body: bytes, headers: dict[str, str]) -> bytes:
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
