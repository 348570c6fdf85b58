"""As much of S3 and of Secrets Manager as serve asks when it starts: one endpoint's definition, and one secret.

What is measured is serve, so an answer is one write without Nagle's delay, on a connection that stays open, as the
services themselves give it; Python's own `http.server` writes head and body apart, which costs 40 ms a request.
"""

from __future__ import annotations

import contextlib
import json
import socketserver
import threading
from collections.abc import Iterator

from runtime_api import answer, read

BUCKET = "bench-lake"
KEY = "definitions/endpoints/quake.yaml"
LISTED = """<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>{bucket}</Name><KeyCount>1</KeyCount>
<MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated><Contents><Key>{key}</Key><ETag>"1"</ETag><Size>{size}</Size>
<LastModified>2026-01-01T00:00:00.000Z</LastModified><StorageClass>STANDARD</StorageClass></Contents></ListBucketResult>"""


@contextlib.contextmanager
def services(definition: str, secret: str) -> Iterator[dict[str, str]]:
    """The environment of a function that finds both there."""
    told = {"ARN": "arn:aws:secretsmanager:eu-central-1:000000000000:secret:reader", "Name": "reader", "VersionId": "1" * 32}
    answers = {
        b"GET /%b/?" % BUCKET.encode(): ("application/xml", LISTED.format(bucket=BUCKET, key=KEY, size=len(definition.encode()))),
        b"GET /%b/%b" % (BUCKET.encode(), KEY.encode()): ("application/yaml", definition),
        b"POST / ": ("application/x-amz-json-1.1", json.dumps({**told, "SecretString": secret})),
    }

    class Answers(socketserver.StreamRequestHandler):
        disable_nagle_algorithm = True

        def handle(self) -> None:
            while asked := read(self.rfile)[0]:
                kind, content = next(given for begin, given in answers.items() if asked.startswith(begin))
                self.wfile.write(answer("200 OK", content.encode(), {"Content-Type": kind, "ETag": '"1"'}))

    class Services(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Services(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield {
                "MILLRACE_LAKE": f"s3://{BUCKET}", "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_address[1]}",
                "AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_REGION": "eu-central-1",
            }
        finally:
            server.shutdown()
