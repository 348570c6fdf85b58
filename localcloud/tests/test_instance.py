"""Instances and their processes: side by side, found again, ended without touching a stranger, nothing left."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from localcloud import aws, processes
from localcloud.instance import ROOT, Instance
from localcloud.progress import Failed
from localcloud.tests.harness import Cloud, until


def _command(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "MILLRACE_CLOUD_DIR": str(directory)}
    command = [str(ROOT / "scripts" / "cloud"), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


class Processes(unittest.TestCase):
    """`localcloud.processes`"""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def _sleeper(self, script: str = "exec sleep 600", mark: str = "none") -> processes.Process:
        environment = {"PATH": os.environ["PATH"], processes.MARK: mark}
        return processes.spawn(["sh", "-c", script], environment, self.folder / "log", self.folder)

    def test_a_process_of_the_same_id_that_started_at_another_time_is_a_stranger(self) -> None:
        process = self._sleeper()
        self.addCleanup(processes.stop, process)
        stranger = processes.Process(process.pid, "12")
        self.assertFalse(stranger.is_alive())
        processes.stop(stranger)
        self.assertTrue(process.is_alive())

    def test_what_a_process_started_ends_with_it(self) -> None:
        process = self._sleeper("sleep 601 & echo $!; trap '' TERM; sleep 602; sleep 603")
        child = int(until(lambda: (self.folder / "log").read_text()))
        processes.stop(process, grace=0.5)
        self.assertFalse(process.is_alive())
        until(lambda: not Path(f"/proc/{child}").exists())

    @unittest.skipUnless(Path("/proc/self/environ").exists(), "this system does not tell a process's environment")
    def test_what_carries_the_mark_is_ended_and_nothing_else(self) -> None:
        ours, other = self._sleeper(mark="a"), self._sleeper(mark="b")
        self.addCleanup(processes.stop, other)
        until(lambda: Path(f"/proc/{ours.pid}/comm").read_text().strip() == "sleep")
        self.assertEqual(processes.stop_marked("a"), 1)
        until(lambda: not ours.is_alive())
        self.assertTrue(other.is_alive())


class Instances(unittest.TestCase):
    """Whole instances."""

    def test_two_stand_side_by_side_and_know_nothing_of_one_another(self) -> None:
        one, other = Cloud(), Cloud()
        self.addCleanup(one.close)
        self.addCleanup(other.close)
        self.assertNotEqual(one.instance.url, other.instance.url)
        one.create_function("only-here")
        self.assertEqual(other.client("lambda").list_functions()["Functions"], [])
        one.close()
        self.assertTrue(aws.is_healthy(other.instance.url))

    def test_an_emulator_that_was_killed_leaves_nothing_when_it_is_stopped(self) -> None:
        cloud = Cloud()
        self.addCleanup(cloud.close)
        cloud.create_function("busy", Timeout=600)
        cloud.script("busy", "sleep 600")
        cloud.client("lambda").invoke(FunctionName="busy", InvocationType="Event")
        worker = until(lambda: cloud.asked("busy"))[0]["pid"]
        os.kill(cloud.instance.processes["emulator"].pid, signal.SIGKILL)
        self.assertTrue(Path(f"/proc/{worker}").exists())
        cloud.close()
        until(lambda: not Path(f"/proc/{worker}").exists())

    def test_a_later_command_finds_and_removes_it(self) -> None:
        cloud = Cloud()
        self.addCleanup(cloud.close)
        directory = cloud.instance.directory
        found = Instance.open(directory)
        self.assertTrue(found.is_running("emulator"))
        self.assertEqual(found.url, cloud.instance.url)
        done = _command(directory, "down")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertFalse(directory.exists())
        self.assertFalse(aws.is_healthy(cloud.instance.url))

    def test_two_commands_at_once_are_told_apart(self) -> None:
        instance = Instance(Path(tempfile.mkdtemp()) / "cloud")
        self.addCleanup(lambda: instance.directory.parent.rmdir())
        with instance.locked():
            with self.assertRaisesRegex(Failed, "another command works on"), Instance(instance.directory).locked():
                pass


class Commands(unittest.TestCase):
    """What the commands say."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def test_without_a_local_cloud_they_say_how_to_start_one(self) -> None:
        event = self.folder / "event.json"
        event.write_text("{}")
        for arguments in (["invoke", "serve", str(event)], ["plan"], ["env"], ["logs", "serve"]):
            with self.subTest(arguments[0]):
                done = _command(self.folder / "none", *arguments)
                self.assertEqual(done.returncode, 1)
                self.assertIn("make cloud", done.stderr)
                self.assertNotIn("Traceback", done.stderr)
        self.assertEqual(_command(self.folder / "none", "down").returncode, 0)

    def test_a_function_is_invoked_with_a_file(self) -> None:
        cloud = Cloud()
        self.addCleanup(cloud.close)
        cloud.create_function("any")
        cloud.script("any", "say hello", 'answer {"well": true}', "fail BadData")
        event = self.folder / "event.json"
        event.write_text('{"a": 1}')
        done = _command(cloud.instance.directory, "invoke", "any", str(event))
        self.assertEqual((done.returncode, json.loads(done.stdout)), (0, {"well": True}))
        done = _command(cloud.instance.directory, "invoke", "any", str(event))
        self.assertEqual((done.returncode, json.loads(done.stdout)["errorType"]), (1, "BadData"))
        done = _command(cloud.instance.directory, "invoke", "nobody", str(event))
        self.assertEqual(done.returncode, 1)
        self.assertIn("there is no function nobody", done.stderr)
        event.write_text("{")
        done = _command(cloud.instance.directory, "invoke", "any", str(event))
        self.assertIn("can't be read as JSON", done.stderr)

    def test_the_environment_is_for_a_shell(self) -> None:
        cloud = Cloud()
        self.addCleanup(cloud.close)
        done = _command(cloud.instance.directory, "env")
        python = 'import boto3; print(boto3.client("sts").get_caller_identity()["Account"])'
        script = f"{done.stdout}\n{shlex.join([sys.executable, '-c', python])}"
        asked = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
        self.assertEqual(asked.stdout.strip(), "111122223333", asked.stderr)
