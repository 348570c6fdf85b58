"""How a defect of the emulator is mended: patches by name, so that a test can leave one out and see the defect."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterable
from dataclasses import dataclass

#: The only version that the patches are written for: they reach into its internals.
VERSION = "1.5.33"


@dataclass(frozen=True)
class Patch:
    """One mend of one defect."""

    #: `<service>.<what is mended>`.
    name: str
    #: What the emulator gets wrong, and why Millrace cares.
    why: str
    apply: Callable[[], None]


_patches: dict[str, Patch] = {}


def patch(name: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Registers a function as the patch of that name; its doc comment is the reason."""

    def register(function: Callable[[], None]) -> Callable[[], None]:
        if name in _patches:
            raise ValueError(f"there are two patches named {name}")
        _patches[name] = Patch(name, (function.__doc__ or "").strip(), function)
        return function

    return register


def names() -> list[str]:
    """The names of all patches, in the order in which they are applied."""
    return list(_patches)


def apply(without: Iterable[str] = ()) -> None:
    """Applies every patch but those named; `all` names every one."""
    version = importlib.metadata.version("ministack")
    if version != VERSION:
        raise SystemExit(
            f"the emulator's patches are written for ministack {VERSION}, and {version} is installed: "
            "run scripts/python-env, or review localcloud/emulator/ against the new version and change VERSION there"
        )
    left_out = set(without)
    unknown = left_out - set(_patches) - {"all"}
    if unknown:
        raise SystemExit(f"no such patch: {', '.join(sorted(unknown))}; there are {', '.join(_patches)}")
    if "all" in left_out:
        return
    for each in _patches.values():
        if each.name not in left_out:
            each.apply()
