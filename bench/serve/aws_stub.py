"""As much of S3 and of Secrets Manager as serve asks when it starts: one endpoint's definition, and one secret."""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
import urllib.parse
from collections.abc import Iterator

BUCKET = "bench-lake"
KEY = "definitions/endpoints/quake.yaml"
LISTED = """<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>{bucket}</Name><KeyCount>1</KeyCount>
<MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated><Contents><Key>{key}</Key><ETag>"1"</ETag><Size>{size}</Size>
<LastModified>2026-01-01T00:00:00.000Z</LastModified><StorageClass>STANDARD</StorageClass></Contents></ListBucketResult>"""


@contextlib.contextmanager
def services(definition: str, secret: str) -> Iterator[dict[str, str]]:
    """The environment of a function that finds both there."""
    body = definition.encode()

    class Answers(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            if "list-type" in urllib.parse.parse_qs(query):
                self.give("application/xml", LISTED.format(bucket=BUCKET, key=KEY, size=len(body)).encode())
            elif path == f"/{BUCKET}/{KEY}":
                self.give("application/yaml", body)
            else:
                self.send_error(404)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            told = {"ARN": "arn:aws:secretsmanager:eu-central-1:000000000000:secret:reader", "Name": "reader", "VersionId": "1" * 32}
            self.give("application/x-amz-json-1.1", json.dumps({**told, "SecretString": secret}).encode())

        def give(self, kind: str, content: bytes) -> None:
            self.send_response(200)
            for name, value in (("Content-Type", kind), ("Content-Length", str(len(content))), ("ETag", '"1"')):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield {
                "MILLRACE_LAKE": f"s3://{BUCKET}", "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
                "AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_REGION": "eu-central-1",
            }
        finally:
            server.shutdown()
