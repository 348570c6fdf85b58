"""EventBridge: an invocation of a function is an asynchronous one, with the retries that those have."""

from __future__ import annotations

import json

from ministack.services import eventbridge, lambda_svc

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
