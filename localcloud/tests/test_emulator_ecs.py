"""ECS: a step that goes on as a task, in a container where a Docker engine answers, else as a process."""

from __future__ import annotations

import json
import shutil
import unittest
import uuid
from pathlib import Path
from typing import Any

from localcloud import docker_engine, packages
from localcloud.instance import REGION
from localcloud.tests.harness import ROLE, Cloud, EmulatorTest, until

_TASK = "arn:aws:states:::ecs:runTask.waitForTaskToken"


def _define(cloud: Cloud, name: str, **container: Any) -> None:
    group = f"/aws/ecs/{name}"
    cloud.client("logs").create_log_group(logGroupName=group)
    options = {"awslogs-group": group, "awslogs-region": REGION, "awslogs-stream-prefix": "step"}
    definition = {
        "name": "task",
        "image": "anything:1",
        "essential": True,
        "user": "65532:65532",
        "readonlyRootFilesystem": True,
        "environment": [{"name": key, "value": value} for key, value in cloud.stub_environment.items()],
        "logConfiguration": {"logDriver": "awslogs", "options": options},
        **container,
    }
    cloud.client("ecs").register_task_definition(
        family=name,
        requiresCompatibilities=["FARGATE"],
        networkMode="awsvpc",
        cpu="256",
        memory="512",
        taskRoleArn=ROLE,
        executionRoleArn=ROLE,
        containerDefinitions=[definition],
    )


def _log(cloud: Cloud, name: str) -> str:
    events = cloud.client("logs").filter_log_events(logGroupName=f"/aws/ecs/{name}")["events"]
    return "\n".join(event["message"] for event in events)


class Processes(unittest.TestCase):
    """Without a Docker engine."""

    def setUp(self) -> None:
        self.cloud = Cloud()
        self.addCleanup(self.cloud.close)
        self.name = f"n{uuid.uuid4().hex[:12]}"
        _define(self.cloud, self.name)

    def _execute(self, *script: str, **fields: Any) -> dict[str, Any]:
        self.cloud.script("task", *script)
        environment = [
            {"Name": "MILLRACE_TASK_TOKEN", "Value": "{% $states.context.Task.Token %}"},
            {"Name": "MILLRACE_STEP", "Value": "{% $string({'step': 'ingest', 'input': $states.input}) %}"},
        ]
        overrides = {"ContainerOverrides": [{"Name": "task", "Environment": environment}]}
        state = {
            "Type": "Task",
            "Resource": _TASK,
            "Arguments": {"LaunchType": "FARGATE", "TaskDefinition": self.name, "Overrides": overrides},
            "End": True,
            **fields,
        }
        machine = self.cloud.create_machine(self.name, {"StartAt": "Task", "States": {"Task": state}})
        return self.cloud.execute(machine, {"run": "r", "name": "quakes"})

    def test_a_task_gets_its_step_and_answers_by_its_token(self) -> None:
        ended = self._execute("say hello", "next done")
        self.assertEqual(ended["status"], "SUCCEEDED")
        output = json.loads(ended["output"])
        self.assertEqual((output["next"], output["input"]["name"]), ("done", "quakes"))
        asked = [entry["event"] for entry in self.cloud.asked("task")]
        self.assertEqual(asked[0], {"step": "ingest", "input": {"run": "r", "name": "quakes"}})
        until(lambda: "hello" in _log(self.cloud, self.name))

    def test_a_task_fails_by_the_name_that_it_gives(self) -> None:
        ended = self._execute("fail BadAnswer")
        self.assertEqual((ended["status"], ended["error"]), ("FAILED", "BadAnswer"))

    def test_a_task_that_dies_is_missed_by_its_heartbeat(self) -> None:
        ended = self._execute("die", HeartbeatSeconds=2, TimeoutSeconds=30)
        self.assertEqual((ended["status"], ended["error"]), ("FAILED", "States.HeartbeatTimeout"))

    def test_what_is_left_of_a_task_ends_with_the_emulator(self) -> None:
        self._execute("sleep 600", "next done", HeartbeatSeconds=2)
        started = self.cloud.asked("task")[0]["pid"]
        self.assertTrue(Path(f"/proc/{started}").exists())
        self.cloud.close()
        until(lambda: not Path(f"/proc/{started}").exists(), within=5)


@unittest.skipUnless(docker_engine.is_available(), "no Docker engine answers on this machine")
class Containers(EmulatorTest):
    """With one."""

    IMAGE = f"millrace-test:{uuid.uuid4().hex[:12]}"

    @classmethod
    def setUpClass(cls) -> None:
        cls.as_it_comes = Cloud(without="all", MILLRACE_TASK_PROGRAM="")
        cls.addClassCleanup(cls.as_it_comes.close)
        cls.mended = Cloud(MILLRACE_TASK_PROGRAM="")
        cls.addClassCleanup(cls.mended.close)
        programs = {f"/bin/{name}": Path(str(shutil.which(name))) for name in ("bash", "env", "id", "touch", "sleep")}
        instance = cls.mended.instance
        cls.addClassCleanup(packages.remove_images, instance)
        packages.build_image(cls.IMAGE, instance.identity, instance.folder("image"), programs, ["/bin/bash", "-c"])

    def _run(self, cloud: Cloud, script: str) -> str:
        """Runs a container to its end and gives its log."""
        name = f"n{uuid.uuid4().hex[:12]}"
        _define(cloud, name, image=self.IMAGE, command=[f"{script}; echo end"])
        cloud.client("ecs").run_task(taskDefinition=name)
        until(lambda: "end" in _log(cloud, name), what=f"the log of {script}")
        return _log(cloud, name)

    def test_a_container_reaches_what_listens_on_this_machine_only(self) -> None:
        def reached(cloud: Cloud) -> bool:
            port = cloud.instance.url.rsplit(":", 1)[1]
            # What a container is told of the emulator's address, and whether anything answers there.
            script = f"exec 2>&1; host=${{AWS_ENDPOINT_URL#*//}}; exec 3<>/dev/tcp/${{host%:*}}/{port} && echo reached"
            return "reached" in self._run(cloud, f"({script})").splitlines()

        self.observe(reached, defect=False, mended=True)

    def test_a_container_has_credentials_that_every_sdk_takes(self) -> None:
        def given(cloud: Cloud) -> set[str]:
            names = {line.split("=")[0] for line in self._run(cloud, "env").splitlines()}
            return names & {"AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN"}

        keys = {"AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN"}
        self.observe(given, defect={"AWS_CONTAINER_CREDENTIALS_FULL_URI"}, mended=keys)

    def test_a_container_cannot_write_where_its_definition_forbids_it(self) -> None:
        def wrote(cloud: Cloud) -> bool:
            return "wrote" in self._run(cloud, "touch /tmp/x && echo wrote; touch /x && echo wrote").splitlines()

        # The image's own user is nobody in particular, so that only the definition keeps it from /tmp.
        self.assertFalse(wrote(self.mended))
        self.assertIn("uid=65532", self._run(self.mended, "id"))

    def test_no_container_is_left_when_the_emulator_ends(self) -> None:
        cloud = Cloud(MILLRACE_TASK_PROGRAM="")
        self.addCleanup(cloud.close)
        name = f"n{uuid.uuid4().hex[:12]}"
        _define(cloud, name, image=self.IMAGE, command=["echo up; sleep 600"])
        cloud.client("ecs").run_task(taskDefinition=name)
        until(lambda: "up" in _log(cloud, name))
        self.assertTrue(docker_engine.containers_of(cloud.instance.url))
        cloud.close()
        self.assertFalse(docker_engine.containers_of(cloud.instance.url))
