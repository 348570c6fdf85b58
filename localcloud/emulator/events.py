"""EventBridge and its Scheduler, as callers of functions: asynchronously, with retries, and only where they may."""

from __future__ import annotations

import json
from typing import Any

from ministack.services import eventbridge, lambda_svc

from localcloud.emulator import authority
from localcloud.emulator.patching import patch


@patch("events.asynchronous_retry")
def retry_asynchronous_invocations() -> None:
    """A function that a schedule or a rule invokes is called once, whatever comes of it; on AWS the invocation is
    asynchronous and is tried three times. A trigger that fails once must not lose its run here, and must show here
    that it can be invoked twice."""

    def dispatch(arn: str, payload: str) -> None:
        try:
            event = json.loads(payload)
        except (TypeError, ValueError):
            event = {"body": payload}
        function, config, name = lambda_svc._get_func_record_for_ref(arn)
        if not function or not config:
            eventbridge.logger.warning("EventBridge: target function %s not found", name)
            return
        lambda_svc.invoke_async_with_retry(lambda_svc._execution_record_for_config(function, config), event)

    eventbridge._dispatch_to_lambda = dispatch


@patch("events.permission")
def invoke_where_allowed() -> None:
    """A rule invokes functions whose policies do not allow it, and a schedule those that its role does not allow: on
    AWS nothing comes of that but a metric."""
    invoke = eventbridge._invoke_target

    def invoke_if_allowed(target: dict, event: dict, source: dict, *rest: Any) -> None:
        denied = _denial(target, source)
        if denied:
            eventbridge.logger.error("the target was not invoked: %s", denied)
            return
        invoke(target, event, source, *rest)

    eventbridge._invoke_target = invoke_if_allowed


def _denial(target: dict, source: dict) -> str | None:
    arn = target.get("Arn", "")
    if ":lambda:" not in arn:
        return None
    if ":schedule/" in source.get("Arn", ""):
        return authority.role_denies("scheduler", target.get("RoleArn", ""), "lambda:InvokeFunction", arn)
    return authority.function_denies("events", arn, source.get("Arn", ""))
