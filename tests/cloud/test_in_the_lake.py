"""A route over the lake: the compiled Lambda `serve-lake` answers it behind the gateway, with its own role."""

from __future__ import annotations

from cloud import Cloud

from localcloud import invocation
from localcloud.instance import ROOT

TABLE = "tables/queued/quakes"
ROUTE = "/in-the-lake"


def test_a_route_over_the_lake_answers_with_the_tables_rows(cloud: Cloud) -> None:
    cloud.succeed("queued")
    table = cloud.table(TABLE, "id", "magnitude")
    strong = {key: magnitude for key, magnitude in zip(table["id"], table["magnitude"]) if magnitude is not None and magnitude >= 1}
    assert strong, "the source has no such reports"
    rows = cloud.rows(ROUTE, least=1, limit=100)
    assert {row["id"]: row["magnitude"] for row in rows} == strong
    assert len(rows) == len(strong)
    assert [row["magnitude"] for row in rows] == sorted(strong.values(), reverse=True)
    headers = {name.lower(): value for name, value in cloud.call("GET", ROUTE, key=cloud.consumer).headers.items()}
    assert headers["etag"] and headers["x-millrace-as-of"], headers


def test_it_refuses_as_every_route_does(cloud: Cloud) -> None:
    assert cloud.call("GET", ROUTE).status == 401
    for query, parameter in (({"least": "x"}, "least"), ({"cursor": "AAAA"}, "cursor"), ({"most": "1"}, "most")):
        answer = cloud.call("GET", ROUTE, key=cloud.consumer, query=query)
        assert (answer.status, answer.body["error"][0]["parameter"]) == (400, parameter), answer


def test_the_functions_answer_each_its_own_routes(cloud: Cloud) -> None:
    event = ROOT / "events" / "serve-lake" / "another-datasource.json"
    assert invocation.invoke(cloud.instance, "serve-lake", event)["statusCode"] == 404
