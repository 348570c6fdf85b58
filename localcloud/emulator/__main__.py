"""Starts the emulator in the foreground. Its settings are environment variables, which `localcloud.aws` sets;
`MILLRACE_EMULATOR_WITHOUT` leaves patches out (a comma-separated list of names, or `all`)."""

from __future__ import annotations

import os
import sys

# The emulator reads its settings while it is imported, and its modules patch one another: patches first, then main.
from localcloud.emulator import api_gateway, cloudwatch, ecs, events, iam, lambda_, scheduler, step_functions  # noqa: F401
from localcloud.emulator.patching import apply


def main() -> None:
    """Applies the patches and serves until a signal ends it."""
    apply(without=filter(None, os.environ.get("MILLRACE_EMULATOR_WITHOUT", "").split(",")))
    from ministack.app import main as serve

    sys.argv = sys.argv[:1]
    try:
        serve()
    finally:
        # Threads of executions under way would keep the interpreter from ending.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


if __name__ == "__main__":
    main()
