"""Whether one AWS service may do something on behalf of an account: by the role that it takes on, or by the policy of
the function that it invokes. The emulator asks this for calls of clients only; here the patches of the services ask."""

from __future__ import annotations

import json

from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id, get_region
from ministack.services import iam, lambda_svc


def role_denies(service: str, role: str, action: str, resource: str, **keys: str) -> str | None:
    """Why a service that takes on a role may not do something, in AWS's words; none if it may. `keys` are condition
    keys, with `__` for the colon."""
    name = role.rsplit("/", 1)[-1]
    record = iam._roles.get(name)
    if not record:
        return f"{service} can't assume {role}: it does not exist"
    trust = _context(f"{service}.amazonaws.com", "sts:AssumeRole", role, {"aws__sourceaccount": get_account_id()})
    if not _trusts(record.get("AssumeRolePolicyDocument"), service, trust):
        return f"{service}.amazonaws.com is not authorized to perform: sts:AssumeRole on resource: {role}"
    session = f"arn:aws:sts::{get_account_id()}:assumed-role/{name}/{service}"
    policies = iam_evaluator._gather_role_policies(name, get_account_id())
    if iam_evaluator.evaluate(_context(session, action, resource, keys), policies).decision == "Allow":
        return None
    return (
        f"User: {session} is not authorized to perform: {action} on resource: {resource} "
        f"because no identity-based policy allows the {action} action"
    )


def function_denies(service: str, function: str, source: str) -> str | None:
    """Why a service may not invoke a function by the function's own policy; none if it may."""
    record, _, _ = lambda_svc._get_func_record_for_ref(function)
    if not record:
        return None  # the caller says so itself
    principal = f"{service}.amazonaws.com"
    keys = {"aws__sourcearn": source, "aws__sourceaccount": get_account_id()}
    context = _context(principal, "lambda:InvokeFunction", function, keys)
    result = iam_evaluator.evaluate_resource_policy(record.get("policy"), context, service=principal)
    if result.decision == "Allow":
        return None
    return f"{principal} is not authorized to perform: lambda:InvokeFunction on resource: {function} for {source}"


def _trusts(document: str | dict | None, service: str, context: iam_evaluator.EvalContext) -> bool:
    statements = json.loads(document) if isinstance(document, str) else document or {}
    principal = f"{service}.amazonaws.com"
    return (
        iam_evaluator.evaluate_resource_policy(_about_any(statements), context, service=principal).decision == "Allow"
    )


def _about_any(document: dict) -> dict:
    """A trust policy's statements name no resource: they are about the role itself."""
    statements = document.get("Statement", [])
    statements = [statements] if isinstance(statements, dict) else statements
    return {**document, "Statement": [{"Resource": "*", **statement} for statement in statements]}


def _context(principal: str, action: str, resource: str, keys: dict[str, str]) -> iam_evaluator.EvalContext:
    return iam_evaluator.EvalContext(
        principal_arn=principal,
        principal_type="AssumedRole",
        principal_account=get_account_id(),
        action=action,
        resource_arn=resource,
        region=get_region(),
        source_ip="127.0.0.1",
        secure_transport=True,
        service_context={key.replace("__", ":").lower(): value for key, value in keys.items()},
    )
