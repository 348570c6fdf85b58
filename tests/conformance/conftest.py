"""Millrace against servers that are not ours: what `scripts/test` runs in its step `conformance`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from harness import Author  # noqa: E402  (needs the path above)


@pytest.fixture
def author(tmp_path: Path) -> Author:
    """An author with an empty folder."""
    return Author(tmp_path)


@pytest.fixture(scope="session")
def node_package() -> Callable[[str], Path]:
    """The folder of a package that package.json names; the test is skipped where there is no Node."""

    def package(name: str) -> Path:
        modules = os.environ.get("MILLRACE_NODE_MODULES")
        if not modules:
            pytest.skip(os.environ.get("MILLRACE_NO_NODE", "MILLRACE_NODE_MODULES is not set: scripts/node-env tests/conformance"))
        return Path(modules) / name

    return package
