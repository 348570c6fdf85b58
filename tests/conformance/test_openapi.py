"""`millrace new pipeline --from-openapi` of published documents, and what it writes against prism, which answers as they say."""

from __future__ import annotations


import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from harness import Author, free_port, server

#: Whether the long form of the tests was asked for (`make soak`): then every resource is tried, else a few.
LONG = os.environ.get("MILLRACE_TEST_LENGTH") == "long"
FEW = 6


@dataclass(frozen=True)
class Published:
    """An API's own description, as a package of the registry has it."""

    package: str
    file: str
    #: How many resources are made of it at least.
    resources: int
    #: What the connection says of its credential.
    auth: str
    #: What the pipeline says, among other things.
    says: tuple[str, ...]
    #: Whether prism comes up with it.
    mocked: bool = True


PUBLISHED = [
    Published("@blockfrost/openapi", "openapi.yaml", 60, "header: project_id", ("page_param: page", "size_param: count")),
    Published("@directus/specs", "dist/openapi.json", 15, "header: Authorization", ("offset_param: offset", "total: meta.total_count")),
    Published("@figma/rest-api-spec", "openapi/openapi.yaml", 3, "header: X-Figma-Token", ("parent: webhooks", "records: meta.activity_logs"), False),
    Published("@readme/oas-examples", "3.1/yaml/train-travel.yaml", 3, "oauth2_refresh_token", ("next_link: { path: links.next }", "key: [id]")),
    Published("@readme/oas-examples", "3.0/yaml/star-trek.yaml", 40, "auth: none", ("page_param: pageNumber", "first: 0", "key: [uid]")),
    Published("@readme/oas-examples", "3.0/yaml/petstore-expanded.yaml", 1, "none", ("path: /pets",)),
    Published("@readme/oas-examples", "3.0/yaml/petstore.yaml", 1, "bearer", ('params: { status: "available" }',)),
]


def name(published: Published) -> str:
    return f"{published.package}/{published.file}"


@pytest.mark.parametrize("published", PUBLISHED, ids=name)
def test_a_published_document_becomes_a_pipeline_whose_requests_prism_takes(
    author: Author, node_package: Callable[[str], Path], published: Published
) -> None:
    """What is made passes `check`, and of each resource that needs no other one a page is tried."""
    document = node_package(published.package) / published.file
    prism = node_package("@stoplight/prism-cli") / "dist" / "index.js"
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    author.millrace("new", "pipeline", "api", "--from-openapi", document, "--base-url", url)
    author.millrace("check")
    connection = (author.folder / "connections" / "api.yaml").read_text()
    pipeline = (author.folder / "pipelines" / "api.yaml").read_text()
    assert published.auth in connection, connection
    for words in published.says:
        assert words in pipeline, f"{words} is not in:\n{pipeline}"
    resources = re.findall(r"^  - name: (\w+)\n(?:    .*\n)*", pipeline, re.MULTILINE)
    assert len(resources) >= published.resources, resources

    if not published.mocked:
        return
    # The examples' next pages are at the real API, where no credential for this one is sent.
    author.write("pipelines/api.yaml", re.sub(r"paginate: { next_link.*", "paginate: none", pipeline))
    # prism sets no limit, and asks only whether there is a credential.
    connection = connection.replace("rate_limit: 5/s", "")
    if "oauth2" in connection:
        connection = re.sub(r"auth:\n(?:  .*\n)+", "auth: { bearer: { secret: aws::secret/millrace/api } }\n", connection)
    author.write("connections/api.yaml", connection)
    author.secret("millrace/api", {"key": "sesame", "token": "sesame", "username": "ann", "password": "sesame"})
    tried = [
        resource
        for resource in resources
        if f"- name: {resource}\n    connection: api\n    parent:" not in pipeline
    ]
    with server(["node", prism, "mock", "--host", "127.0.0.1", "--port", port, document], url):
        for resource in tried if LONG else tried[:FEW]:
            # One document's example says in a header that nothing is left of the limit: as if that time had passed.
            shutil.rmtree(author.folder / ".millrace" / "local" / "lake" / "limits", ignore_errors=True)
            said = author.millrace("try", "api", resource)
            assert "← 200" in said, said
            # What prism finds wrong with a request it says in a header.
            assert '"location":["request"' not in said, said
            assert re.search(r"page 1, \d+ of \d+ records", said) or "no records" in said, said


def test_a_pipeline_of_a_published_document_runs_to_its_end(author: Author, node_package: Callable[[str], Path]) -> None:
    """The whole way: made, checked, run against prism, and the records in the lake are those of the document's examples."""
    document = node_package("@readme/oas-examples") / "3.1/yaml/train-travel.yaml"
    prism = node_package("@stoplight/prism-cli") / "dist" / "index.js"
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    author.millrace("new", "pipeline", "--from-openapi", document, "--base-url", url, "--only", "/stations")
    file = author.folder / "connections" / "train_travel_api.yaml"
    auth = "auth: { bearer: { secret: aws::secret/millrace/train_travel_api } }\n"
    file.write_text(re.sub(r"auth:\n(?:  .*\n)+", auth, file.read_text()))
    # The example's next page is at the real API.
    pipeline = author.folder / "pipelines" / "train_travel_api.yaml"
    pipeline.write_text(re.sub(r"paginate: .*", "paginate: none", pipeline.read_text()))
    author.secret("millrace/train_travel_api", "sesame")
    with server(["node", prism, "mock", "--host", "127.0.0.1", "--port", port, document], url):
        author.millrace("run", "train_travel_api")
    stations = author.records("train_travel_api", "stations", "data")
    assert {"Berlin Hauptbahnhof", "Paris Gare du Nord"} <= {station["name"] for station in stations}
