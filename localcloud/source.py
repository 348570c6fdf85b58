"""The sample source, and the definitions that pull from it instead of from the USGS."""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path

from localcloud import processes
from localcloud.instance import ROOT, Instance, base_environment
from localcloud.packages import binary
from localcloud.progress import Failed, step

#: The kinds of definitions, as their folders are called.
KINDS = ("connections", "pipelines", "models", "endpoints")

#: Where the event service stands, at the USGS and at the sample source.
EVENT_SERVICE = "/fdsnws/event/1"

_BASE_URL = re.compile(r"^base_url:.*$", re.MULTILINE)


def start(instance: Instance, options: list[str]) -> str:
    """Starts the sample source, unless it runs already, and gives its URL."""
    if not instance.is_running("sample"):
        step("starting the sample source")
        log = instance.path("log", "sample.log")
        log.unlink(missing_ok=True)
        process = processes.spawn(
            [str(binary("sample")), *options], base_environment(instance), log, instance.directory
        )
        instance.processes["sample"] = process
        instance.facts["source"] = _announced(process, log)
        instance.save()
    return instance.facts["source"]


def _announced(process: processes.Process, log: Path) -> str:
    """The program prints its URL when it listens."""
    until = time.monotonic() + 20
    while time.monotonic() < until and process.is_alive():
        url = re.search(r"https?://\S+", log.read_text())
        if url:
            return url[0]
        time.sleep(0.05)
    raise Failed(f"the sample source did not start: see {log}")


def stop(instance: Instance) -> None:
    """Ends it."""
    if "sample" in instance.processes:
        processes.stop(instance.processes.pop("sample"))


def definitions(instance: Instance, origin: Path = ROOT) -> dict[str, Path]:
    """Copies the definitions into the instance and points the connection `usgs` at the sample source. Gives the
    folders, by name."""
    folders = {}
    for kind in KINDS:
        folder = instance.folder("definitions", kind)
        shutil.rmtree(folder)
        if (origin / kind).is_dir():
            shutil.copytree(origin / kind, folder)
        else:
            folder.mkdir()
        folders[kind] = folder
    usgs = folders["connections"] / "usgs.yaml"
    if not usgs.exists():
        raise Failed(f"{origin / 'connections' / 'usgs.yaml'} is not there: the local cloud's main job pulls from it")
    base_url = f"{instance.facts['source']}{EVENT_SERVICE}"
    changed, count = _BASE_URL.subn(f"base_url: {base_url}", usgs.read_text())
    if count != 1:
        raise Failed(f"{origin / 'connections' / 'usgs.yaml'} has no line `base_url: …` to replace")
    usgs.write_text(changed)
    return folders
