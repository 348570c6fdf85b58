"""A plugin of pytest: names what was skipped where `make test` looks for it."""

from __future__ import annotations

import os

import pytest


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Notes a skipped test by name and reason."""
    if report.skipped and (file := os.environ.get("MILLRACE_SKIPPED")):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        with open(file, "a", encoding="utf-8") as skipped:
            skipped.write(f"{report.nodeid}: {reason.removeprefix('Skipped: ')}\n")
