"""One local cloud: where it keeps its things, and what runs for it. Two can run side by side, in one checkout too,
as long as each has a directory of its own."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from localcloud.processes import Process
from localcloud.progress import Failed

#: The checkout.
ROOT = Path(__file__).resolve().parent.parent

#: The account that the emulator plays.
ACCOUNT = "111122223333"
REGION = "eu-central-1"


@dataclass
class Instance:
    """A local cloud in a directory."""

    directory: Path
    #: Carried by every process of this instance.
    identity: str = ""
    processes: dict[str, Process] = field(default_factory=dict)
    #: Addresses, outputs of Terraform, and what else a later command needs.
    facts: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def open(cls, directory: Path) -> Instance:
        """The instance in that directory, as it was last saved."""
        instance = cls(directory.resolve())
        try:
            saved = json.loads(instance.path("instance.json").read_text())
        except FileNotFoundError:
            return instance
        except ValueError:
            raise Failed(
                f"{instance.path('instance.json')} can't be read: end its processes by hand and remove {directory}"
            ) from None
        instance.identity = saved["identity"]
        instance.processes = {name: Process(**process) for name, process in saved["processes"].items()}
        instance.facts = saved["facts"]
        return instance

    def path(self, *parts: str) -> Path:
        """A file or folder of the instance."""
        return self.directory.joinpath(*parts)

    def folder(self, *parts: str) -> Path:
        """A folder of the instance, made if it is not there."""
        folder = self.path(*parts)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def create(self) -> None:
        """Makes the directory, so that there is something to save into."""
        self.folder("log")
        self.identity = self.identity or uuid.uuid4().hex

    def save(self) -> None:
        """Writes down what runs, so that a later command finds it even if this one is killed."""
        saved = {
            "identity": self.identity,
            "processes": {name: vars(process) for name, process in self.processes.items()},
            "facts": self.facts,
        }
        temporary = self.path("instance.json.new")
        # It holds the keys of the local consumers.
        temporary.touch(mode=0o600)
        temporary.write_text(json.dumps(saved, indent=2))
        temporary.replace(self.path("instance.json"))

    def is_running(self, name: str) -> bool:
        """Whether that process of the instance runs."""
        return name in self.processes and self.processes[name].is_alive()

    def exists(self) -> bool:
        """Whether there is anything to stop."""
        return self.path("instance.json").exists()

    def remove(self) -> None:
        """Removes all its files."""
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def url(self) -> str:
        """The emulator's address."""
        if "url" not in self.facts:
            raise Failed(f"there is no local cloud in {self.directory}: start one with `make cloud`")
        return self.facts["url"]

    def aws_environment(self) -> dict[str, str]:
        """What makes any AWS SDK, the AWS command line and Terraform talk to this instance and to nothing else."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": ACCOUNT,
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            # A profile of the person's own must neither be used nor be needed.
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps two commands from changing one instance at once."""
        self.directory.parent.mkdir(parents=True, exist_ok=True)
        path = self.directory.with_name(self.directory.name + ".lock")
        with path.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Failed(
                    f"another command works on {self.directory}: wait for it, "
                    "or choose another directory with MILLRACE_CLOUD_DIR"
                ) from None
            try:
                yield
            finally:
                path.unlink(missing_ok=True)


def base_environment(instance: Instance) -> dict[str, str]:
    """What a process of the instance inherits from the shell: nothing that it could be steered by unnoticed. The
    emulator hands its environment on to every function."""
    kept = ("PATH", "HOME", "LANG", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "DOCKER_HOST", "RUST_LOG")
    inherited = {name: os.environ[name] for name in kept if name in os.environ}
    return {**inherited, "MILLRACE_CLOUD_INSTANCE": instance.identity}
