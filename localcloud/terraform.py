"""Runs Terraform on the repository's `infra/`, with the real AWS provider, against the instance. Whatever Terraform
writes (lock file, plugins, state) lies in the instance's directory and never in `infra/`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from localcloud import progress
from localcloud.instance import ROOT, Instance, base_environment
from localcloud.progress import Failed

#: What the working copy has beside `infra/` by itself: links to the repository's other folders are made to the rest.
_NOT_LINKED = {"infra", "target"}

#: How many lines of the emulator's log are told with a failure.
_TOLD = 40

#: Seconds between two reports of how far an apply is.
_REPORT_EVERY = 5


class Terraform:
    """Terraform for one instance."""

    def __init__(self, instance: Instance, overlay: Mapping[str, Path]) -> None:
        """`overlay` names folders of the repository's root that are taken from elsewhere."""
        if not shutil.which("terraform"):
            raise Failed("there is no terraform on the PATH: install 1.9 or newer (https://developer.hashicorp.com)")
        self._instance = instance
        self._root = instance.folder("terraform")
        #: The working copy of `infra/`.
        self.module = self._root / "infra"
        self._variables = instance.path("terraform", "local.tfvars.json")
        self._copy(overlay)

    def _copy(self, overlay: Mapping[str, Path]) -> None:
        """Copies `infra/` beside links to all that it reads, so that paths relative to it hold."""
        kept = {".terraform.lock.hcl"}
        if self.module.exists():
            for entry in self.module.iterdir():
                if entry.name not in kept:
                    shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        ignored = shutil.ignore_patterns(".terraform*", "*.tfstate*", "tests", "*.tftest.hcl")
        shutil.copytree(ROOT / "infra", self.module, ignore=ignored, dirs_exist_ok=True)
        for entry in ROOT.iterdir():
            if entry.name.startswith(".") or entry.name in _NOT_LINKED:
                continue
            link = self._root / entry.name
            link.unlink(missing_ok=True)
            link.symlink_to(overlay.get(entry.name, entry))

    def set_variables(self, variables: Mapping[str, Any]) -> None:
        """What `infra/` is told about this instance; the same for every command from now on."""
        self._variables.write_text(json.dumps(variables, indent=2))

    def init(self) -> None:
        """Gets the provider: from a mirror on this machine where Terraform finds one, else by download."""
        self._run("init", "-input=false", "-no-color")

    def apply(self) -> str:
        """Makes what `infra/` describes, and says how much that was."""
        arguments = ["apply", "-input=false", "-auto-approve", "-json", *self._common()]
        return self._stream(arguments, "apply")

    def destroy(self) -> str:
        """Removes what was made, and says how much that was."""
        arguments = ["destroy", "-input=false", "-auto-approve", "-json", *self._common()]
        try:
            return self._stream(arguments, "destroy")
        except Failed as failure:
            # Where the answer to a deletion gets lost, the provider repeats it and takes "not found" for a failure. A
            # second run looks first at what is there.
            progress.step(f"{failure}\n\nonce more, with what is left")
            return self._stream(arguments, "destroy")

    def difference(self) -> str:
        """What another apply would change; empty if nothing."""
        arguments = ["plan", "-input=false", "-detailed-exitcode", "-no-color", *self._common()]
        done = self._execute(arguments)
        if done.returncode == 0:
            return ""
        if done.returncode == 2:
            return done.stdout
        raise self._failure("plan", done.stdout + done.stderr)

    def outputs(self) -> dict[str, Any]:
        """The outputs, sensitive ones included."""
        done = self._run("output", "-json", f"-state={self._state}")
        return {name: output["value"] for name, output in json.loads(done.stdout).items()}

    def resources(self) -> list[str]:
        """The addresses of all that the state holds."""
        if not self._state.exists():
            return []
        return self._run("state", "list", f"-state={self._state}").stdout.split()

    @property
    def _state(self) -> Path:
        return self._root / "terraform.tfstate"

    def _common(self) -> list[str]:
        return [f"-state={self._state}", f"-var-file={self._variables}"]

    def _environment(self) -> dict[str, str]:
        environment = {
            **base_environment(self._instance),
            **self._instance.aws_environment(),
            "TF_DATA_DIR": str(self._root / "data"),
            "TF_IN_AUTOMATION": "1",
            "CHECKPOINT_DISABLE": "1",
        }
        # Where a person has told Terraform to look for providers.
        for name in ("TF_CLI_CONFIG_FILE", "TF_PLUGIN_CACHE_DIR", "XDG_DATA_HOME", "HTTPS_PROXY", "https_proxy"):
            if name in os.environ:
                environment[name] = os.environ[name]
        return environment

    def _execute(self, arguments: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["terraform", f"-chdir={self.module}", *arguments],
            env=self._environment(),
            capture_output=True,
            text=True,
            check=False,
        )

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        done = self._execute(list(arguments))
        if done.returncode:
            raise self._failure(arguments[0], done.stdout + done.stderr)
        return done

    def _stream(self, arguments: list[str], command: str) -> str:
        """Runs a command that reports in JSON, tells how far it is, and gives its last summary."""
        log = self._instance.path("log", f"terraform-{command}.log")
        tally = _Tally()
        with log.open("w") as output:
            with subprocess.Popen(
                ["terraform", f"-chdir={self.module}", *arguments],
                env=self._environment(),
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
            ) as running:
                assert running.stdout is not None
                for line in running.stdout:
                    output.write(line)
                    tally.count(line)
        if running.returncode:
            raise self._failure(command, tally.diagnostics(), log)
        return tally.summary

    def _failure(self, command: str, output: str, log: Path | None = None) -> Failed:
        emulator = self._instance.path("log", "emulator.log")
        logs = f"{log}, and {emulator}" if log else str(emulator)
        said = emulator.read_text(errors="replace").splitlines()[-_TOLD:] if emulator.exists() else []
        last = "\n".join(["the emulator's last lines:", *said])
        return Failed(f"terraform {command} failed.\n\n{output.strip()}\n\n{last}\n\nlogs: {logs}")


class _Tally:
    """How far Terraform is, from its JSON messages."""

    def __init__(self) -> None:
        self.summary = ""
        self._planned = 0
        self._done = 0
        self._under_way: dict[str, None] = {}
        self._diagnostics: list[str] = []
        self._reported = time.monotonic()

    def count(self, line: str) -> None:
        try:
            message = json.loads(line)
        except ValueError:
            self._diagnostics.append(line.rstrip())
            return
        kind = message.get("type")
        hook = message.get("hook", {})
        address = hook.get("resource", {}).get("addr", "")
        if hook.get("action") == "read":
            return
        if kind == "change_summary":
            changes = message["changes"]
            self._planned = sum(changes[name] for name in ("add", "change", "remove"))
            self.summary = message["@message"]
        elif kind == "apply_start":
            self._under_way[address] = None
        elif kind in ("apply_complete", "apply_errored"):
            self._under_way.pop(address, None)
            self._done += kind == "apply_complete"
        elif kind == "diagnostic" and message["diagnostic"]["severity"] == "error":
            diagnostic = message["diagnostic"]
            where = f" ({diagnostic['address']})" if diagnostic.get("address") else ""
            self._diagnostics.append(f"{diagnostic['summary']}{where}\n{diagnostic.get('detail', '')}")
        self._report()

    def _report(self) -> None:
        if time.monotonic() - self._reported < _REPORT_EVERY or not self._planned:
            return
        self._reported = time.monotonic()
        now = ", ".join(list(self._under_way)[:2])
        progress.detail(f"{self._done} of {self._planned} resources; now {now or 'the next'}")

    def diagnostics(self) -> str:
        return "\n".join(self._diagnostics)
