"""Prints what functions and the task wrote, from CloudWatch Logs."""

from __future__ import annotations

import argparse
import time
from typing import Any

from localcloud import aws
from localcloud.deployment import NAME
from localcloud.instance import Instance
from localcloud.progress import Failed


def show(instance: Instance, arguments: argparse.Namespace) -> None:
    """Prints the log of one function, oldest line first."""
    name = arguments.function
    group = f"/aws/ecs/{NAME}-task" if name == "task" else f"/aws/lambda/{NAME}-{name}"
    client = aws.client(instance, "logs")
    since = 0
    while True:
        events = _events(client, group, since)
        for event in events:
            print(event["message"].rstrip())
        if not arguments.follow:
            return
        if events:
            since = events[-1]["timestamp"] + 1
        time.sleep(1)


def _events(client: Any, group: str, since: int) -> list[dict[str, Any]]:
    try:
        pages = client.get_paginator("filter_log_events").paginate(logGroupName=group, startTime=since)
        events = [event for page in pages for event in page["events"]]
    except client.exceptions.ResourceNotFoundException:
        raise Failed(f"there is no log group {group}: is that the name of a function?") from None
    return sorted(events, key=lambda event: event["timestamp"])
