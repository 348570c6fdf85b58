"""Makes what Terraform uploads out of what cargo built: a zip a function, and the task's container image."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import zipfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import certifi

from localcloud import docker_engine
from localcloud.instance import ROOT, Instance
from localcloud.progress import Failed, step

FUNCTIONS = ("trigger", "ingest", "transform", "refine", "publish", "serve", "serve-lake", "serve-redis")

#: The container's user: nobody in particular, and not root.
_USER = "65532:65532"


def binary(name: str) -> Path:
    """A program of this repository, as cargo built it."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    program = target / "debug" / name
    if not program.exists():
        raise Failed(f"{program} is not there: build it first (scripts/cargo-build; `make cloud` does it by itself)")
    return program


def package_functions(instance: Instance) -> dict[str, Path]:
    """The functions' zips, by name; only what has changed is packed anew."""
    step("packaging the functions")
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        zips = pool.map(lambda name: _package(instance, name), FUNCTIONS)
        return dict(zip(FUNCTIONS, zips))


def _package(instance: Instance, name: str) -> Path:
    program = binary(name)
    folder = instance.folder("lambda", name)
    archive, made_of = folder / "bootstrap.zip", folder / "made-of"
    stat = program.stat()
    identity = f"{program} {stat.st_size} {stat.st_mtime_ns}"
    if archive.exists() and made_of.exists() and made_of.read_text() == identity:
        return archive
    bootstrap = _stripped(program, folder / "bootstrap")
    # The same program gives the same bytes, so that Terraform sees a change only where there is one.
    entry = zipfile.ZipInfo("bootstrap", date_time=(1980, 1, 1, 0, 0, 0))
    entry.external_attr = 0o755 << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(archive, "w", compresslevel=1) as opened:
        opened.writestr(entry, bootstrap.read_bytes(), compresslevel=1)
    bootstrap.unlink()
    made_of.write_text(identity)
    return archive


def _stripped(program: Path, to: Path) -> Path:
    """A copy without symbols, which make up most of a debug build."""
    if shutil.which("strip"):
        done = subprocess.run(["strip", "-o", str(to), str(program)], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return to
    shutil.copyfile(program, to)
    return to


def task_image(instance: Instance) -> str:
    """Makes the task's image and gives its name."""
    name = f"millrace-task:{instance.identity[:12]}"
    if instance.facts.get("tasks") == "containers":
        step("making the task's image")
        build_image(name, instance.identity, instance.folder("image"), {"/task": _task_program()}, ["/task"])
    return name


def build_image(name: str, identity: str, context: Path, programs: Mapping[str, Path], entry_point: list[str]) -> None:
    """Makes an image FROM scratch, labelled as the instance's: the programs, what they are linked with if they are not
    static, and certificates. An AWS client does not start without any, even where it speaks HTTP."""
    shutil.rmtree(context)
    root = context / "root"
    (root / "tmp").mkdir(parents=True)
    for place, program in programs.items():
        copy = root / place.lstrip("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        _stripped(program, copy).chmod(0o755)
        for library in _libraries(program):
            copy = root / library.relative_to("/")
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(library, copy)
            copy.chmod(0o755)
    certificates = root / "etc" / "ssl" / "certs" / "ca-certificates.crt"
    certificates.parent.mkdir(parents=True)
    shutil.copyfile(certifi.where(), certificates)
    (context / "Dockerfile").write_text(
        f"FROM scratch\nCOPY root/ /\nUSER {_USER}\nENTRYPOINT {json.dumps(entry_point)}\n"
    )
    # The builder that every engine has; BuildKit is a plugin that may be missing.
    environment = {**os.environ, "DOCKER_BUILDKIT": "0"}
    done = subprocess.run(
        ["docker", "build", "--quiet", "--force-rm", "--label", _label(identity), "--tag", name, str(context)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Failed(f"docker could not build the image {name} from {context}:\n{done.stderr.strip()}")


def _task_program() -> Path:
    """The static program where one was built, else the one that everything else here uses."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    static = [path for path in target.glob("*-linux-musl/debug/task") if path.is_file()]
    return max(static, key=lambda path: path.stat().st_mtime) if static else binary("task")


def _libraries(program: Path) -> list[Path]:
    """What the program is linked with, its loader included; nothing if it is static."""
    listed = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False)
    if listed.returncode:
        return []
    paths = re.findall(r"(?:=> )?(/\S+) \(0x", listed.stdout)
    return [Path(path) for path in dict.fromkeys(paths)]


def remove_images(instance: Instance) -> None:
    """Removes the images that were made for the instance."""
    if instance.facts.get("tasks") == "containers":
        docker_engine.remove_images(_label(instance.identity))


def _label(identity: str) -> str:
    return f"millrace.instance={identity}"
