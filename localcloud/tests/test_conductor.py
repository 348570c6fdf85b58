"""The repository's own `infra/` and state machine on the local cloud, with stubs for the compiled functions: that the
conductor conducts, that errors go the way of their names, and that each role may do its work and no more."""

from __future__ import annotations

import json
import shutil
import time
import unittest
from pathlib import Path
from typing import Any

from localcloud import api, deployment, main_job, packages
from localcloud.instance import ACCOUNT, REGION
from localcloud.terraform import Terraform
from localcloud.tests.harness import Cloud, architecture, until, write_stub_zip

_STEP = {"run": "earthquakes-20260101T000000Z-00000001", "pipeline": "earthquakes", "definition": "0" * 64}

_PLAN = {
    "ingest": [{**_STEP, "name": "quakes", "invocation": 0}],
    "transform": [{**_STEP, "name": "quakes", "invocation": 0}],
    "refine": [[{**_STEP, "name": "daily", "invocation": 0}]],
    "publish": [{**_STEP, "name": "seismology.quakes", "invocation": 0}],
}

_CONNECTION = (
    "connection: usgs\nbase_url: https://example.com\nauth:\n  bearer: { secret: 'aws::secret/millrace/usgs' }\n"
)
_PIPELINE = "pipeline: earthquakes\ndescription: Every earthquake\nschedule: rate(1 hour)\n"
_ENDPOINT = """\
metadata: { name: quakes, description: Earthquakes }
routes:
  /quakes:
    query: SELECT 1
    params:
      - { name: min_magnitude, type: double, default: 5 }
    auth: { secret_path: aws::secret/millrace/consumers }
"""


def _terraforms_own() -> set[Path]:
    """What Terraform has written into the repository; a person may have run it there."""
    return {path for path in (packages.ROOT / "infra").glob("*") if ".terraform" in path.name or "tfstate" in path.name}


@unittest.skipUnless(shutil.which("terraform"), "there is no terraform on this machine")
class Conductor(unittest.TestCase):
    """One deployment for all tests; they run in the order of their names, the last one removes it."""

    cloud: Cloud
    terraform: Terraform
    before: set[Path]

    @classmethod
    def setUpClass(cls) -> None:
        # Waits and retries take a tenth of their time.
        cls.cloud = Cloud(SFN_WAIT_SCALE="0.1")
        cls.addClassCleanup(cls.cloud.close)
        instance = cls.cloud.instance
        for name in packages.FUNCTIONS:
            write_stub_zip(instance.folder("lambda", name) / "bootstrap.zip")
        definitions = cls.cloud.folder / "definitions"
        for kind, name, text in (
            ("connections", "usgs", _CONNECTION),
            ("pipelines", "earthquakes", _PIPELINE),
            ("endpoints", "quakes", _ENDPOINT),
        ):
            (definitions / kind).mkdir(parents=True)
            (definitions / kind / f"{name}.yaml").write_text(text)
        cls.before = _terraforms_own()
        cls.terraform = Terraform(instance, {})
        cls.terraform.set_variables(
            {
                "name": deployment.NAME,
                "definitions_dir": str(definitions),
                "functions_dir": str(instance.path("lambda")),
                "architecture": architecture(),
                "task_image": "millrace-task:test",
                "s3_use_path_style": True,
                "lake_force_destroy": True,
                "lake_noncurrent_days": None,
                "secret_recovery_days": 0,
                "environment": cls.cloud.stub_environment,
            }
        )
        cls.terraform.init()
        cls.terraform.apply()
        deployment.remember(instance, cls.terraform.outputs())

    def setUp(self) -> None:
        for path in self.cloud.stub.iterdir():
            path.unlink()
        self.cloud.script("trigger", f"answer {json.dumps(_PLAN)}", "answer {}")
        for name in ("ingest", "transform", "refine", "publish", "task"):
            self.cloud.script(name, "next done")

    def _start(self) -> str:
        machine = self.cloud.instance.facts["state_machine_arn"]
        started = self.cloud.client("stepfunctions").start_execution(stateMachineArn=machine, input=json.dumps(_STEP))
        return started["executionArn"]

    def _run(self) -> dict[str, Any]:
        return self.cloud.ended(self._start(), within=90)

    def _steps(self, function: str) -> list[Any]:
        return [entry["event"] for entry in self.cloud.asked(function)]

    def test_a_run_goes_through_its_steps_in_order(self) -> None:
        self.assertEqual(self._run()["status"], "SUCCEEDED")
        names = ("trigger", "ingest", "transform", "refine", "publish")
        asked = sorted((entry for name in names for entry in self.cloud.asked(name)), key=lambda entry: entry["at"])
        self.assertEqual(
            [entry["function"] for entry in asked],
            ["trigger", "ingest", "transform", "refine", "publish", "trigger"],
        )
        self.assertEqual(asked[0]["event"], {"step": "plan", **_STEP})
        self.assertEqual(asked[1]["event"], _PLAN["ingest"][0])
        self.assertEqual(asked[5]["event"], {"step": "record", **_STEP})

    def test_models_are_made_level_by_level(self) -> None:
        levels = [["daily", "weekly", "monthly"], ["yearly"], ["best"]]
        refine = [[{**_STEP, "name": name, "invocation": 0} for name in level] for level in levels]
        self.cloud.script("trigger", f"answer {json.dumps({**_PLAN, 'refine': refine})}", "answer {}")
        self.assertEqual(self._run()["status"], "SUCCEEDED")
        made = [event["name"] for event in self._steps("refine")]
        self.assertEqual((set(made[:3]), made[3:]), (set(levels[0]), ["yearly", "best"]))

    def test_a_step_is_called_again_while_there_is_more_and_after_a_wait(self) -> None:
        self.cloud.script("ingest", "next more", "next wait 20", "next done")
        self.assertEqual(self._run()["status"], "SUCCEEDED")
        asked = self.cloud.asked("ingest")
        self.assertEqual([entry["event"]["invocation"] for entry in asked], [0, 1, 2])
        self.assertGreater(asked[2]["at"] - asked[1]["at"], 1.9)

    def test_a_step_goes_on_as_a_task(self) -> None:
        for step in ("ingest", "transform", "refine", "publish"):
            with self.subTest(step):
                self.setUp()
                self.cloud.script(step, "next more", "next task")
                ended = self._run()
                self.assertEqual(ended["status"], "SUCCEEDED", ended.get("cause"))
                asked = self._steps("task")
                self.assertEqual(asked[0]["step"], step)
                self.assertEqual(asked[0]["input"]["invocation"], 2)
                # The heartbeat and the answer, each with the task role's credentials.
                until(lambda: len(self._steps("task")) == 3)
                self.assertEqual(self._steps("task")[1:], [{}, {}])

    def test_names_that_mean_later_are_tried_again(self) -> None:
        self.cloud.script("ingest", "fail RateLimited", "fail Transient", "fail Conflict", "next done")
        self.cloud.script("publish", "die", "next done")
        self.assertEqual(self._run()["status"], "SUCCEEDED")
        self.assertEqual(len(self.cloud.asked("ingest")), 4)
        self.assertEqual(len(self.cloud.asked("publish")), 2)

    def test_other_names_fail_the_run_at_once(self) -> None:
        for name in ("Unauthorized", "BadDefinition", "BadAnswer", "BadData", "Internal"):
            with self.subTest(name):
                self.setUp()
                self.cloud.script("transform", f"fail {name}")
                ended = self._run()
                self.assertEqual((ended["status"], ended["error"]), ("FAILED", name))
                self.assertEqual(len(self.cloud.asked("transform")), 1)
                self.assertEqual(self.cloud.asked("publish"), [])
                recorded = self._steps("trigger")[1]
                self.assertEqual(recorded["step"], "record_failure")
                self.assertEqual(recorded["error"]["Error"], name)
                self.assertEqual(json.loads(recorded["error"]["Cause"])["errorMessage"], f"told to fail with {name}")

    def test_a_failed_run_raises_the_alarm_and_tells_the_trigger(self) -> None:
        self.cloud.script("publish", "fail BadData")
        execution = self.cloud.ended(self._start())["executionArn"]
        event = until(lambda: self._status_changes())[0]
        self.assertEqual(event["detail"]["executionArn"], execution)
        self.assertEqual(event["detail"]["status"], "FAILED")
        self.assertEqual(json.loads(event["detail"]["input"]), _STEP)
        client = self.cloud.client("cloudwatch")

        def state() -> str:
            return client.describe_alarms(AlarmNames=["millrace-run-failed"])["MetricAlarms"][0]["StateValue"]

        until(lambda: state() == "ALARM", what="the alarm")

    def test_a_run_that_is_stopped_tells_the_trigger(self) -> None:
        self.cloud.script("ingest", "next wait 3000")
        execution = self._start()
        until(lambda: self.cloud.asked("ingest"))
        self.cloud.client("stepfunctions").stop_execution(executionArn=execution)
        self.assertEqual(until(lambda: self._status_changes())[0]["detail"]["status"], "ABORTED")
        time.sleep(1)
        self.assertEqual(len(self.cloud.asked("ingest")), 1)

    def _status_changes(self) -> list[Any]:
        return [event for event in self._steps("trigger") if event.get("source") == "aws.states"]

    def test_a_task_that_dies_is_started_again(self) -> None:
        client = self.cloud.client("stepfunctions")
        machine = self.cloud.instance.facts["state_machine_arn"]
        definition = client.describe_state_machine(stateMachineArn=machine)["definition"]
        hasty = json.loads(
            definition, object_hook=lambda o: {**o, "HeartbeatSeconds": 2} if "HeartbeatSeconds" in o else o
        )
        client.update_state_machine(stateMachineArn=machine, definition=json.dumps(hasty))
        self.addCleanup(client.update_state_machine, stateMachineArn=machine, definition=definition)
        self.cloud.script("ingest", "next task")
        self.cloud.script("task", "die", "next done")
        ended = self._run()
        self.assertEqual(ended["status"], "SUCCEEDED", ended.get("cause"))

    def test_a_schedule_starts_a_run(self) -> None:
        main_job.schedule_now(self.cloud.instance, "earthquakes")
        event = until(lambda: self._steps("trigger"))[0]
        self.assertEqual(set(event), {"schedule", "pipeline", "scheduled_at"})
        self.assertRegex(event["schedule"], f"^arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule/millrace/earthquakes")
        self.assertEqual(event["pipeline"], "earthquakes")
        self.assertRegex(event["scheduled_at"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")

    def test_the_api_hands_routes_to_their_functions(self) -> None:
        instance = self.cloud.instance
        proxied = {"statusCode": 200, "headers": {"Content-Type": "application/json"}, "body": '{"data": [7]}'}
        self.cloud.script("serve", f"answer {json.dumps(proxied)}")
        self.cloud.script("trigger", f"answer {json.dumps(proxied)}")
        answer = api.call(instance, "GET", "/quakes", key="k", query={"min_magnitude": "4"})
        self.assertEqual((answer.status, answer.body), (200, {"data": [7]}))
        event = self._steps("serve")[0]
        self.assertEqual((event["resource"], event["path"]), ("/quakes", "/quakes"))
        self.assertEqual(event["queryStringParameters"], {"min_magnitude": "4"})
        key = {name.lower(): value for name, value in event["headers"].items()}["x-api-key"]
        self.assertEqual(key, "k")
        self.assertEqual(api.call(instance, "POST", "/pipelines/earthquakes/runs").status, 200)
        self.assertEqual(self._steps("trigger")[0]["pathParameters"], {"name": "earthquakes"})
        missing = api.call(instance, "GET", "/nothing")
        self.assertEqual((missing.status, missing.body["data"]), (404, []))
        self.assertEqual(missing.body["error"][0]["status"], 404)
        self.cloud.script("serve", "die")
        failed = api.call(instance, "GET", "/quakes")
        self.assertEqual((failed.status, failed.body["data"]), (502, []))

    def test_a_role_allows_the_functions_work_and_no_more(self) -> None:
        bucket = self.cloud.instance.facts["lake"].removeprefix("s3://")
        secrets = self.cloud.client("secretsmanager")
        for name in self.cloud.instance.facts["secrets"]:
            secrets.put_secret_value(SecretId=name, SecretString="{}")
        s3 = self.cloud.client("s3")
        for key in (
            "raw/e/q/r/segment/1",
            "state/e/q.json",
            "definitions/endpoints/x",
            "tables/e/q/1",
            "runs/e/r.json",
        ):
            s3.put_object(Bucket=bucket, Key=key, Body=b"x")

        def put(key: str) -> tuple[str, str, dict[str, str]]:
            return "s3", "put_object", {"Bucket": bucket, "Key": key, "Body": "x"}

        def get(key: str) -> tuple[str, str, dict[str, str]]:
            return "s3", "head_object", {"Bucket": bucket, "Key": key}

        def listed(prefix: str) -> tuple[str, str, dict[str, str]]:
            return "s3", "list_objects_v2", {"Bucket": bucket, "Prefix": prefix}

        def secret(name: str) -> tuple[str, str, dict[str, str]]:
            return "secretsmanager", "get_secret_value", {"SecretId": name}

        cases = [
            ("ingest", put("raw/e/q/r/segment/2"), True),
            ("ingest", put("state/e/q.json"), True),
            ("ingest", put("tables/e/q/2"), False),
            ("ingest", put("definitions/pinned/x"), False),
            ("ingest", listed("raw/e/"), True),
            ("ingest", listed("tables/"), False),
            ("ingest", secret("millrace/usgs"), True),
            ("ingest", secret("millrace/store/owner"), False),
            ("transform", get("raw/e/q/r/segment/1"), True),
            ("transform", put("tables/e/q/2"), True),
            ("transform", put("raw/e/q/r/segment/3"), False),
            ("transform", secret("millrace/usgs"), False),
            ("refine", get("tables/e/q/1"), True),
            ("refine", put("tables/e/q/2"), True),
            ("refine", get("raw/e/q/r/segment/1"), False),
            ("refine", secret("millrace/store/owner"), False),
            ("publish", get("tables/e/q/1"), True),
            ("publish", put("tables/e/q/3"), False),
            ("publish", secret("millrace/store/owner"), True),
            ("publish", secret("millrace/store/reader"), False),
            ("serve", get("definitions/endpoints/x"), True),
            ("serve", get("raw/e/q/r/segment/1"), False),
            ("serve", secret("millrace/store/reader"), True),
            ("serve", secret("millrace/consumers"), True),
            ("serve", secret("millrace/store/owner"), False),
            ("trigger", put("runs/e/r.json"), True),
            ("trigger", secret("millrace/operators"), True),
            ("trigger", secret("millrace/consumers"), False),
            ("trigger", put("raw/e/q/r/segment/4"), False),
        ]
        for function, (service, operation, parameters), allowed in cases:
            with self.subTest(function=function, operation=operation, **parameters):
                code = self._call(function, service, operation, parameters)
                if allowed:
                    self.assertIsNone(code)
                else:
                    self.assertIn(code, ("AccessDenied", "AccessDeniedException", "403"))

    def _call(self, function: str, service: str, operation: str, parameters: dict[str, str]) -> str | None:
        self.cloud.script(function, f"aws {service} {operation} {json.dumps(parameters)}")
        name = self.cloud.instance.facts["functions"][function]
        answer = json.load(self.cloud.client("lambda").invoke(FunctionName=name)["Payload"])
        return answer.get("code")

    def test_another_plan_changes_nothing(self) -> None:
        self.assertEqual(self.terraform.difference(), "")

    def test_zz_destroy_leaves_nothing(self) -> None:
        self.terraform.destroy()
        self.assertEqual(self.terraform.resources(), [])
        self.assertEqual(self.cloud.client("lambda").list_functions()["Functions"], [])
        self.assertEqual(self.cloud.client("s3").list_buckets()["Buckets"], [])
        left = [role["RoleName"] for role in self.cloud.client("iam").list_roles()["Roles"]]
        self.assertEqual([name for name in left if name.startswith(deployment.NAME)], [])

    def test_nothing_was_written_into_the_repository(self) -> None:
        self.assertEqual(_terraforms_own(), self.before)
        self.assertTrue(Path(self.terraform.module / ".terraform.lock.hcl").exists())
