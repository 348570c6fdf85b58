"""CloudWatch: what the alarms rely upon."""

from __future__ import annotations

import time
import urllib.parse
import urllib.request
import uuid

import botocore.auth
import botocore.awsrequest
import botocore.credentials

from localcloud.instance import ACCOUNT, REGION
from localcloud.tests.harness import Cloud, EmulatorTest, until


class CloudWatch(EmulatorTest):
    """Patches of `cloudwatch`."""

    def setUp(self) -> None:
        self.name = f"n{uuid.uuid4().hex[:12]}"

    def test_an_alarm_sees_that_an_execution_failed(self) -> None:
        def state(cloud: Cloud) -> str:
            client = cloud.client("cloudwatch")
            definition = {"StartAt": "Fail", "States": {"Fail": {"Type": "Fail", "Error": "BadData"}}}
            machine = cloud.create_machine(self.name, definition)
            client.put_metric_alarm(
                AlarmName=self.name,
                Namespace="AWS/States",
                MetricName="ExecutionsFailed",
                Dimensions=[{"Name": "StateMachineArn", "Value": machine}],
                Statistic="Sum",
                Period=60,
                EvaluationPeriods=1,
                Threshold=0,
                ComparisonOperator="GreaterThanThreshold",
            )
            cloud.execute(machine, {})

            def found() -> str:
                return client.describe_alarms(AlarmNames=[self.name])["MetricAlarms"][0]["StateValue"]

            try:
                return until(lambda: found() if found() == "ALARM" else None, within=3)
            except AssertionError:
                return found()

        self.observe(state, defect="INSUFFICIENT_DATA", mended="ALARM")

    def test_an_alarm_hears_what_a_log_says(self) -> None:
        def states(cloud: Cloud) -> list[bool]:
            logs, client = cloud.client("logs"), cloud.client("cloudwatch")
            logs.create_log_group(logGroupName=self.name)
            logs.create_log_stream(logGroupName=self.name, logStreamName="s")
            for metric, pattern in (("said", '{ $.alarm = "fire" }'), ("unsaid", '{ $.alarm = "flood" }')):
                transformation = {"metricNamespace": self.name, "metricName": metric, "metricValue": "1"}
                logs.put_metric_filter(
                    logGroupName=self.name, filterName=metric, filterPattern=pattern, metricTransformations=[transformation]
                )
                client.put_metric_alarm(
                    AlarmName=f"{self.name}-{metric}",
                    Namespace=self.name,
                    MetricName=metric,
                    Statistic="Sum",
                    Period=60,
                    EvaluationPeriods=1,
                    Threshold=0,
                    ComparisonOperator="GreaterThanThreshold",
                    TreatMissingData="notBreaching",
                )
            now = int(time.time() * 1000)
            lines = ("no JSON", '{"alarm": 7}', '{"alarm": "fire", "level": "ERROR"}')
            events = [{"timestamp": now, "message": line} for line in lines]
            logs.put_log_events(logGroupName=self.name, logStreamName="s", logEvents=events)
            names = [f"{self.name}-said", f"{self.name}-unsaid"]
            found = client.describe_alarms(AlarmNames=names)["MetricAlarms"]
            return [alarm["StateValue"] == "ALARM" for alarm in sorted(found, key=lambda alarm: alarm["AlarmName"])]

        self.observe(states, defect=[False, False], mended=[True, False])

    def test_an_alarm_reads_back_as_it_was_written(self) -> None:
        def has_period(cloud: Cloud) -> bool:
            cloud.client("cloudwatch").put_metric_alarm(
                AlarmName=self.name,
                AlarmDescription="runs that failed & why",
                Namespace="AWS/States",
                MetricName="ExecutionsFailed",
                Statistic="Sum",
                Period=300,
                EvaluationPeriods=1,
                Threshold=0,
                ComparisonOperator="GreaterThanThreshold",
                TreatMissingData="notBreaching",
            )
            body = _describe_alarms_as_terraform_does(cloud)
            fields = ("<Period>300</Period>", "<Statistic>Sum</Statistic>", "failed &amp; why", "notBreaching")
            return all(field in body for field in fields)

        self.observe(has_period, defect=False, mended=True)


def _describe_alarms_as_terraform_does(cloud: Cloud) -> str:
    """In the Query protocol, which boto3 no longer speaks with CloudWatch."""
    data = urllib.parse.urlencode({"Action": "DescribeAlarms", "Version": "2010-08-01"}).encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    request = botocore.awsrequest.AWSRequest("POST", cloud.instance.url + "/", headers, data)
    credentials = botocore.credentials.Credentials(ACCOUNT, "test")
    botocore.auth.SigV4Auth(credentials, "monitoring", REGION).add_auth(request)
    signed = urllib.request.Request(request.url, data, dict(request.headers))
    with urllib.request.urlopen(signed) as answer:
        return answer.read().decode()
