"""Step Functions: retries with ceiling and jitter, time limits that end what they limit, executions started once."""

from __future__ import annotations

import contextvars
import json
import random
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ministack.core.responses import error_response_json, get_account_id, get_region, json_response, new_uuid
from ministack.services import ecs, lambda_svc
from ministack.services import stepfunctions as sfn

from localcloud.emulator import authority
from localcloud.emulator.patching import patch

#: The largest input or result of a state, in bytes.
LARGEST_PAYLOAD = 256 * 1024

#: What AWS does not allow in an execution's name.
_NOT_IN_A_NAME = re.compile(r"[\s<>{}\[\]?*\"#%\\^|~`$&,;:/\x00-\x1f\x7f-\x9f]")

#: The execution on whose behalf this thread works.
_execution: contextvars.ContextVar[dict[str, Any] | None] = contextvars.ContextVar("execution", default=None)


@dataclass
class _Map:
    """A map that runs: the states of its items, and the error of the first item that failed."""

    states: Any
    error: sfn._ExecutionError | None = None

    def fail(self, error: sfn._ExecutionError) -> None:
        self.error = self.error or error


#: The maps inside which this thread works, innermost last.
_maps: contextvars.ContextVar[tuple[_Map, ...]] = contextvars.ContextVar("maps", default=())


def _ended() -> bool:
    """Whether what this thread works for has ended: its execution, or a map that one of its items has failed."""
    execution = _execution.get()
    if execution is not None and execution["status"] != "RUNNING":
        return True
    return any(each.error is not None for each in _maps.get())


def _sleep(seconds: float) -> None:
    """Sleeps, but not beyond the execution's end."""
    until = time.monotonic() + seconds * sfn._SFN_WAIT_SCALE
    while (left := until - time.monotonic()) > 0:
        if _ended():
            raise sfn._ExecutionError("States.Aborted", "The execution has ended.")
        time.sleep(min(left, 0.2))


@patch("step_functions.retry_delay")
def retry_with_ceiling_and_jitter() -> None:
    """`MaxDelaySeconds` and `JitterStrategy` are ignored, and 60 s is the longest that a retry waits."""
    find = sfn._find_matching_retrier

    def find_and_wait(retriers: list[dict], error: str, counts: dict[int, int]) -> tuple[dict | None, int]:
        retrier, index = find(retriers, error, counts)
        if retrier is None:
            return retrier, index
        delay = retrier.get("IntervalSeconds", 1) * retrier.get("BackoffRate", 2.0) ** counts.get(index, 0)
        delay = min(delay, retrier.get("MaxDelaySeconds", delay))
        if retrier.get("JitterStrategy") == "FULL":
            delay = random.uniform(0, delay)
        _sleep(delay)
        # What the caller would wait on top.
        return {**retrier, "IntervalSeconds": 0}, index

    sfn._find_matching_retrier = find_and_wait


@patch("step_functions.end_of_execution")
def end_with_the_execution() -> None:
    """The state machine's `TimeoutSeconds` is ignored; and an execution that was stopped goes on: its waits, its maps
    and the tasks that it waits for. So nothing of a cancelled run would ever end here."""
    fail, run, execute = sfn._fail_execution, sfn._run_execution, sfn._execute_task

    def fail_if_running(execution: dict, error: str, cause: str) -> None:
        if execution["status"] == "RUNNING":
            fail(execution, error, cause)

    def time_out(execution: dict) -> None:
        if execution["status"] != "RUNNING":
            return
        execution.update(status="TIMED_OUT", stopDate=sfn.now_iso(), error="States.Timeout", cause=None)
        sfn._add_event(execution, "ExecutionTimedOut", {"executionTimedOutEventDetails": {"error": "States.Timeout"}})
        sfn._emit_execution_status_event(execution)

    def run_within_limit(arn: str) -> None:
        execution = sfn._executions.get(arn)
        _execution.set(execution)
        limit = _definition_of(execution).get("TimeoutSeconds") if execution else None
        if not limit:
            return run(arn)
        timer = threading.Timer(limit, contextvars.copy_context().run, (time_out, execution))
        timer.daemon = True
        timer.start()
        try:
            return run(arn)
        finally:
            timer.cancel()

    def execute_while_running(state: dict, raw_input: Any, execution: dict, context: dict) -> tuple:
        _execution.set(execution)
        if _ended():
            raise sfn._ExecutionError("States.Aborted", "The execution has ended.")
        return execute(state, raw_input, execution, context)

    sfn._fail_execution = fail_if_running
    sfn._run_execution = run_within_limit
    sfn._execute_task = execute_while_running
    sfn._scaled_sleep = _sleep


def _definition_of(execution: dict) -> dict:
    machine = sfn._state_machines.get(execution["stateMachineArn"]) or {}
    try:
        return json.loads(machine.get("definition", "{}"))
    except ValueError:
        return {}


@patch("step_functions.failed_map")
def end_items_of_a_failed_map() -> None:
    """A map of which one item has failed goes on until the last item has ended, hours later perhaps; on AWS it fails,
    and nothing more is started for the others."""
    run_map, run_states = sfn._run_map_items, sfn._run_sub_machine

    def run_map_until_failure(state: dict, raw_input: Any, execution: dict, context: dict) -> tuple:
        running = _Map(states=(state.get("ItemProcessor") or state.get("Iterator") or {}).get("States"))
        token = _maps.set((*_maps.get(), running))
        try:
            return run_map(state, raw_input, execution, context)
        except sfn._ExecutionError:
            # The emulator raises the first item's error, which may be only that it was ended.
            raise running.error or sfn._ExecutionError("States.Runtime", "a map failed without an error") from None
        finally:
            _maps.reset(token)

    def run_item(states: dict, *arguments: Any) -> Any:
        try:
            return run_states(states, *arguments)
        except sfn._ExecutionError as error:
            maps = _maps.get()
            # A branch of a Parallel state inside the item is none of the map's items.
            if maps and maps[-1].states is states:
                maps[-1].fail(error)
            raise

    sfn._run_map_items = run_map_until_failure
    sfn._run_sub_machine = run_item


@patch("step_functions.heartbeat")
def expect_heartbeats() -> None:
    """`HeartbeatSeconds` is ignored, so a container that dies is waited for until the task's own time limit, if it
    has one; and a token of an execution that has ended is waited for as well."""
    invoke = sfn._invoke_with_callback

    def invoke_and_listen(resource: str, data: Any, token: str, state: dict) -> Any:
        done = threading.Event()
        listener = threading.Thread(
            target=contextvars.copy_context().run,
            args=(_listen, token, state.get("HeartbeatSeconds"), done),
            daemon=True,
        )
        listener.start()
        try:
            return invoke(resource, data, token, state)
        finally:
            done.set()

    sfn._invoke_with_callback = invoke_and_listen


def _listen(token: str, heartbeat: float | None, done: threading.Event) -> None:
    """Ends the wait for a token when its heartbeats cease, or its execution."""
    last, since = None, time.monotonic()
    while not done.wait(0.1):
        waiting = sfn._task_tokens.get(token)
        if waiting is None:
            continue
        if waiting["heartbeat"] != last:
            last, since = waiting["heartbeat"], time.monotonic()
        if _ended():
            waiting["error"] = {"Error": "States.Aborted", "Cause": "The execution has ended."}
        elif heartbeat and time.monotonic() - since > heartbeat:
            waiting["error"] = {"Error": "States.HeartbeatTimeout", "Cause": ""}
        else:
            continue
        waiting["event"].set()
        return


@patch("step_functions.tokens")
def give_each_attempt_its_token() -> None:
    """All attempts of a state share one token, so that a task that was given up can still answer for its successor.
    And a token that nobody waits for any more gives `TaskDoesNotExist`; AWS says `TaskTimedOut`, and a task that is
    told so should end."""
    given: set[str] = set()
    invoke, fill = sfn._invoke_with_callback, sfn._apply_jsonata_arguments

    def fill_with_new_token(state: dict, raw_input: Any, context: dict | None = None) -> Any:
        if context and "Task" in context:
            context["Task"] = {"Token": new_uuid()}
        return fill(state, raw_input, context)

    def invoke_and_remember(resource: str, data: Any, token: str, state: dict) -> Any:
        given.add(token)
        return invoke(resource, data, token, state)

    def late(handler: Callable[[dict], tuple]) -> Callable[[dict], tuple]:
        def handle(data: dict) -> tuple:
            token = data.get("taskToken")
            if token in given and sfn._task_tokens.get(token) is None:
                return error_response_json("TaskTimedOut", "Task Timed Out: Provided task does not exist anymore", 400)
            return handler(data)

        return handle

    sfn._apply_jsonata_arguments = fill_with_new_token
    sfn._invoke_with_callback = invoke_and_remember
    for name in ("_send_task_success", "_send_task_failure", "_send_task_heartbeat"):
        setattr(sfn, name, late(getattr(sfn, name)))


@patch("step_functions.start_once")
def start_once() -> None:
    """The same name with the same input, while the first one runs, gives `ExecutionAlreadyExists`; AWS answers with
    the execution that runs. Names and inputs that AWS refuses are accepted. Of two starts at once both may win."""
    start, lock = sfn._start_execution, threading.Lock()

    def start_or_find(data: dict) -> tuple:
        name, given = data.get("name"), data.get("input", "{}")
        if name is not None and (not 1 <= len(name) <= 80 or _NOT_IN_A_NAME.search(name)):
            return error_response_json("InvalidName", f"Invalid Name: '{name}'", 400)
        try:
            json.loads(given)
        except ValueError:
            message = "Invalid State Machine Execution Input: it is not JSON"
            return error_response_json("InvalidExecutionInput", message, 400)
        if len(given.encode()) > LARGEST_PAYLOAD:
            message = f"Invalid State Machine Execution Input: it is larger than {LARGEST_PAYLOAD} bytes"
            return error_response_json("InvalidExecutionInput", message, 400)
        with lock:
            running = _running(data.get("stateMachineArn", ""), name) if name else None
            if running and running["input"] == given:
                return json_response({"executionArn": running["executionArn"], "startDate": running["startDate"]})
            return start(data)

    sfn._start_execution = start_or_find


def _running(machine_arn: str, name: str) -> dict | None:
    machine = sfn._state_machines.get(sfn._resolve_state_machine_arn(machine_arn) or "")
    if not machine:
        return None
    arn = f"arn:aws:states:{get_region()}:{get_account_id()}:execution:{machine['name']}:{name}"
    execution = sfn._executions.get(arn)
    return execution if execution and execution["status"] == "RUNNING" else None


@patch("step_functions.lambda_errors")
def name_errors_of_functions() -> None:
    """A function that is called too often fails as `Lambda.Unknown`, and a result of any size is passed on. The state
    machine retries by name."""
    call = sfn._call_lambda

    def call_and_name(function: str, event: Any) -> Any:
        try:
            result = call(function, event)
        except sfn._ExecutionError as error:
            if error.error == "Lambda.Unknown" and '"TooManyRequestsException"' in (error.cause or ""):
                raise sfn._ExecutionError("Lambda.TooManyRequestsException", error.cause) from None
            raise
        if len(json.dumps(result).encode()) > LARGEST_PAYLOAD:
            message = (
                "The state/task returned a result with a size exceeding the maximum number of bytes service limit."
            )
            raise sfn._ExecutionError("States.DataLimitExceeded", message)
        return result

    sfn._call_lambda = call_and_name


@patch("step_functions.output_of_succeed")
def give_output_of_succeed() -> None:
    """A Succeed state passes its input on, whatever its `Output` says: a run's whole state would grow into the result
    of its maps."""
    apply = sfn._apply_output_path

    def apply_output(state: dict, data: Any, context: dict | None = None) -> Any:
        if state.get("Type") == "Succeed" and sfn._state_query_language(state, context) == "JSONata":
            return sfn._apply_jsonata_output(state, data, context, default=data)
        return apply(state, data, context)

    sfn._apply_output_path = apply_output


@patch("step_functions.run_task")
def name_errors_of_tasks() -> None:
    """A task that can't be started fails as `ECS.RunTaskFailed`, which is not one of AWS's names, and failures in a
    successful answer are overlooked."""

    def run_task(resource: str, data: dict) -> Any:
        status, _, body = ecs._run_task(sfn._pascal_to_camel(data))
        answer = json.loads(body)
        if status >= 400:
            name = str(answer.get("__type", "ClientException")).split("#")[-1]
            raise sfn._ExecutionError(f"ECS.{name}", answer.get("message", str(answer)))
        if answer.get("failures"):
            raise sfn._ExecutionError("AmazonECS.Unknown", json.dumps(_in_pascal_case(answer["failures"])))
        return _in_pascal_case(answer)

    sfn._SERVICE_DISPATCH["arn:aws:states:::ecs:runTask"] = run_task


def _in_pascal_case(value: Any) -> Any:
    if isinstance(value, list):
        return [_in_pascal_case(each) for each in value]
    if isinstance(value, dict):
        return {key[:1].upper() + key[1:]: _in_pascal_case(each) for key, each in value.items()}
    return value


@patch("step_functions.role")
def act_by_role() -> None:
    """The state machine's role is not asked for anything, so a policy that does not suffice shows on AWS first."""
    call = sfn._call_lambda
    run_task = sfn._SERVICE_DISPATCH["arn:aws:states:::ecs:runTask"]

    def call_if_allowed(function: str, event: Any) -> Any:
        _, config, _ = lambda_svc._get_func_record_for_ref(function)
        if config:
            _demand("Lambda.AWSLambdaException", "lambda:InvokeFunction", _unqualified(config["FunctionArn"]))
        return call(function, event)

    def run_if_allowed(resource: str, data: dict) -> Any:
        definition = ecs._task_defs.get(ecs._resolve_td_key(data.get("TaskDefinition", "")) or "")
        if definition:
            cluster = data.get("Cluster", "default")
            if not cluster.startswith("arn:"):
                cluster = f"arn:aws:ecs:{get_region()}:{get_account_id()}:cluster/{cluster}"
            error = "ECS.AccessDeniedException"
            _demand(error, "ecs:RunTask", definition["taskDefinitionArn"], ecs__cluster=cluster)
            for role in ("taskRoleArn", "executionRoleArn"):
                if definition.get(role):
                    _demand(error, "iam:PassRole", definition[role], iam__passedtoservice="ecs-tasks.amazonaws.com")
        return run_task(resource, data)

    sfn._call_lambda = call_if_allowed
    sfn._SERVICE_DISPATCH["arn:aws:states:::ecs:runTask"] = run_if_allowed


def _demand(error: str, action: str, resource: str, **keys: str) -> None:
    """Fails the state if the role of the execution's state machine does not allow the action."""
    execution = _execution.get()
    machine = sfn._state_machines.get(execution["stateMachineArn"]) if execution else None
    if machine:
        denied = authority.role_denies("states", machine["roleArn"], action, resource, **keys)
        if denied:
            raise sfn._ExecutionError(error, denied)


def _unqualified(arn: str) -> str:
    return ":".join(arn.split(":")[:7])
