"""The deployed API keeps what its OpenAPI document says, through API Gateway. tests/contract/ has more of it, without one."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

from cloud import ROOT, Cloud, until

from localcloud import api

#: Requests of each route, of each phase.
EXAMPLES = 10_000 if os.environ.get("MILLRACE_TEST_LENGTH") == "long" else 20
#: A gateway answers for methods that a route does not have, and does so by 404; the checks of these are the server's.
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,negative_data_rejection,positive_data_acceptance"
)
CONFIGURATION = "\n[phases.coverage]\nunexpected-methods = []\n"


def test_every_route_has_its_types_whichever_function_answers_it(cloud: Cloud) -> None:
    for pipeline in ("queued", "looked_up", "united"):
        cloud.succeed(pipeline)
    magnitude = {"id": "string", "magnitude": "number"}
    expected = {
        "/in-the-lake": magnitude,
        "/looked-up/{id}": magnitude,
        "/united": magnitude | {"occurred_at": "string"},
    }

    def learnt() -> dict[str, dict[str, str]]:
        paths = cloud.call("GET", "/openapi.json").body["paths"]
        contents = {path: paths[path]["get"]["responses"]["200"]["content"]["application/json"] for path in expected}
        assert all(set(content["example"]["data"][0]) == set(expected[path]) for path, content in contents.items() if "example" in content)
        rows = {path: content["schema"]["properties"]["data"]["items"] for path, content in contents.items()}
        return {
            path: {name: column["type"][0] for name, column in row.get("properties", {}).items()} for path, row in rows.items()
        }

    # What was noted before the tables were there is asked for again when it is ten seconds old.
    told = until(lambda: known if (known := learnt()) == expected else None, patience=40)
    assert told == expected
    (note,) = cloud.keys("contract/lake.json")
    noted = json.loads(cloud.s3().get_object(Bucket=cloud.bucket, Key=note)["Body"].read())
    assert "/in-the-lake" in noted["rows"] and "/quakes" not in noted["rows"], noted


def test_requests_made_of_the_document_are_answered_as_it_says(cloud: Cloud, tmp_path: Path) -> None:
    cloud.succeed("earthquakes")
    python = subprocess.run([ROOT / "scripts/python-env", "tests/contract"], capture_output=True, text=True, check=True)
    program = Path(python.stdout.strip()).with_name("schemathesis")
    base = api.base_url(cloud.instance)
    shared = (ROOT / "tests/contract/schemathesis.toml").read_text()
    (tmp_path / "schemathesis.toml").write_text(shared + CONFIGURATION)
    command = [
        program, "run", f"{base}/openapi.json", "--url", base, "--header", f"x-api-key: {cloud.consumer}", "--workers", "1",
        # The shipped ones: some of the tests' own read tables that nothing has published yet.
        "--include-path-regex", "^/quakes", "--phases", "examples,coverage,fuzzing", "--max-examples", str(EXAMPLES), "--checks", CHECKS,
        "--continue-on-failure", "--generation-database", "none", "--seed", "7", "--suppress-health-check", "all",
    ]
    environment = os.environ | {"SCHEMATHESIS_HOOKS": str(ROOT / "tests/contract/hooks.py")}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    said = result.stdout + result.stderr
    print(said[-2_000:])
    assert result.returncode == 0, said[-20_000:]
    cases = re.search(r"([\d,]+) generated", said)
    assert cases, said[-3_000:]
    assert int(cases[1].replace(",", "")) > 2 * EXAMPLES, said[-3_000:]
