"""Makes a REST API out of an OpenAPI 3.0 document with `x-amazon-apigateway-*` extensions, as PutRestApi does on AWS.
The emulator's own importer, made for another service, knows paths, methods and security only."""

from __future__ import annotations

import json
from typing import Any

from ministack.services import apigateway_v1 as gateway

_METHODS = {"get", "post", "put", "delete", "patch", "head", "options"}
_ANY = "x-amazon-apigateway-any-method"
_PLACES = {"path": "path", "query": "querystring", "header": "header"}


class InvalidDocument(Exception):
    """The document can't be imported."""


def overwrite(api: str, document: dict[str, Any]) -> None:
    """Replaces what the API is made of by what the document says."""
    root = next(resource for resource in gateway._resources[api].values() if resource["path"] == "/")
    root["resourceMethods"] = {}
    gateway._resources[api] = {root["id"]: root}
    for store in (gateway._models, gateway._authorizers_v1, gateway._gateway_responses, gateway._request_validators):
        store[api] = {}
    Importer(api, document, root["id"]).run()


class Importer:
    """One import of one document into one API."""

    def __init__(self, api: str, document: dict[str, Any], root: str) -> None:
        self._api = api
        self._document = document
        self._resources = {"": root}
        self._validators: dict[str, str] = {}
        self._security: dict[str, dict[str, Any]] = {}

    def run(self) -> None:
        """Reads the document from its top."""
        self._import_settings()
        self._import_validators()
        self._import_models()
        self._security = gateway._import_security_schemes(self._api, self._document)
        self._import_gateway_responses()
        for path, item in self._document.get("paths", {}).items():
            self._import_path(path, item)

    def _import_settings(self) -> None:
        api = gateway._rest_apis[self._api]
        info = self._document.get("info") or {}
        api["name"] = info.get("title") or api["name"]
        api["version"] = info.get("version", "")
        if info.get("description"):
            api["description"] = info["description"]
        api["binaryMediaTypes"] = self._document.get("x-amazon-apigateway-binary-media-types", [])
        source = self._document.get("x-amazon-apigateway-api-key-source")
        if source:
            api["apiKeySource"] = source
        compression = self._document.get("x-amazon-apigateway-minimum-compression-size")
        if compression is not None:
            api["minimumCompressionSize"] = compression

    def _import_validators(self) -> None:
        for name, validator in (self._document.get("x-amazon-apigateway-request-validators") or {}).items():
            answer = gateway._create_request_validator(self._api, {"name": name, **validator})
            self._validators[name] = _made(answer)["id"]

    def _import_models(self) -> None:
        schemas = (self._document.get("components") or {}).get("schemas") or {}
        for name, schema in schemas.items():
            self._create_model(name, schema)

    def _create_model(self, name: str, schema: Any) -> None:
        models = f"https://apigateway.amazonaws.com/restapis/{self._api}/models/"
        text = json.dumps(schema).replace("#/components/schemas/", models)
        _made(gateway._create_model(self._api, {"name": name, "contentType": "application/json", "schema": text}))

    def _import_gateway_responses(self) -> None:
        responses = self._document.get("x-amazon-apigateway-gateway-responses") or {}
        for kind, response in responses.items():
            data = {
                "responseParameters": response.get("responseParameters", {}),
                "responseTemplates": response.get("responseTemplates", {}),
            }
            if "statusCode" in response:
                data["statusCode"] = str(response["statusCode"])
            _made(gateway._put_gateway_response(self._api, kind, data))

    def _import_path(self, path: str, item: dict[str, Any]) -> None:
        resource = self._resource(path)
        for key, operation in item.items():
            if key in _METHODS or key == _ANY:
                method = "ANY" if key == _ANY else key.upper()
                self._import_operation(path, resource, method, operation, item.get("parameters", []))

    def _resource(self, path: str) -> str:
        at = ""
        for segment in path.strip("/").split("/"):
            if not segment:
                continue
            parent, at = self._resources[at], f"{at}/{segment}"
            if at not in self._resources:
                answer = gateway._create_resource(self._api, parent, {"pathPart": segment})
                self._resources[at] = _made(answer)["id"]
        return self._resources[at]

    def _import_operation(
        self, path: str, resource: str, method: str, operation: dict[str, Any], shared: list[dict[str, Any]]
    ) -> None:
        security = operation.get("security", self._document.get("security"))
        data = gateway._method_security(security, self._security)
        data["operationName"] = operation.get("operationId", "")
        data["requestParameters"] = self._parameters([*shared, *operation.get("parameters", [])])
        data["requestModels"] = self._request_models(path, method, operation)
        validator = operation.get(
            "x-amazon-apigateway-request-validator", self._document.get("x-amazon-apigateway-request-validator")
        )
        if validator:
            if validator not in self._validators:
                raise InvalidDocument(f"{method} {path} names the request validator {validator}, which is not there")
            data["requestValidatorId"] = self._validators[validator]
        _made(gateway._put_method(self._api, resource, method, data))
        integration = operation.get("x-amazon-apigateway-integration")
        if not integration:
            raise InvalidDocument(f"{method} {path} has no x-amazon-apigateway-integration")
        self._import_integration(path, resource, method, integration)

    def _parameters(self, parameters: list[dict[str, Any]]) -> dict[str, bool]:
        found = {}
        for parameter in parameters:
            parameter = self._resolved(parameter)
            if parameter["in"] in _PLACES:
                name = f"method.request.{_PLACES[parameter['in']]}.{parameter['name']}"
                found[name] = bool(parameter.get("required"))
        return found

    def _resolved(self, value: dict[str, Any]) -> dict[str, Any]:
        reference = value.get("$ref")
        if not reference:
            return value
        found: Any = self._document
        for step in reference.removeprefix("#/").split("/"):
            if step not in found:
                raise InvalidDocument(f"{reference} is not there")
            found = found[step]
        return found

    def _request_models(self, path: str, method: str, operation: dict[str, Any]) -> dict[str, str]:
        models = {}
        body = self._resolved(operation.get("requestBody") or {})
        for content_type, media in (body.get("content") or {}).items():
            schema = media.get("schema")
            if not schema:
                continue
            if schema.get("$ref"):
                models[content_type] = schema["$ref"].rsplit("/", 1)[1]
            else:
                name = "".join(letter for letter in f"{method}{path}" if letter.isalnum())
                self._create_model(name, schema)
                models[content_type] = name
        return models

    def _import_integration(self, path: str, resource: str, method: str, integration: dict[str, Any]) -> None:
        data = {key: value for key, value in integration.items() if key != "responses"}
        data["type"] = integration["type"].upper()
        data["httpMethod"] = integration.get("httpMethod", "POST")
        if "passthroughBehavior" in data:
            data["passthroughBehavior"] = data["passthroughBehavior"].upper()
        known = gateway._resources[self._api][resource]["resourceMethods"][method]["requestParameters"]
        for parameter in integration.get("cacheKeyParameters", []):
            if parameter not in known:
                raise InvalidDocument(f"{method} {path} caches by {parameter}, which is not among its parameters")
        _made(gateway._put_integration(self._api, resource, method, data))
        for pattern, response in (integration.get("responses") or {}).items():
            status = str(response["statusCode"])
            _made(gateway._put_method_response(self._api, resource, method, status, {}))
            data = {
                "selectionPattern": "" if pattern == "default" else pattern,
                "responseParameters": response.get("responseParameters", {}),
                "responseTemplates": response.get("responseTemplates", {}),
            }
            _made(gateway._put_integration_response(self._api, resource, method, status, data))


def _made(answer: tuple) -> dict[str, Any]:
    """What the emulator made; its refusal is the document's fault."""
    status, _, body = answer
    data = json.loads(body) if body else {}
    if status >= 400:
        raise InvalidDocument(data.get("message") or str(data))
    return data
