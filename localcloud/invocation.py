"""Sends a sample event to a function or to the task, and prints what comes back."""

from __future__ import annotations

import json
import re
import time
import uuid
from pathlib import Path
from typing import Any

from localcloud import aws, environment
from localcloud.instance import Instance
from localcloud.progress import Failed

_VARIABLE = re.compile(r"\$\{([A-Z_]+)\}")


def invoke(instance: Instance, function: str, event: Path) -> Any:
    """The answer of a function to the event in a file. `${NAME}` in the event stands for what `scripts/cloud env`
    prints as NAME: keys, which are no part of the repository, and what this instance has made."""
    given = _read(instance, event)
    return _run_task(instance, given) if function == "task" else _invoke(instance, function, given)


def _read(instance: Instance, path: Path) -> Any:
    variables = environment.variables(instance)

    def value(found: re.Match[str]) -> str:
        if found[1] not in variables:
            raise Failed(f"{path} wants {found[1]}, which this local cloud does not have yet: run `make cloud` first")
        return json.dumps(variables[found[1]])[1:-1]

    try:
        return json.loads(_VARIABLE.sub(value, path.read_text()))
    except (OSError, ValueError) as error:
        raise Failed(f"{path} can't be read as JSON: {error}") from None


def _invoke(instance: Instance, function: str, event: Any) -> Any:
    client = aws.client(instance, "lambda")
    name = instance.facts.get("functions", {}).get(function, function)
    try:
        answer = client.invoke(FunctionName=name, Payload=json.dumps(event))
    except client.exceptions.ResourceNotFoundException:
        there = ", ".join([*instance.facts.get("functions", {}), "task"])
        raise Failed(f"there is no function {function}; there are {there}") from None
    document = json.load(answer["Payload"])
    if "FunctionError" in answer:
        print(json.dumps(document, indent=2))
        raise Failed(f"{function} failed: see `scripts/cloud logs {function}`")
    return document


def _run_task(instance: Instance, event: Any) -> Any:
    """Runs the task as the state machine does: by a state of a machine of its own, which waits for its token."""
    client = aws.client(instance, "stepfunctions")
    pipeline = client.describe_state_machine(stateMachineArn=instance.facts["state_machine_arn"])
    state = _task_state(json.loads(pipeline["definition"]))
    for variable in state["Arguments"]["Overrides"]["ContainerOverrides"][0]["Environment"]:
        if variable["Name"] == "MILLRACE_STEP":
            variable["Value"] = "{% $string($states.input) %}"
    state = {key: value for key, value in state.items() if key not in ("Next", "Retry", "Catch", "Output")}
    definition = {"QueryLanguage": "JSONata", "StartAt": "Task", "States": {"Task": {**state, "End": True}}}
    machine = client.create_state_machine(
        name=f"invoke-{uuid.uuid4().hex[:12]}", definition=json.dumps(definition), roleArn=pipeline["roleArn"]
    )["stateMachineArn"]
    try:
        return _execute(client, machine, event)
    finally:
        client.delete_state_machine(stateMachineArn=machine)


def _task_state(value: Any) -> Any:
    """The first state that runs a task, wherever it stands in the definition."""
    if isinstance(value, dict):
        if str(value.get("Resource", "")).endswith("ecs:runTask.waitForTaskToken"):
            return value
        value = list(value.values())
    if isinstance(value, list):
        return next(filter(None, map(_task_state, value)), None)
    return None


def _execute(client: Any, machine: str, event: Any) -> Any:
    execution = client.start_execution(stateMachineArn=machine, input=json.dumps(event))["executionArn"]
    while (ended := client.describe_execution(executionArn=execution))["status"] == "RUNNING":
        time.sleep(0.2)
    if ended["status"] != "SUCCEEDED":
        print(json.dumps({"errorType": ended.get("error"), "errorMessage": ended.get("cause")}, indent=2))
        raise Failed("the task failed: see `scripts/cloud logs task`")
    return json.loads(ended["output"])
