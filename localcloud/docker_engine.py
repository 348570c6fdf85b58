"""The Docker engine, where there is one: tasks run in it as containers."""

from __future__ import annotations

import shutil
import socket
import subprocess
from urllib.parse import urlsplit


def is_available() -> bool:
    """Whether an engine answers. Without one, tasks run as processes."""
    if not shutil.which("docker"):
        return False
    try:
        found = subprocess.run(
            ["docker", "version", "--format", "{{.Server.Version}}"], capture_output=True, timeout=20, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return found.returncode == 0


def containers_of(url: str) -> list[str]:
    """The containers that the emulator of that address started; it labels them with host and port."""
    label = f"ministack.instance={socket.gethostname()}:{urlsplit(url).port}"
    found = subprocess.run(
        ["docker", "ps", "--all", "--quiet", "--filter", f"label={label}"], capture_output=True, text=True, check=False
    )
    return found.stdout.split()


def remove_containers_of(url: str) -> None:
    """Removes them."""
    containers = containers_of(url)
    if containers:
        subprocess.run(["docker", "rm", "--force", "--volumes", *containers], capture_output=True, check=False)


def remove_images(label: str) -> None:
    """Removes the images that were built with that label, those included that a later one of the same name replaced."""
    found = subprocess.run(
        ["docker", "image", "ls", "--quiet", "--filter", f"label={label}"], capture_output=True, text=True, check=False
    )
    images = list(dict.fromkeys(found.stdout.split()))
    if images:
        subprocess.run(["docker", "image", "rm", "--force", *images], capture_output=True, check=False)
