"""API Gateway: REST APIs from an OpenAPI document, answers and requests in the form that AWS gives them."""

from __future__ import annotations

import asyncio
import contextvars
import json
import urllib.parse
from collections.abc import Callable
from typing import Any

import yaml
from ministack import app
from ministack.core.arn import execute_api_arn
from ministack.core.responses import get_account_id, get_region
from ministack.services import apigateway_v1 as gateway

from localcloud.emulator import authority, openapi_import
from localcloud.emulator.patching import patch


@patch("api_gateway.import")
def import_openapi() -> None:
    """PutRestApi gives 404 and ImportRestApi makes an empty API, so a REST API with a `body` can't be applied."""
    handle = gateway.handle_request

    async def handle_imports(method: str, path: str, headers: dict, body: bytes, query: dict) -> tuple:
        parts = [part for part in path.split("/") if part]
        if parts == ["restapis"] and method == "POST" and "mode" in query:
            return _import(body)
        if len(parts) == 2 and parts[0] == "restapis" and method == "PUT":
            return _overwrite(parts[1], body)
        return await handle(method, path, headers, body, query)

    gateway.handle_request = handle_imports


def _import(body: bytes) -> tuple:
    _, _, made = gateway._create_rest_api({"name": "unnamed"})
    api = json.loads(made)["id"]
    status, headers, answer = _overwrite(api, body)
    if status >= 400:
        gateway._delete_rest_api(api)
        return status, headers, answer
    return 201, headers, answer


def _overwrite(api: str, body: bytes) -> tuple:
    if api not in gateway._rest_apis:
        return gateway._v1_error("NotFoundException", "Invalid API identifier specified", 404)
    try:
        # JSON is YAML, and much faster read as JSON.
        document = json.loads(body) if body.lstrip().startswith(b"{") else yaml.safe_load(body)
        openapi_import.overwrite(api, document)
    except (openapi_import.InvalidDocument, KeyError, TypeError, ValueError, yaml.YAMLError) as error:
        return gateway._v1_error("BadRequestException", f"Errors found during import: {error!r}", 400)
    return gateway._v1_response(gateway._rest_api_view(gateway._rest_apis[api]), 200)


class _FailedIntegration(gateway._GatewayError):
    """A gateway error whose status is the integration's and not the gateway response's default."""

    def __init__(self, response_type: str, message: str, status: int) -> None:
        super().__init__(response_type, message)
        self.status = status


@patch("api_gateway.failed_integration")
def answer_failed_integrations() -> None:
    """A function's answer that is not a proxy answer becomes a 200 with that answer as its body, a failed function's
    error goes out with its message, and an integration's time limit is ignored. On AWS these are a 502 and a 504
    without a word about the reason, in the form that the gateway responses say."""
    shape, invoke, render = (
        gateway._lambda_proxy_response,
        gateway._invoke_lambda_proxy_v1,
        gateway._gateway_error_response,
    )

    def shape_if_well_formed(result: dict) -> tuple[dict | None, str | None]:
        body = result.get("body")
        if result.get("error") or result.get("throttle") or not isinstance(body, dict) or "statusCode" not in body:
            return None, "Internal server error"
        return shape(result)

    async def invoke_within_limit(integration: dict, *arguments: Any, **options: Any) -> Any:
        seconds = int(integration.get("timeoutInMillis") or 29_000) / 1000
        try:
            answer = await asyncio.wait_for(invoke(integration, *arguments, **options), seconds)
        except asyncio.TimeoutError:
            return _FailedIntegration("INTEGRATION_TIMEOUT", "Endpoint request timed out", 504)
        # The emulator's own 502 is the only answer without headers of the function's.
        if isinstance(answer, tuple) and answer[0] == 502 and answer[2] == b'{"message": "Internal server error"}':
            return _FailedIntegration("DEFAULT_5XX", "Internal server error", 502)
        return answer

    def render_with_status(error: Any, request: dict) -> tuple:
        status, headers, body = render(error, request)
        if isinstance(error, _FailedIntegration) and status == 500:
            status = error.status
        return status, headers, body

    gateway._lambda_proxy_response = shape_if_well_formed
    gateway._invoke_lambda_proxy_v1 = invoke_within_limit
    gateway._gateway_error_response = render_with_status


@patch("api_gateway.permission")
def invoke_where_allowed() -> None:
    """Functions are invoked whatever their policies say; on AWS the caller gets a 500."""
    invoke = gateway._invoke_lambda_proxy_v1

    async def invoke_if_allowed(integration: dict, api: str, stage: str, *arguments: Any, **options: Any) -> Any:
        _, resource, _, method = arguments[:4]
        source = execute_api_arn(get_region(), get_account_id(), api, stage, method, resource["path"])
        function = gateway._extract_lambda_ref_from_integration_uri(integration.get("uri", ""))
        denied = authority.function_denies("apigateway", function, source)
        if denied:
            gateway.logger.error("the integration was not invoked: %s", denied)
            return gateway._gw_error("API_CONFIGURATION_ERROR", "Internal server error")
        return await invoke(integration, api, stage, *arguments, **options)

    gateway._invoke_lambda_proxy_v1 = invoke_if_allowed


@patch("api_gateway.validation_error")
def tell_validation_errors() -> None:
    """`$context.error.validationErrorString` goes out as it is written: a caller would read that instead of the
    parameter's name."""
    render = gateway._gateway_error_response

    def render_with_validation_error(error: Any, request: dict) -> tuple:
        status, headers, body = render(error, request)
        # Within a JSON text, as everything in a template is.
        told = json.dumps(error.message or "")[1:-1]
        return status, headers, body.replace(b"$context.error.validationErrorString", told.encode())

    gateway._gateway_error_response = render_with_validation_error


_api_key: contextvars.ContextVar[dict[str, Any] | None] = contextvars.ContextVar("api_key", default=None)


@patch("api_gateway.proxy_event")
def build_events_as_aws_does() -> None:
    """Of a repeated query parameter the first value counts (AWS: the last), and the event does not tell which key the
    caller used."""
    check, build = gateway._check_api_key, gateway._build_lambda_event_v1

    def check_and_remember(*arguments: Any) -> tuple:
        error, key = check(*arguments)
        _api_key.set(None if error else key)
        return error, key

    def build_event(*arguments: Any, **options: Any) -> dict:
        event = build(*arguments, **options)
        repeated = event.get("multiValueQueryStringParameters")
        if repeated:
            event["queryStringParameters"] = {name: values[-1] for name, values in repeated.items()}
        key = _api_key.get()
        if key:
            event["requestContext"]["identity"].update(apiKeyId=key["id"], apiKey=key["value"])
        return event

    gateway._check_api_key = check_and_remember
    gateway._build_lambda_event_v1 = build_event


@patch("api_gateway.api_keys")
def keep_api_keys() -> None:
    """A key that is disabled still works, since `false` is kept as a text; and the Terraform provider's empty value,
    which asks for a generated key, is refused."""
    create, update = gateway._create_api_key, gateway._update_api_key

    def create_key(data: dict) -> tuple:
        return create({name: value for name, value in data.items() if name != "value" or value})

    def update_key(identifier: str, data: dict) -> tuple:
        for operation in data.get("patchOperations", []):
            if operation.get("path") == "/enabled":
                operation["value"] = str(operation.get("value")).lower() == "true"
        return update(identifier, data)

    gateway._create_api_key = create_key
    gateway._update_api_key = update_key


@patch("api_gateway.stage_settings")
def leave_out_empty_settings() -> None:
    """A stage without an access log has empty `accessLogSettings`, which the Terraform provider takes for a change to
    undo: every plan would change the stage."""

    def without_empty(handler: Callable[..., tuple]) -> Callable[..., tuple]:
        def handle(*arguments: Any) -> tuple:
            status, headers, body = handler(*arguments)
            stage = json.loads(body) if body else None
            if isinstance(stage, dict) and stage.get("accessLogSettings") == {}:
                del stage["accessLogSettings"]
                return gateway._v1_response(stage, status)
            return status, headers, body

        return handle

    for name in ("_get_stage", "_create_stage", "_update_stage"):
        setattr(gateway, name, without_empty(getattr(gateway, name)))


@patch("api_gateway.encoded_path")
def pass_paths_as_sent() -> None:
    """Paths reach functions decoded, where a percent sign or a question mark in a name can't be told from one of the URL's;
    a REST API passes them percent-encoded."""
    build = gateway._build_lambda_event_v1

    def encoded(text: str) -> str:
        return urllib.parse.quote(text, safe="/!$&'()*+,;=:@-._~")

    def build_with_encoded_path(*arguments: Any, **options: Any) -> dict[str, Any]:
        event = build(*arguments, **options)
        event["path"] = encoded(event["path"])
        event["requestContext"]["path"] = encoded(event["requestContext"]["path"])
        named = event["pathParameters"] or {}
        event["pathParameters"] = {name: encoded(value) for name, value in named.items()} or None
        return event

    gateway._build_lambda_event_v1 = build_with_encoded_path


@patch("api_gateway.localhost")
def serve_at_localhost() -> None:
    """Not a defect: an API's own domain, under which its paths begin with the stage, does not resolve in every program
    on a laptop, and below the emulator's other paths no link holds that the API gives of itself. So what is asked of
    `localhost`, and not of 127.0.0.1 as AWS's own endpoints are, goes to the newest API with a stage of that name."""
    parse = app._parse_execute_api_url

    def parse_with_localhost(host: str, path: str) -> tuple[str, str, str] | None:
        if host.split(":")[0] == "localhost":
            stage, _, rest = path.lstrip("/").partition("/")
            having = [api for (_, _, api), stages in gateway._stages_v1.all_items() if stage in stages]
            if having:
                return having[-1], stage, f"/{rest}"
        return parse(host, path)

    app._parse_execute_api_url = parse_with_localhost
