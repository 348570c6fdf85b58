//! Queries that would scan, and what mends them: told before a merge, by the store itself.

#![allow(clippy::unwrap_used, reason = "a test's way to fail")]

mod support;

use millrace_model::definition::Endpoint;
use millrace_model::definition::set::DefinitionSet;
use support::Place;

const TABLE: &str = "
    CREATE TABLE s.quakes AS
        SELECT n AS id, (n % 90) / 10.0::float8 AS magnitude, 'place ' || n % 5000 AS place FROM generate_series(1, 50000) AS n;
    ALTER TABLE s.quakes ADD PRIMARY KEY (id);
    ANALYZE s.quakes;
    INSERT INTO millrace.published (schema, relation, source, version, files, layout, run)
        VALUES ('s', 'quakes', 'tables/e/quakes', 1, 'f', 'l', 'r');";

fn endpoint(query: &str, params: &str) -> Endpoint {
    let text = format!(
        "metadata: {{ name: quakes }}\nroutes:\n  /quakes:\n    datasource: operational_store\n    query: {}\n    \
         params: [{params}]\n",
        serde_json::json!(query)
    );
    // That no pipeline publishes the table is told without a store already; here is what the store adds.
    let (mut set, _) = DefinitionSet::parse([("endpoints/quakes.yaml".to_owned(), text)]);
    set.endpoints.remove("quakes").unwrap()
}

async fn said(place: &Place, query: &str, params: &str) -> String {
    let endpoint = endpoint(query, params);
    let checked = place.serve.check(&[&endpoint]).await.unwrap();
    let messages = checked.findings.into_iter().map(|finding| finding.message);
    messages.collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn a_query_that_would_scan_is_told_with_its_plan_and_its_cure() {
    let place = Place::new().await;
    place.client.batch_execute(TABLE).await.unwrap();
    let by_place = "SELECT id, magnitude FROM s.quakes WHERE place = :place";
    let param = "{ name: place, type: string }";

    let message = said(&place, by_place, param).await;
    assert!(
        message.contains("reads all 50000 rows of s.quakes"),
        "{message}"
    );
    assert!(message.contains("on (place)"), "{message}");
    assert!(message.contains("Seq Scan on quakes"), "{message}");
    let index = "CREATE INDEX ON s.quakes (place); ANALYZE s.quakes";
    place.client.batch_execute(index).await.unwrap();
    assert_eq!(said(&place, by_place, param).await, "");

    let lowered = "SELECT id FROM s.quakes WHERE lower(place) = :place";
    let message = said(&place, lowered, param).await;
    assert!(
        message.contains("compare the columns themselves"),
        "{message}"
    );
    assert_eq!(
        said(
            &place,
            "SELECT id FROM s.quakes WHERE id = :id",
            "{ name: id, type: int }"
        )
        .await,
        ""
    );
}

#[tokio::test]
async fn what_the_store_cannot_answer_is_told() {
    let place = Place::new().await;
    place.client.batch_execute(TABLE).await.unwrap();
    place
        .client
        .batch_execute("CREATE TABLE s.own (id int)")
        .await
        .unwrap();
    for (query, what) in [
        (
            "SELECT id FROM s.own ORDER BY id",
            "s.own, which is not published",
        ),
        (
            "SELECT id FROM s.gone ORDER BY id",
            "s.gone, which is not published",
        ),
        (
            "SELECT speed FROM s.quakes",
            "refuses the query: column \"speed\" does not exist",
        ),
        (
            "SELECT a.id FROM s.quakes AS a, s.quakes AS b WHERE a.magnitude > b.magnitude ORDER BY a.place",
            "s.quakes",
        ),
    ] {
        let message = said(&place, query, "").await;
        assert!(message.contains(what), "{query}: {message}");
    }
    let endpoint = endpoint("SELECT id, magnitude FROM s.quakes ORDER BY id", "");
    let checked = place.serve.check(&[&endpoint]).await.unwrap();
    let schema = &checked.contract["paths"]["/quakes"]["get"]["responses"]["200"]["content"]["application/json"]
        ["schema"];
    let columns = &schema["properties"]["data"]["items"]["properties"];
    assert_eq!(
        columns["magnitude"]["type"][0], "number",
        "{}",
        checked.contract
    );
}
