"""Step Functions: what the state machine of Millrace relies upon."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

from localcloud.tests.harness import Cloud, EmulatorTest, until

_RETRY = {"IntervalSeconds": 1, "MaxAttempts": 1, "BackoffRate": 2}


def _invoke(function: str, **fields: Any) -> dict[str, Any]:
    """A state that invokes a function with the state's input."""
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Arguments": {"FunctionName": function, "Payload": "{% $states.input %}"},
        "Output": "{% $states.result.Payload %}",
        "End": True,
        **fields,
    }


def _machine(state: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"StartAt": "Only", "States": {"Only": state}, **fields}


def _name() -> str:
    return f"n{uuid.uuid4().hex[:12]}"


class StepFunctions(EmulatorTest):
    """Patches of `step_functions`."""

    def test_a_retry_waits_no_longer_than_its_ceiling(self) -> None:
        def waited(cloud: Cloud) -> bool:
            name = _name()
            function = cloud.create_function(name)
            cloud.script(name, "fail Transient", "answer {}")
            retry = [{**_RETRY, "ErrorEquals": ["Transient"], "IntervalSeconds": 6, "MaxDelaySeconds": 1}]
            machine = cloud.create_machine(name, _machine(_invoke(function, Retry=retry)))
            began = time.monotonic()
            self.assertEqual(cloud.execute(machine, {})["status"], "SUCCEEDED")
            return time.monotonic() - began > 5

        self.observe(waited, defect=True, mended=False)

    def test_a_retry_with_full_jitter_is_spread_over_its_interval(self) -> None:
        def longest(cloud: Cloud) -> bool:
            name = _name()
            function = cloud.create_function(name)
            cloud.script(name, *["fail Transient"] * 4, "answer {}")
            retry = [
                {**_RETRY, "ErrorEquals": ["Transient"], "MaxAttempts": 4, "BackoffRate": 1, "JitterStrategy": "FULL"}
            ]
            machine = cloud.create_machine(name, _machine(_invoke(function, Retry=retry)))
            self.assertEqual(cloud.execute(machine, {})["status"], "SUCCEEDED")
            times = [asked["at"] for asked in cloud.asked(name)]
            gaps = [after - before for before, after in zip(times, times[1:])]
            # Four waits that are each between nothing and a second are not four whole seconds.
            return sum(gaps) > 3.9

        self.observe(longest, defect=True, mended=False)

    def test_the_state_machines_time_limit_ends_an_execution_and_what_it_waits_for(self) -> None:
        def status(cloud: Cloud) -> str:
            machine = cloud.create_machine(
                _name(), _machine({"Type": "Wait", "Seconds": 4, "End": True}, TimeoutSeconds=1)
            )
            return cloud.execute(machine, {})["status"]

        self.observe(status, defect="SUCCEEDED", mended="TIMED_OUT")

    def test_an_execution_that_was_stopped_invokes_nothing_more(self) -> None:
        def invoked_after_stop(cloud: Cloud) -> bool:
            name = _name()
            function = cloud.create_function(name)
            cloud.script(name, "answer {}")
            states = {
                "Again": _invoke(function, Next="Pause", Output="{% $states.input %}"),
                "Pause": {"Type": "Wait", "Seconds": 1, "Next": "Again"},
            }
            del states["Again"]["End"]
            processor = {"ProcessorConfig": {"Mode": "INLINE"}, "StartAt": "Again", "States": states}
            machine = cloud.create_machine(
                name, _machine({"Type": "Map", "Items": [1], "ItemProcessor": processor, "End": True})
            )
            client = cloud.client("stepfunctions")
            execution = client.start_execution(stateMachineArn=machine)["executionArn"]
            until(lambda: cloud.asked(name))
            client.stop_execution(executionArn=execution)
            time.sleep(0.5)
            before = len(cloud.asked(name))
            time.sleep(2.5)
            return len(cloud.asked(name)) > before

        self.observe(invoked_after_stop, defect=True, mended=False)

    def test_a_task_whose_heartbeats_cease_fails(self) -> None:
        def error(cloud: Cloud) -> str:
            function = cloud.create_function(name := _name())
            cloud.script(name, "answer {}")
            state = _invoke(function, HeartbeatSeconds=1, TimeoutSeconds=4)
            state["Resource"] += ".waitForTaskToken"
            state["Output"] = "{% $states.result %}"
            return cloud.execute(cloud.create_machine(name, _machine(state)), {})["error"]

        self.observe(error, defect="States.Timeout", mended="States.HeartbeatTimeout")

    def test_every_attempt_has_a_token_of_its_own_and_a_late_one_is_told_so(self) -> None:
        def tokens(cloud: Cloud) -> tuple[int, str]:
            function = cloud.create_function(name := _name())
            cloud.script(name, "answer {}")
            state = _invoke(function, TimeoutSeconds=1, Retry=[{**_RETRY, "ErrorEquals": ["States.Timeout"]}])
            state["Resource"] += ".waitForTaskToken"
            state["Arguments"]["Payload"] = {"token": "{% $states.context.Task.Token %}"}
            state["Output"] = "{% $states.result %}"
            self.assertEqual(cloud.execute(cloud.create_machine(name, _machine(state)), {})["status"], "FAILED")
            given = [asked["event"]["token"] for asked in cloud.asked(name)]
            client = cloud.client("stepfunctions")
            try:
                client.send_task_heartbeat(taskToken=given[0])
            except client.exceptions.ClientError as error:
                return len(set(given)), error.response["Error"]["Code"]
            return len(set(given)), ""

        self.observe(tokens, defect=(1, "TaskDoesNotExist"), mended=(2, "TaskTimedOut"))

    def test_starting_twice_under_one_name_gives_the_execution_that_runs(self) -> None:
        def second(cloud: Cloud) -> str:
            machine = cloud.create_machine(_name(), _machine({"Type": "Wait", "Seconds": 5, "End": True}))
            client = cloud.client("stepfunctions")
            first = client.start_execution(stateMachineArn=machine, name="run-1", input='{"a": 1}')
            self.assertTrue(first["executionArn"].endswith(":run-1"))
            try:
                again = client.start_execution(stateMachineArn=machine, name="run-1", input='{"a": 1}')
            except client.exceptions.ExecutionAlreadyExists:
                return "already exists"
            return "the same" if again["executionArn"] == first["executionArn"] else "another"

        self.observe(second, defect="already exists", mended="the same")

    def test_another_input_under_a_name_that_is_taken_is_refused(self) -> None:
        client = self.mended.client("stepfunctions")
        machine = self.mended.create_machine(_name(), _machine({"Type": "Wait", "Seconds": 5, "End": True}))
        client.start_execution(stateMachineArn=machine, name="run-1", input='{"a": 1}')
        with self.assertRaises(client.exceptions.ExecutionAlreadyExists):
            client.start_execution(stateMachineArn=machine, name="run-1", input='{"a": 2}')

    def test_names_that_aws_refuses_are_refused(self) -> None:
        def answer(cloud: Cloud) -> str:
            client = cloud.client("stepfunctions")
            machine = cloud.create_machine(_name(), _machine({"Type": "Succeed"}))
            try:
                client.start_execution(stateMachineArn=machine, name="earthquakes:1")
            except client.exceptions.InvalidName:
                return "refused"
            return "accepted"

        self.observe(answer, defect="accepted", mended="refused")

    def test_a_throttled_function_fails_by_the_name_that_is_retried(self) -> None:
        def error(cloud: Cloud) -> str:
            function = cloud.create_function(name := _name())
            cloud.client("lambda").put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
            return cloud.execute(cloud.create_machine(name, _machine(_invoke(function))), {})["error"]

        self.observe(error, defect="Lambda.Unknown", mended="Lambda.TooManyRequestsException")

    def test_a_state_that_succeeds_gives_its_own_output(self) -> None:
        def output(cloud: Cloud) -> Any:
            machine = cloud.create_machine(_name(), _machine({"Type": "Succeed", "Output": {"small": True}}))
            return json.loads(cloud.execute(machine, {"large": "state"})["output"])

        self.observe(output, defect={"large": "state"}, mended={"small": True})

    def test_a_task_that_cannot_be_started_fails_by_awss_name(self) -> None:
        def error(cloud: Cloud) -> str:
            state = {
                "Type": "Task",
                "Resource": "arn:aws:states:::ecs:runTask.waitForTaskToken",
                "Arguments": {"Cluster": "default", "TaskDefinition": "nobody"},
                "TimeoutSeconds": 5,
                "End": True,
            }
            return cloud.execute(cloud.create_machine(_name(), _machine(state)), {})["error"]

        self.observe(error, defect="ECS.RunTaskFailed", mended="ECS.ClientException")

    def test_a_failed_item_of_a_map_ends_the_others(self) -> None:
        def still_invoked(cloud: Cloud) -> bool:
            bad, good = _name(), _name()
            functions = {"bad": cloud.create_function(bad), "good": cloud.create_function(good)}
            cloud.script(bad, "sleep 1", "fail BadData")
            cloud.script(good, "answer {}")
            states = {
                "Choose": {
                    "Type": "Choice",
                    "Choices": [{"Condition": "{% $states.input = 'bad' %}", "Next": "Bad"}],
                    "Default": "Good",
                },
                "Bad": _invoke(functions["bad"]),
                "Good": _invoke(functions["good"], Next="Pause", Output="{% $states.input %}"),
                "Pause": {"Type": "Wait", "Seconds": 1, "Next": "Good"},
            }
            del states["Good"]["End"]
            processor = {"ProcessorConfig": {"Mode": "INLINE"}, "StartAt": "Choose", "States": states}
            machine = cloud.create_machine(
                bad, _machine({"Type": "Map", "Items": ["good", "bad"], "ItemProcessor": processor, "End": True})
            )
            client = cloud.client("stepfunctions")
            execution = client.start_execution(stateMachineArn=machine)["executionArn"]
            until(lambda: cloud.asked(bad))
            time.sleep(4)
            running = client.describe_execution(executionArn=execution)["status"] == "RUNNING"
            if running:
                client.stop_execution(executionArn=execution)
            return running

        self.observe(still_invoked, defect=True, mended=False)
