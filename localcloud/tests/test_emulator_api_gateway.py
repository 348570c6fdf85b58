"""API Gateway: what the API of Millrace relies upon."""

from __future__ import annotations

import contextlib
import json
import urllib.error
import urllib.request
import uuid
from typing import Any

from localcloud.instance import ACCOUNT, REGION
from localcloud.tests.harness import Cloud, EmulatorTest


def _integration(function: str, **fields: Any) -> dict[str, Any]:
    uri = f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/{function}/invocations"
    return {"type": "aws_proxy", "httpMethod": "POST", "uri": uri, **fields}


def _document(function: str, **fields: Any) -> dict[str, Any]:
    operation = {
        "parameters": [
            {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}},
            {"name": "q", "in": "query", "required": True, "schema": {"type": "string"}},
        ],
        "x-amazon-apigateway-integration": _integration(function),
        **fields,
    }
    problem = '{"data":[],"error":[{"detail":"$context.error.validationErrorString"}]}'
    failed = '{"data":[],"error":[{"title":"failed"}]}'
    return {
        "openapi": "3.0.1",
        "info": {"title": "api", "version": "1"},
        "paths": {"/things/{id}": {"get": operation}},
        "x-amazon-apigateway-request-validators": {
            "parameters": {"validateRequestParameters": True, "validateRequestBody": False}
        },
        "x-amazon-apigateway-request-validator": "parameters",
        "x-amazon-apigateway-gateway-responses": {
            "BAD_REQUEST_PARAMETERS": {"statusCode": "400", "responseTemplates": {"application/json": problem}},
            "DEFAULT_5XX": {"responseTemplates": {"application/json": failed}},
            "INTEGRATION_TIMEOUT": {"statusCode": "504", "responseTemplates": {"application/json": failed}},
            "MISSING_AUTHENTICATION_TOKEN": {"statusCode": "404", "responseTemplates": {"application/json": failed}},
        },
    }


def _api(url: str) -> str:
    return url.split("/execute-api/")[1].split("/")[0]


def _get(url: str, **headers: str) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


class ApiGateway(EmulatorTest):
    """Patches of `api_gateway`."""

    def setUp(self) -> None:
        self.name = f"n{uuid.uuid4().hex[:12]}"

    def _deploy(self, cloud: Cloud, document: dict[str, Any]) -> str:
        """Puts the document into an API and gives its stage's URL."""
        client = cloud.client("apigateway")
        api = client.create_rest_api(name=self.name)["id"]
        client.put_rest_api(restApiId=api, mode="overwrite", body=json.dumps(document))
        client.create_deployment(restApiId=api, stageName="v1")
        return f"{cloud.instance.url}/_aws/execute-api/{api}/v1"

    def _deploy_by_hand(self, cloud: Cloud, function: str, part: str = "x", **method: Any) -> str:
        """The same in the calls that the emulator knows as it comes: one route, `/x` unless said otherwise."""
        client = cloud.client("apigateway")
        api = client.create_rest_api(name=self.name)["id"]
        root = client.get_resources(restApiId=api)["items"][0]["id"]
        resource = client.create_resource(restApiId=api, parentId=root, pathPart=part)["id"]
        where = {"restApiId": api, "resourceId": resource, "httpMethod": "GET"}
        client.put_method(**where, authorizationType="NONE", **method)
        integration = _integration(function, timeoutInMillis=1000)
        client.put_integration(
            **where,
            type="AWS_PROXY",
            integrationHttpMethod="POST",
            uri=integration["uri"],
            timeoutInMillis=integration["timeoutInMillis"],
        )
        client.create_deployment(restApiId=api, stageName="v1")
        return f"{cloud.instance.url}/_aws/execute-api/{api}/v1/x"

    def test_a_document_makes_an_api(self) -> None:
        def made(cloud: Cloud) -> Any:
            function = cloud.create_function(self.name)
            try:
                base = self._deploy(cloud, _document(function))
            except cloud.client("apigateway").exceptions.ClientError as error:
                return error.response["ResponseMetadata"]["HTTPStatusCode"]
            paths = cloud.client("apigateway").get_resources(restApiId=_api(base))["items"]
            return sorted(resource["path"] for resource in paths)

        self.observe(made, defect=404, mended=["/", "/things", "/things/{id}"])

    def test_what_the_document_says_holds(self) -> None:
        function = self.mended.create_function(self.name)
        self.mended.script(self.name, 'answer {"statusCode": 200, "body": "{\\"data\\": [1]}"}')
        base = self._deploy(self.mended, _document(function))
        self.assertEqual(_get(f"{base}/things/7?q=a"), (200, {"data": [1]}))
        event = self.mended.asked(self.name)[0]["event"]
        self.assertEqual(event["resource"], "/things/{id}")
        self.assertEqual(event["pathParameters"], {"id": "7"})
        self.assertEqual(event["requestContext"]["accountId"], ACCOUNT)
        status, problem = _get(f"{base}/things/7")
        self.assertEqual(status, 400)
        self.assertIn("[q]", problem["error"][0]["detail"])
        self.assertEqual(_get(f"{base}/nothing"), (404, {"data": [], "error": [{"title": "failed"}]}))

    def test_a_document_with_a_gap_is_refused(self) -> None:
        document = _document("arn:aws:lambda:any", **{"x-amazon-apigateway-request-validator": "nobody"})
        client = self.mended.client("apigateway")
        with self.assertRaisesRegex(client.exceptions.BadRequestException, "nobody"):
            self._deploy(self.mended, document)

    def test_a_malformed_answer_is_a_502_without_its_content(self) -> None:
        def answer(cloud: Cloud) -> tuple[int, Any]:
            function = cloud.create_function(self.name)
            cloud.script(self.name, 'answer {"secret": "value"}')
            return _get(self._deploy_by_hand(cloud, function))

        self.observe(answer, defect=(200, {"secret": "value"}), mended=(502, {"message": "Internal server error"}))

    def test_a_failed_function_is_a_502_in_the_form_of_the_gateway_response(self) -> None:
        function = self.mended.create_function(self.name)
        self.mended.script(self.name, "fail Internal")
        base = self._deploy(self.mended, _document(function))
        self.assertEqual(_get(f"{base}/things/7?q=a"), (502, {"data": [], "error": [{"title": "failed"}]}))

    def test_a_function_that_does_not_allow_it_is_not_invoked(self) -> None:
        def status(cloud: Cloud) -> int:
            function = cloud.create_function(self.name, callers=())
            cloud.script(self.name, 'answer {"statusCode": 200, "body": "{}"}')
            return _get(self._deploy_by_hand(cloud, function))[0]

        self.observe(status, defect=200, mended=500)

    def test_an_api_stands_at_localhost_as_it_stands_at_its_own_domain(self) -> None:
        def path(cloud: Cloud) -> str | None:
            function = cloud.create_function(self.name)
            cloud.script(self.name, 'answer {"statusCode": 200, "body": "{}"}')
            self._deploy_by_hand(cloud, function)
            port = cloud.instance.url.rsplit(":", 1)[1]
            with contextlib.suppress(ValueError):  # as it comes, this is a missing bucket, told in XML
                _get(f"http://localhost:{port}/v1/x")
            asked = cloud.asked(self.name)
            return asked[0]["event"]["requestContext"]["path"] if asked else None

        self.observe(path, defect=None, mended="/v1/x")

    def test_a_path_is_passed_as_it_was_sent(self) -> None:
        def paths(cloud: Cloud) -> tuple[str, str]:
            function = cloud.create_function(self.name)
            cloud.script(self.name, 'answer {"statusCode": 200, "body": "{}"}')
            base = self._deploy_by_hand(cloud, function, "{id}").removesuffix("/x")
            _get(f"{base}/50%25%41%3F%C3%BC")
            event = cloud.asked(self.name)[0]["event"]
            return event["path"], event["pathParameters"]["id"]

        self.observe(paths, defect=("/50%A?ü", "50%A?ü"), mended=("/50%25A%3F%C3%BC", "50%25A%3F%C3%BC"))

    def test_a_slow_function_is_a_504(self) -> None:
        def status(cloud: Cloud) -> int:
            function = cloud.create_function(self.name)
            cloud.script(self.name, "sleep 2", 'answer {"statusCode": 200, "body": "{}"}')
            return _get(self._deploy_by_hand(cloud, function))[0]

        self.observe(status, defect=200, mended=504)

    def test_of_a_repeated_parameter_the_last_value_counts(self) -> None:
        def value(cloud: Cloud) -> str:
            function = cloud.create_function(self.name)
            cloud.script(self.name, 'answer {"statusCode": 200, "body": "{}"}')
            _get(self._deploy_by_hand(cloud, function) + "?a=1&a=2")
            event = cloud.asked(self.name)[0]["event"]
            self.assertEqual(event["multiValueQueryStringParameters"], {"a": ["1", "2"]})
            return event["queryStringParameters"]["a"]

        self.observe(value, defect="1", mended="2")

    def test_a_metered_caller_is_told_to_the_function_and_a_disabled_key_is_refused(self) -> None:
        def seen(cloud: Cloud) -> tuple[bool, int]:
            client = cloud.client("apigateway")
            function = cloud.create_function(self.name)
            cloud.script(self.name, 'answer {"statusCode": 200, "body": "{}"}')
            url = self._deploy_by_hand(cloud, function, apiKeyRequired=True)
            key = client.create_api_key(name=self.name, enabled=True)
            stages = [{"apiId": _api(url), "stage": "v1"}]
            plan = client.create_usage_plan(name=self.name, apiStages=stages)["id"]
            client.create_usage_plan_key(usagePlanId=plan, keyId=key["id"], keyType="API_KEY")
            self.assertEqual(_get(url)[0], 403)
            self.assertEqual(_get(url, **{"x-api-key": key["value"]})[0], 200)
            identity = cloud.asked(self.name)[0]["event"]["requestContext"]["identity"]
            change = {"op": "replace", "path": "/enabled", "value": "false"}
            client.update_api_key(apiKey=key["id"], patchOperations=[change])
            return identity.get("apiKeyId") == key["id"], _get(url, **{"x-api-key": key["value"]})[0]

        self.observe(seen, defect=(False, 200), mended=(True, 403))

    def test_a_stage_without_an_access_log_says_nothing_of_one(self) -> None:
        def empty(cloud: Cloud) -> bool:
            client = cloud.client("apigateway")
            url = self._deploy_by_hand(cloud, cloud.create_function(self.name))
            return "accessLogSettings" in client.get_stage(restApiId=_api(url), stageName="v1")

        self.observe(empty, defect=True, mended=False)
