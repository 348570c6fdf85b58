"""Calls Millrace's API through API Gateway, as any orchestrator or consumer would: HTTP, JSON, and a key."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import Any

from localcloud.instance import Instance
from localcloud.progress import Failed


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: Any


def base_url(instance: Instance) -> str:
    """Where the API's stage stands; on AWS this is the output `api_url`."""
    try:
        return f"{instance.url.replace('127.0.0.1', 'localhost')}/{instance.facts['stage']}"
    except KeyError:
        raise Failed("infra/ has not been applied to this local cloud: run `make cloud`") from None


def call(
    instance: Instance,
    method: str,
    path: str,
    key: str | None = None,
    query: dict[str, Any] | None = None,
    headers: dict[str, str] | None = None,
) -> Answer:
    """One request. An error status is an answer as well."""
    url = base_url(instance) + path
    if query:
        url += "?" + urllib.parse.urlencode(query)
    request = urllib.request.Request(url, method=method, headers={"Accept": "application/json", **(headers or {})})
    if key:
        request.add_header("x-api-key", key)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return Answer(answer.status, dict(answer.headers), _body(answer.read()))
    except urllib.error.HTTPError as error:
        return Answer(error.code, dict(error.headers), _body(error.read()))
    except OSError as error:
        raise Failed(f"{method} {url} got no answer ({error}): see {instance.path('log', 'emulator.log')}") from None


def _body(body: bytes) -> Any:
    """JSON, else text, else the bytes."""
    for read in (json.loads, bytes.decode):
        try:
            return read(body)
        except ValueError:
            pass
    return body


def expect(answer: Answer, status: int, what: str) -> Answer:
    """The answer, if it is the one that was hoped for."""
    if answer.status != status:
        raise Failed(
            f"{what} answered {answer.status} instead of {status}: {json.dumps(answer.body)[:600]}\n"
            "The functions' logs say more: scripts/cloud logs trigger, scripts/cloud logs serve."
        )
    return answer
