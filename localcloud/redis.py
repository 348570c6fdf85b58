"""The Redis of the instance: private, with the users that docs/operations.md describes, and only where a pipeline
publishes to Redis."""

from __future__ import annotations

import secrets
import socket
import subprocess
import time
from typing import Any

from localcloud import processes
from localcloud.instance import ROOT, Instance, base_environment
from localcloud.progress import Failed, step

#: How long the server may take to listen, in seconds.
PATIENCE = 10

#: What each user may do. Which keys the definitions name is for them to say, and so these name none.
_USERS = {
    "owner": "-@all +@read +@write +@transaction +@connection +time -keys -scan -flushall -flushdb ~*",
    "reader": "-@all +get +mget +hgetall +hget +hlen ~*",
}


def start(instance: Instance) -> dict[str, Any]:
    """Starts Redis, unless it runs already, and gives its two users' credentials as the secrets hold them."""
    if not instance.is_running("redis"):
        step("starting Redis")
        program = _program()
        # Another process may take the port in the moment between finding it free and listening on it.
        if not any(_start_on(instance, program, processes.free_port()) for _ in range(3)):
            raise Failed(f"Redis did not start: see {instance.path('log', 'redis.log')}")
    return instance.facts["redis"]


def _start_on(instance: Instance, program: str, port: int) -> bool:
    passwords = {user: secrets.token_hex(16) for user in _USERS}
    configuration = instance.folder("redis") / "redis.conf"
    # It holds the passwords.
    configuration.touch(mode=0o600)
    configuration.write_text(
        f'bind 127.0.0.1\nport {port}\nsave ""\nappendonly no\nmaxmemory-policy noeviction\ndir "{configuration.parent}"\n'
        "user default off\n" + "".join(f"user {user} on >{passwords[user]} {may}\n" for user, may in _USERS.items())
    )
    log = instance.path("log", "redis.log")
    process = processes.spawn([program, str(configuration)], base_environment(instance), log, instance.directory)
    common = {"host": "127.0.0.1", "port": port, "tls": False}
    instance.processes["redis"] = process
    instance.facts["redis"] = {user: {**common, "username": user, "password": passwords[user]} for user in _USERS}
    instance.save()
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and process.is_alive():
        if _listens(port):
            return True
        time.sleep(0.05)
    processes.stop(process, grace=1)
    return False


def stop(instance: Instance) -> None:
    """Ends it."""
    if "redis" in instance.processes:
        processes.stop(instance.processes.pop("redis"))


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def _program() -> str:
    found = subprocess.run([ROOT / "scripts" / "redis-binary"], capture_output=True, text=True, check=False)
    if found.returncode:
        raise Failed(found.stderr.strip())
    return found.stdout.strip()
