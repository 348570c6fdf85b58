//! Plans on PostgreSQL itself: pages of a large table are read by its indexes, however deep they are.

use super::*;
use crate::store::Store;
use millrace_model::definition::endpoint::ParamType;
use millrace_postgres::connect;
use millrace_postgres::private::PrivateServer;
use millrace_store::secrets::LocalSecrets;
use std::sync::Arc;
use tokio_postgres::types::ToSql;

const ROWS: &str = "
    CREATE SCHEMA s;
    CREATE TABLE s.quakes AS
        SELECT 'us' || n AS id, (n % 90) / 10.0::float8 AS magnitude, CASE WHEN n % 10 > 0 THEN n % 1000 END AS felt,
            timestamptz '2000-01-01' + n * interval '1 minute' AS occurred_at, 'place ' || n AS place
        FROM generate_series(1, 200000) AS n;
    ALTER TABLE s.quakes ADD PRIMARY KEY (id);
    CREATE INDEX ON s.quakes (occurred_at DESC);
    CREATE INDEX ON s.quakes (felt, id);
    CREATE INDEX ON s.quakes (magnitude);
    ANALYZE s.quakes;";

#[tokio::test]
async fn deep_pages_are_read_by_an_index() {
    let dir = tempfile::tempdir().unwrap();
    let server = PrivateServer::start(dir.path(), None).await.unwrap();
    let (owner, reader) = server.store("plans").await.unwrap();
    connect(&owner, "test")
        .await
        .unwrap()
        .batch_execute(ROWS)
        .await
        .unwrap();
    let variable = (LocalSecrets::variable("reader"), reader.to_secret());
    let store = Store::new(
        Arc::new(LocalSecrets::new(None, [variable])),
        "reader".to_owned(),
    );
    let client = store.connection().await.ok().unwrap();

    let by_time = "SELECT id, magnitude, occurred_at, place FROM s.quakes WHERE magnitude >= $1 ORDER BY occurred_at DESC";
    let plan = Plan::make(&client, by_time, &[ParamType::Double.into()], false)
        .await
        .unwrap();
    let keys: Vec<&str> = plan
        .pages
        .keys
        .iter()
        .flatten()
        .map(|key| key.sql.as_str())
        .collect();
    assert_eq!(keys, ["q.c2", "q.c0"], "the table's key breaks ties");
    let at = "2000-03-01T00:00:00Z".parse::<jiff::Timestamp>().unwrap();
    let least: &(dyn ToSql + Sync) = &4.0f64;
    explain(&client, &plan, None, &[least]).await;
    explain(&client, &plan, Some(&[false, false]), &[least, &at, &"us7"]).await;

    // Whole numbers stay whole: PostgreSQL makes them doubles, and not the column.
    let few = "SELECT id FROM s.quakes WHERE magnitude = $1 AND felt = $2 ORDER BY id";
    let plan = Plan::make(
        &client,
        few,
        &[ParamType::Int.into(), ParamType::Int.into()],
        false,
    )
    .await
    .unwrap();
    assert_eq!(plan.parameters, [Type::INT8, Type::INT8]);

    // Rows with a value and rows without lie apart, and both are found by the index.
    let by_felt = "SELECT id, felt FROM s.quakes ORDER BY felt";
    let plan = Plan::make(&client, by_felt, &[], false).await.unwrap();
    explain(&client, &plan, Some(&[false, false]), &[&500, &"us7"]).await;
    explain(&client, &plan, Some(&[true, false]), &[&"us7"]).await;

    // What PostgreSQL cannot tell is bound by its declared type; what is text in the table is compared as text.
    let optional = "SELECT id FROM s.quakes WHERE ($1 IS NULL OR magnitude >= $1) AND ($2 IS NULL OR place = $2)";
    let plan = Plan::make(
        &client,
        optional,
        &[ParamType::Double.into(), ParamType::String.into()],
        false,
    )
    .await
    .unwrap();
    assert_eq!(plan.parameters, [Type::FLOAT8, Type::TEXT]);
    let by_id = "SELECT id FROM s.quakes WHERE id = $1";
    let plan = Plan::make(&client, by_id, &[ParamType::Uuid.into()], false)
        .await
        .unwrap();
    assert_eq!(plan.parameters, [Type::TEXT]);
}

/// Each stretch must be read by an index, and must not touch much more than a page.
async fn explain(
    client: &Object,
    plan: &Plan,
    null: Option<&[bool]>,
    values: &[&(dyn ToSql + Sync)],
) {
    for stretch in plan.pages.stretches(null) {
        let sql = format!(
            "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) {}",
            plan.pages.statement(&stretch, "", "101")
        );
        let values = &values[..plan.parameters.len() + stretch.bound.len()];
        let lines: Vec<String> = client
            .query(&sql, values)
            .await
            .unwrap()
            .iter()
            .map(|row| row.get::<_, String>(0))
            .collect();
        let text = lines.join("\n");
        assert!(
            text.contains("Index ") && !text.contains("Seq Scan"),
            "{sql}\n{text}"
        );
        let rows = lines.iter().filter_map(|line| {
            line.split("rows=")
                .nth(1)?
                .split(' ')
                .next()?
                .parse::<u64>()
                .ok()
        });
        assert!(rows.max().is_some_and(|rows| rows < 1000), "{sql}\n{text}");
    }
}
