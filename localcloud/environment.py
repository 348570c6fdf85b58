"""What the instance has to tell other programs: tests, shells, sample events."""

from __future__ import annotations

from localcloud import api
from localcloud.instance import Instance


def variables(instance: Instance) -> dict[str, str]:
    """Environment variables by name. Those of AWS come first; the others are there as soon as there is a deployment."""
    values = {**instance.aws_environment(), "MILLRACE_CLOUD_DIR": str(instance.directory)}
    facts = instance.facts
    if "rest_api_id" in facts:
        values["MILLRACE_CLOUD_API"] = api.base_url(instance)
        values["MILLRACE_CLOUD_LAKE"] = facts["lake"]
        values["MILLRACE_CLOUD_STATE_MACHINE"] = facts["state_machine_arn"]
    if "keys" in facts:
        values["MILLRACE_CLOUD_OPERATOR_KEY"] = facts["keys"]["operator"]
        values["MILLRACE_CLOUD_CONSUMER_KEY"] = facts["keys"]["consumer"]
    if "source" in facts:
        values["MILLRACE_CLOUD_SOURCE"] = facts["source"]
    if "run" in facts:
        values["MILLRACE_CLOUD_RUN"] = facts["run"]
        values["MILLRACE_CLOUD_DEFINITION"] = facts["definition"]
    return values
