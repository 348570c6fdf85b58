"""IAM: what the lake's policy relies upon."""

from __future__ import annotations

import json
import uuid

from localcloud.instance import REGION
from localcloud.tests.harness import Cloud, EmulatorTest


class Iam(EmulatorTest):
    """Patches of `iam`."""

    def test_a_bucket_that_demands_tls_can_be_used(self) -> None:
        name = f"n{uuid.uuid4().hex[:12]}"

        def code(cloud: Cloud) -> str | None:
            s3 = cloud.client("s3")
            s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
            statement = {
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:*",
                "Resource": [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"],
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            }
            s3.put_bucket_policy(Bucket=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
            cloud.create_function(name)
            cloud.script(name, f"aws s3 put_object {json.dumps({'Bucket': name, 'Key': 'a', 'Body': 'x'})}")
            answer = cloud.client("lambda").invoke(FunctionName=name)
            return json.load(answer["Payload"]).get("code")

        self.observe(code, defect="AccessDenied", mended=None)
