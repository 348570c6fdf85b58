"""Lambda and EventBridge: what Millrace's functions rely upon."""

from __future__ import annotations

import json
import statistics
import time
import uuid
from typing import Any

from localcloud.tests.harness import Cloud, EmulatorTest, until


def _invoke(cloud: Cloud, function: str, event: Any = None) -> tuple[str | None, Any]:
    answer = cloud.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event or {}))
    return answer.get("FunctionError"), json.load(answer["Payload"])


class Lambda(EmulatorTest):
    """Patches of `lambda` and `events`, and what must stay as it is."""

    def setUp(self) -> None:
        self.name = f"n{uuid.uuid4().hex[:12]}"

    def test_a_warm_invocation_takes_a_few_milliseconds(self) -> None:
        def slow(cloud: Cloud) -> bool:
            cloud.create_function(self.name)
            cloud.script(self.name, "answer {}")
            times = []
            for _ in range(12):
                began = time.monotonic()
                _invoke(cloud, self.name)
                times.append(time.monotonic() - began)
            return statistics.median(times[2:]) > 0.05

        self.observe(slow, defect=True, mended=False)

    def test_an_answer_of_more_than_6_mb_fails(self) -> None:
        def error(cloud: Cloud) -> str | None:
            cloud.create_function(self.name)
            cloud.script(self.name, "answer " + json.dumps({"body": "x" * 7_000_000}))
            return _invoke(cloud, self.name)[1].get("errorType")

        self.observe(error, defect=None, mended="Function.ResponseSizeTooLarge")

    def test_a_failed_asynchronous_invocation_is_tried_again(self) -> None:
        def attempts(cloud: Cloud) -> int:
            function = cloud.create_function(self.name)
            cloud.script(self.name, "fail Transient", "answer {}")
            events = cloud.client("events")
            events.put_rule(Name=self.name, EventPattern=json.dumps({"source": [self.name]}))
            events.put_targets(Rule=self.name, Targets=[{"Id": "1", "Arn": function}])
            events.put_events(Entries=[{"Source": self.name, "DetailType": "any", "Detail": "{}"}])
            until(lambda: cloud.asked(self.name))
            time.sleep(2.5)
            return len(cloud.asked(self.name))

        self.observe(attempts, defect=1, mended=2)

    def test_a_function_ends_at_its_time_limit(self) -> None:
        self.mended.create_function(self.name, Timeout=1)
        self.mended.script(self.name, "sleep 5", "answer {}")
        kind, error = _invoke(self.mended, self.name)
        self.assertEqual((kind, error["errorType"]), ("Unhandled", "Sandbox.Timedout"))

    def test_a_function_whose_process_is_killed_fails_by_a_name_and_works_again(self) -> None:
        self.mended.create_function(self.name)
        self.mended.script(self.name, "die", 'answer {"well": true}')
        kind, error = _invoke(self.mended, self.name)
        self.assertEqual((kind, error["errorType"]), ("Unhandled", "Runtime.ExitError"))
        self.assertEqual(_invoke(self.mended, self.name), (None, {"well": True}))

    def test_a_process_that_is_killed_before_its_first_event_fails_by_the_same_name(self) -> None:
        def error(cloud: Cloud) -> str | None:
            cloud.create_function(self.name)
            (cloud.stub / f"{self.name}.dies").touch()
            return _invoke(cloud, self.name)[1].get("errorType")

        self.observe(error, defect="Runtime.Unknown", mended="Runtime.ExitError")

    def test_a_failures_name_is_the_functions_own(self) -> None:
        self.mended.create_function(self.name)
        self.mended.script(self.name, "fail RateLimited")
        self.assertEqual(_invoke(self.mended, self.name)[1]["errorType"], "RateLimited")

    def test_a_function_gets_its_own_environment_and_nothing_of_the_shells(self) -> None:
        self.mended.create_function(self.name)
        self.mended.script(self.name, "echo")
        environment = _invoke(self.mended, self.name)[1]["environment"]
        self.assertEqual(environment["AWS_ENDPOINT_URL"], self.mended.instance.url)
        self.assertEqual(environment["STUB_DIR"], str(self.mended.stub))
        self.assertNotIn("SHELL", environment)
        self.assertNotIn("AWS_PROFILE", environment)

    def test_a_function_may_do_what_its_role_allows_and_no_more(self) -> None:
        s3 = self.mended.client("s3")
        region = self.mended.instance.aws_environment()["AWS_REGION"]
        s3.create_bucket(Bucket=self.name, CreateBucketConfiguration={"LocationConstraint": region})
        allowed = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{self.name}/raw/*"}
        self.mended.create_function(self.name, Role=self.mended.create_role(self.name, "lambda", allowed))

        def put(key: str) -> Any:
            parameters = json.dumps({"Bucket": self.name, "Key": key, "Body": "x"})
            self.mended.script(self.name, f"aws s3 put_object {parameters}")
            return _invoke(self.mended, self.name)[1].get("code")

        self.assertIsNone(put("raw/a"))
        self.assertEqual(put("runs/a"), "AccessDenied")
