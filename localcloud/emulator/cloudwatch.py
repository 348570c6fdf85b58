"""CloudWatch: metrics of executions and of logs, alarms that see them, and alarms that read back as they were written."""

from __future__ import annotations

import json
import re
from typing import Any
from xml.sax.saxutils import escape

from ministack.services import cloudwatch, cloudwatch_logs
from ministack.services import stepfunctions as sfn

from localcloud.emulator.patching import patch

_METRICS = {
    "RUNNING": "ExecutionsStarted",
    "SUCCEEDED": "ExecutionsSucceeded",
    "FAILED": "ExecutionsFailed",
    "ABORTED": "ExecutionsAborted",
    "TIMED_OUT": "ExecutionsTimedOut",
}


@patch("cloudwatch.execution_metrics")
def count_executions() -> None:
    """Step Functions gives no metrics, so an alarm on failed executions never sees one."""
    emit = sfn._emit_execution_status_event

    def emit_and_count(execution: dict[str, Any]) -> None:
        emit(execution)
        name = _METRICS.get(execution["status"])
        if name:
            dimensions = {"StateMachineArn": execution["stateMachineArn"]}
            cloudwatch.record_metric("AWS/States", name, 1, "Count", dimensions)

    sfn._emit_execution_status_event = emit_and_count


@patch("cloudwatch.alarms_on_own_metrics")
def evaluate_on_own_metrics() -> None:
    """Alarms are evaluated when a client puts a metric, and not when a service of the emulator does: those on
    `AWS/Lambda` and `AWS/States` stay in INSUFFICIENT_DATA."""
    record = cloudwatch.record_metric

    def record_and_evaluate(*arguments: Any, **options: Any) -> None:
        record(*arguments, **options)
        cloudwatch._evaluate_all_alarms()

    cloudwatch.record_metric = record_and_evaluate


#: The patterns that are understood: a field of a line of JSON is that text. Millrace has no others.
_PATTERN = re.compile(r'\{ \$\.(\w+) = "([^"]*)" \}')


@patch("cloudwatch.metric_filters")
def count_what_metric_filters_find() -> None:
    """Metric filters are kept and never applied: an alarm on what a function's log says never hears of it."""
    append = cloudwatch_logs._append_log_events

    def append_and_count(stream: dict[str, Any], events: list[dict[str, Any]]) -> None:
        append(stream, events)
        for each in list(cloudwatch_logs._metric_filters.values()):
            group = cloudwatch_logs._log_groups.get(each["logGroupName"]) or {"streams": {}}
            if not any(known is stream for known in group["streams"].values()):
                continue
            for _ in (event for event in events if _matches(each["filterPattern"], event["message"])):
                for metric in each["metricTransformations"]:
                    cloudwatch.record_metric(metric["metricNamespace"], metric["metricName"], float(metric["metricValue"]))

    cloudwatch_logs._append_log_events = append_and_count


def _matches(pattern: str, message: str) -> bool:
    understood = _PATTERN.fullmatch(pattern)
    try:
        line = json.loads(message)
    except ValueError:
        return False
    return bool(understood) and isinstance(line, dict) and line.get(understood[1]) == understood[2]


@patch("cloudwatch.describe_alarms")
def describe_alarms_in_full() -> None:
    """In the protocol that the Terraform provider speaks, DescribeAlarms leaves most fields out: every plan would
    change every alarm."""
    describe = cloudwatch._describe_alarms

    def describe_in_full(params: Any, cbor: Any, is_cbor: bool, is_json: bool = False) -> tuple:
        status, headers, body = describe(params, cbor, is_cbor, is_json)
        if is_cbor or is_json or status != 200:
            return status, headers, body
        text = body.decode() if isinstance(body, bytes) else body
        for alarm in cloudwatch._alarms.values():
            opening = f"<member><AlarmName>{alarm['AlarmName']}</AlarmName>"
            text = text.replace(opening, opening + _omitted_fields(alarm))
        return status, headers, text.encode()

    cloudwatch._describe_alarms = describe_in_full
    # The services' tables of actions hold the function itself.
    for table in vars(cloudwatch).values():
        if isinstance(table, dict):
            for action in [key for key, handler in table.items() if handler is describe]:
                table[action] = describe_in_full


def _omitted_fields(alarm: dict[str, Any]) -> str:
    texts = ("AlarmDescription", "Statistic", "ExtendedStatistic", "Period", "TreatMissingData", "Unit")
    fields = [f"<{name}>{escape(str(alarm[name]))}</{name}>" for name in texts if alarm.get(name) not in (None, "")]
    fields.append(f"<ActionsEnabled>{str(bool(alarm.get('ActionsEnabled', True))).lower()}</ActionsEnabled>")
    for name in ("AlarmActions", "OKActions", "InsufficientDataActions"):
        members = "".join(f"<member>{escape(action)}</member>" for action in alarm.get(name) or [])
        fields.append(f"<{name}>{members}</{name}>")
    dimensions = "".join(
        f"<member><Name>{escape(each['Name'])}</Name><Value>{escape(each['Value'])}</Value></member>"
        for each in alarm.get("Dimensions") or []
    )
    fields.append(f"<Dimensions>{dimensions}</Dimensions>")
    return "".join(fields)
