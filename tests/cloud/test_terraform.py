"""A new endpoint's file changes the plan by its route and nothing else."""

from __future__ import annotations

import re

from cloud import Cloud

ENDPOINT = """
metadata: { name: strongest, description: The strongest earthquakes }
routes:
  /strongest:
    datasource: operational_store
    query: SELECT id, magnitude FROM seismology.quakes ORDER BY magnitude DESC
    methods: [GET]
    auth: { secret_path: aws::secret/millrace/consumers }
"""


def test_a_new_endpoint_changes_the_plan_by_that_route(cloud: Cloud) -> None:
    file = cloud.directory / "definitions" / "endpoints" / "strongest.yaml"
    file.write_text(ENDPOINT)
    try:
        planned = cloud.command("plan", check=False)
    finally:
        file.unlink()
    assert planned.returncode != 0, "the plan shows no difference"
    said = planned.stdout + planned.stderr
    changed = set(re.findall(r"# (\S+) (?:will be|must be) ", said))
    # The file itself, the API's document, and the deployment that makes it effective.
    assert changed == {
        'aws_s3_object.definition["definitions/endpoints/strongest.yaml"]',
        "aws_api_gateway_rest_api.this",
        "aws_api_gateway_deployment.this",
        "aws_api_gateway_stage.this",
    }, said
    cloud.command("plan")
