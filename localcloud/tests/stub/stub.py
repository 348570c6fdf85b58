"""Stands in for Millrace's functions and its task in the tests of the local cloud: does what a script says, one line an
invocation, and writes down what it was asked. Speaks Lambda's runtime API, as the compiled functions do.

The folder `STUB_DIR` holds `<function>.script`, one instruction a line, the last one for ever:

    answer {"any": "JSON"}      gives this answer
    next done|more|task|wait 3  gives a StepOutput
    fail NAME                   fails with this error name
    say TEXT                    writes to its log, then goes on with the instruction in the next line
    sleep SECONDS               works for so long, then goes on with the instruction in the next line
    die                         ends as after `kill -9`
    aws SERVICE OPERATION {…}   calls AWS with the role's credentials and answers with its answer, or its error's code
    echo                        answers with the event and the environment

A file `<function>.dies` lets the next process end as after `kill -9` before it asks for its first event.
"""

import fcntl
import json
import os
import signal
import subprocess
import time
import urllib.request
from pathlib import Path

FOLDER = Path(os.environ["STUB_DIR"])


def instruction(name: str) -> str:
    """The next line of a script; two processes never get the same one."""
    script = FOLDER / f"{name}.script"
    with (FOLDER / f"{name}.at").open("a+") as counter:
        fcntl.flock(counter, fcntl.LOCK_EX)
        counter.seek(0)
        at = int(counter.read() or 0)
        lines = script.read_text().splitlines() if script.exists() else ["answer {}"]
        counter.truncate(0)
        counter.write(str(at + 1))
    return lines[min(at, len(lines) - 1)]


def note(name: str, what: object) -> None:
    """Adds a line to what the tests read."""
    with (FOLDER / "asked.jsonl").open("a") as book:
        book.write(json.dumps({"function": name, "at": time.time(), "pid": os.getpid(), "event": what}) + "\n")


def act(name: str, event: dict) -> dict:
    """Follows the script; the result is an answer, or a failure's `errorType`."""
    verb, _, rest = instruction(name).partition(" ")
    if verb == "sleep":
        time.sleep(float(rest))
        return act(name, event)
    if verb == "say":
        print(rest, flush=True)
        return act(name, event)
    if verb == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if verb == "fail":
        return {"errorType": rest, "errorMessage": f"told to fail with {rest}"}
    if verb == "next":
        following, _, seconds = rest.partition(" ")
        given = {**event, "invocation": event.get("invocation", 0) + 1}
        return {"next": following, "wait_seconds": int(seconds or 0), "input": given, "counts": {"rows": 1}}
    if verb == "aws":
        service, operation, parameters = (rest.split(" ", 2) + ["{}"])[:3]
        return call_aws(service, operation, json.loads(parameters))
    if verb == "echo":
        return {"event": event, "environment": dict(os.environ)}
    return json.loads(rest)


def call_aws(service: str, operation: str, parameters: dict) -> dict:
    """Calls AWS in a process of its own: with the Python that has boto3."""
    code = (
        "import boto3, botocore, json, os, sys\n"
        "service, operation, parameters = sys.argv[1:]\n"
        "client = boto3.client(service, region_name=os.environ['AWS_REGION'])\n"
        "try: answer = getattr(client, operation)(**json.loads(parameters))\n"
        "except botocore.exceptions.ClientError as error: answer = {'code': error.response['Error']['Code']}\n"
        "answer.pop('ResponseMetadata', None)\n"
        "print(json.dumps(answer, default=str))\n"
    )
    python = os.environ["STUB_PYTHON"]
    arguments = [python, "-c", code, service, operation, json.dumps(parameters)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    return json.loads(done.stdout) if done.returncode == 0 else {"code": "stub", "why": done.stderr[-2000:]}


def serve() -> None:
    """Lambda's loop."""
    name = os.environ["AWS_LAMBDA_FUNCTION_NAME"].rsplit("-", 1)[-1]
    if (dies := FOLDER / f"{name}.dies").exists():
        dies.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    runtime = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}/2018-06-01/runtime/invocation"
    while True:
        with urllib.request.urlopen(f"{runtime}/next") as answer:
            request, event = answer.headers["Lambda-Runtime-Aws-Request-Id"], json.load(answer)
        note(name, event)
        result = act(name, event)
        kind = "error" if "errorType" in result else "response"
        data = json.dumps(result).encode()
        urllib.request.urlopen(urllib.request.Request(f"{runtime}/{request}/{kind}", data)).read()


def run_task() -> None:
    """A task's way: beats, then answers by its token."""
    token, step = os.environ["MILLRACE_TASK_TOKEN"], json.loads(os.environ["MILLRACE_STEP"])
    note("task", step)
    result = act("task", step["input"])
    if "errorType" in result:
        answer = {"taskToken": token, "error": result["errorType"], "cause": result["errorMessage"]}
        note("task", call_aws("stepfunctions", "send_task_failure", answer))
    else:
        note("task", call_aws("stepfunctions", "send_task_heartbeat", {"taskToken": token}))
        answer = {"taskToken": token, "output": json.dumps(result)}
        note("task", call_aws("stepfunctions", "send_task_success", answer))


if __name__ == "__main__":
    run_task() if "MILLRACE_TASK_TOKEN" in os.environ else serve()
