"""What a person sees while the local cloud works: a line a step, with the seconds since the start, on stderr."""

from __future__ import annotations

import sys
import time


class Failed(Exception):
    """Something did not work: what, and what to do about it. Shown to the person as it is, without a traceback."""


_start = time.monotonic()
_open_line = False


def step(text: str) -> None:
    """Says what happens now."""
    _close_line()
    print(f"[{_seconds()}] {text}", file=sys.stderr, flush=True)


def detail(text: str) -> None:
    """Says how far the step is: over the last such line on a terminal, on a line of its own elsewhere."""
    global _open_line
    if sys.stderr.isatty():
        print(f"\r\x1b[K[{_seconds()}]   {text}", end="", file=sys.stderr, flush=True)
        _open_line = True
    else:
        print(f"[{_seconds()}]   {text}", file=sys.stderr, flush=True)


def _close_line() -> None:
    global _open_line
    if _open_line:
        print(file=sys.stderr)
        _open_line = False


def finish() -> None:
    """Leaves the cursor on a fresh line."""
    _close_line()


def elapsed() -> float:
    """Seconds since the command began."""
    return time.monotonic() - _start


def _seconds() -> str:
    return f"{elapsed():6.1f} s"
