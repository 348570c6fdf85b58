"""Lambda: fast enough to measure with, and as strict about sizes as AWS is."""

from __future__ import annotations

import json
import socketserver
from typing import Any

from ministack.core import lambda_runtime
from ministack.services import lambda_svc

from localcloud.emulator.patching import patch

#: The largest answer that AWS lets a function give to a synchronous invocation, in bytes.
LARGEST_ANSWER = 6 * 1024 * 1024


@patch("lambda.latency")
def answer_at_once() -> None:
    """A warm invocation takes 100 ms instead of about 10: half is Nagle's algorithm against delayed acknowledgements
    on the runtime API's socket, half is a wait for a first log line. End-to-end tests make thousands of them."""
    socketserver.StreamRequestHandler.disable_nagle_algorithm = True
    drain = lambda_runtime.Worker._drain_stderr_bounded

    def drain_briefly(worker: Any, first_line_wait: float = 0.005, **options: Any) -> str:
        return drain(worker, first_line_wait=min(first_line_wait, 0.005), **options)

    lambda_runtime.Worker._drain_stderr_bounded = drain_briefly


@patch("lambda.largest_answer")
def refuse_large_answers() -> None:
    """An answer of any size is passed on; AWS refuses more than 6 MB. A page of rows that is too large must fail here
    and not on AWS first."""
    execute = lambda_svc._execute_function_provided_warm

    def execute_within_limit(function: dict, event: dict, request_id: str) -> dict:
        result = execute(function, event, request_id)
        if result.get("error"):
            return result
        size = len(json.dumps(result.get("body"), ensure_ascii=False, separators=(",", ":")).encode())
        if size <= LARGEST_ANSWER:
            return result
        message = f"Response payload size exceeded maximum allowed payload size (6291556 bytes), it was {size} bytes."
        return {
            "body": {"errorType": "Function.ResponseSizeTooLarge", "errorMessage": message},
            "error": True,
            "log": result.get("log", ""),
        }

    lambda_svc._execute_function_provided_warm = execute_within_limit


@patch("lambda.exit_in_init")
def name_exits_in_init() -> None:
    """A process that ends before it asks for its first event is called `Runtime.Unknown`; AWS calls that
    `Runtime.ExitError`, in init as in an invocation, and a state machine decides by that name whether to try again."""
    await_init = lambda_runtime.ProvidedWorker._await_init

    def await_init_by_name(worker: Any, init_timeout: float | None = None) -> None:
        try:
            await_init(worker, init_timeout)
        except RuntimeError as error:
            if type(error) is not RuntimeError or not str(error).startswith("bootstrap exited during init"):
                raise
            raise lambda_runtime.ProvidedRuntimeError(str(error), "Runtime.ExitError") from error

    lambda_runtime.ProvidedWorker._await_init = await_init_by_name
