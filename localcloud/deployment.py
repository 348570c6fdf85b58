"""Brings Millrace onto the instance: packages, Terraform, and the values of the secrets."""

from __future__ import annotations

import json
import platform
import secrets
from pathlib import Path
from typing import Any

from localcloud import aws, packages, redis, source
from localcloud.instance import Instance
from localcloud.progress import Failed, elapsed, step
from localcloud.terraform import Terraform

#: The name of the local deployment.
NAME = "millrace"

#: The secrets of Redis's users.
_REDIS = {user: f"{NAME}/redis/{user}" for user in ("owner", "reader")}

_ARCHITECTURES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}


def deploy(instance: Instance, overrides: dict[str, Any], origin: Path) -> Terraform:
    """Applies `infra/`, and gives Terraform for what comes after. `overrides` are variables that win over the local
    ones; `origin` holds the definitions."""
    folders = source.definitions(instance, origin)
    zips = packages.package_functions(instance)
    variables = {
        "name": NAME,
        "definitions_dir": str(instance.path("definitions")),
        "functions_dir": str(next(iter(zips.values())).parent.parent),
        "architecture": _ARCHITECTURES[platform.machine().lower()],
        "task_image": packages.task_image(instance),
        "s3_use_path_style": True,
        # On a laptop a deployment comes and goes.
        "lake_force_destroy": True,
        "secret_recovery_days": 0,
        # The provider waits 55 s for AWS to settle on lifecycle rules, here too.
        "lake_noncurrent_days": None,
        **overrides,
    }
    terraform = Terraform(instance, folders)
    terraform.set_variables(variables)
    step("terraform init")
    terraform.init()
    step("terraform apply")
    began = elapsed()
    summary = terraform.apply()
    instance.facts["apply_seconds"] = round(elapsed() - began, 1)
    step(f"{summary} ({instance.facts['apply_seconds']} s)")
    remember(instance, terraform.outputs())
    # Only where definitions name Redis are there secrets of its users.
    if any(name in instance.facts["secrets"] for name in _REDIS.values()):
        redis.start(instance)
    _put_secrets(instance)
    return terraform


def existing(instance: Instance) -> Terraform:
    """Terraform for what is deployed already."""
    if "rest_api_id" not in instance.facts:
        raise Failed(f"nothing is deployed to {instance.directory}: run `make cloud`")
    return Terraform(instance, {kind: instance.path("definitions", kind) for kind in source.KINDS})


def remember(instance: Instance, outputs: dict[str, Any]) -> None:
    """Keeps what later commands need to know of the deployment."""
    instance.facts.update(
        rest_api_id=outputs["rest_api_id"],
        stage=outputs["api_url"].rstrip("/").rsplit("/", 1)[1],
        functions=outputs["functions"],
        schedules=outputs["schedules"],
        state_machine_arn=outputs["state_machine_arn"],
        lake=outputs["lake"],
        secrets=outputs["secrets"],
    )
    instance.save()


def _put_secrets(instance: Instance) -> None:
    """Gives every secret that Terraform made a value: the stores' roles, and keys for those who call."""
    keys = instance.facts.setdefault(
        "keys", {"operator": secrets.token_urlsafe(24), "consumer": secrets.token_urlsafe(24)}
    )
    own = {
        f"{NAME}/store/owner": instance.facts["store"]["owner"],
        f"{NAME}/store/reader": instance.facts["store"]["reader"],
        f"{NAME}/operators": {"local": keys["operator"]},
        f"{NAME}/serve/seal": keys.setdefault("seal", secrets.token_urlsafe(32)),
        **{name: instance.facts.get("redis", {}).get(user) for user, name in _REDIS.items()},
    }
    client = aws.client(instance, "secretsmanager")
    for name in instance.facts["secrets"]:
        # What is none of Millrace's own holds consumers' keys, or the credential of a connection that a person added.
        value = own.get(name, {"local": keys["consumer"]})
        client.put_secret_value(SecretId=name, SecretString=json.dumps(value))
    instance.save()
