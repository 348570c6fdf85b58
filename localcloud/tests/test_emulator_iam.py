"""IAM: what the lake's policy relies upon."""

from __future__ import annotations

import json
import time
import uuid

from localcloud.instance import REGION
from localcloud.tests.harness import ROLE, Cloud, EmulatorTest, until


class Iam(EmulatorTest):
    """Patches of `iam`, and those of other services that are about policies."""

    def test_a_state_machine_does_what_its_role_allows(self) -> None:
        name = f"n{uuid.uuid4().hex[:12]}"

        def error(cloud: Cloud) -> str | None:
            function = cloud.create_function(name)
            state = {
                "Type": "Task",
                "Resource": "arn:aws:states:::lambda:invoke",
                "Arguments": {"FunctionName": function, "Payload": {}},
                "End": True,
            }
            definition = {"StartAt": "Only", "States": {"Only": state}}
            allowed = {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": function}
            good = cloud.create_role(f"{name}-good", "states", allowed)
            machine = cloud.create_machine(f"{name}-good", definition, good)
            self.assertEqual(cloud.execute(machine, {})["status"], "SUCCEEDED")
            bad = cloud.create_role(f"{name}-bad", "states", {**allowed, "Resource": f"{function}-other"})
            return cloud.execute(cloud.create_machine(f"{name}-bad", definition, bad), {}).get("error")

        self.observe(error, defect=None, mended="Lambda.AWSLambdaException")

    def test_a_task_is_run_by_a_role_that_may_pass_its_roles(self) -> None:
        name = f"n{uuid.uuid4().hex[:12]}"

        def error(cloud: Cloud) -> str:
            task = cloud.client("ecs").register_task_definition(
                family=name,
                taskRoleArn=ROLE,
                containerDefinitions=[{"name": "task", "image": "any:1", "command": ["x"]}],
            )["taskDefinition"]["taskDefinitionArn"]
            state = {
                "Type": "Task",
                "Resource": "arn:aws:states:::ecs:runTask.waitForTaskToken",
                "Arguments": {"Cluster": "default", "TaskDefinition": name},
                "TimeoutSeconds": 1,
                "End": True,
            }
            run = {"Effect": "Allow", "Action": "ecs:RunTask", "Resource": task}
            role = cloud.create_role(name, "states", run)
            machine = cloud.create_machine(name, {"StartAt": "Only", "States": {"Only": state}}, role)
            return cloud.execute(machine, {})["error"]

        self.observe(error, defect="States.Timeout", mended="ECS.AccessDeniedException")

    def test_a_rule_invokes_functions_that_allow_it(self) -> None:
        name = f"n{uuid.uuid4().hex[:12]}"

        def invoked(cloud: Cloud) -> list[str]:
            events = cloud.client("events")
            events.put_rule(Name=name, EventPattern=json.dumps({"source": [name]}))
            for function, callers in ((f"{name}-open", ("events",)), (f"{name}-closed", ())):
                arn = cloud.create_function(function, callers=callers)
                events.put_targets(Rule=name, Targets=[{"Id": function, "Arn": arn}])
            events.put_events(Entries=[{"Source": name, "DetailType": "any", "Detail": "{}"}])
            until(lambda: cloud.asked("open"))
            time.sleep(0.5)
            return [function for function in ("open", "closed") if cloud.asked(function)]

        self.observe(invoked, defect=["open", "closed"], mended=["open"])

    def test_a_schedule_invokes_what_its_role_allows(self) -> None:
        name = f"n{uuid.uuid4().hex[:12]}"

        def invoked(cloud: Cloud) -> bool:
            function = cloud.create_function(name)
            role = cloud.create_role(name, "scheduler")
            cloud.client("scheduler").create_schedule(
                Name=name,
                ScheduleExpression="at(2020-01-01T00:00:00)",
                FlexibleTimeWindow={"Mode": "OFF"},
                Target={"Arn": function, "RoleArn": role, "Input": "{}"},
            )
            time.sleep(11)
            return bool(cloud.asked(name))

        self.observe(invoked, defect=True, mended=False)

    def test_a_bucket_that_demands_tls_can_be_used(self) -> None:
        name = f"n{uuid.uuid4().hex[:12]}"

        def code(cloud: Cloud) -> str | None:
            s3 = cloud.client("s3")
            s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
            statement = {
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:*",
                "Resource": [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"],
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            }
            s3.put_bucket_policy(Bucket=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
            cloud.create_function(name)
            cloud.script(name, f"aws s3 put_object {json.dumps({'Bucket': name, 'Key': 'a', 'Body': 'x'})}")
            answer = cloud.client("lambda").invoke(FunctionName=name)
            return json.load(answer["Payload"]).get("code")

        self.observe(code, defect="AccessDenied", mended=None)
