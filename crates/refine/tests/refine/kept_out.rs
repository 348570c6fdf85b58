//! Rows that are kept out of a model, and the rest, which is committed.

use crate::ground::Ground;
use millrace_model::definition::pipeline::Otherwise;
use millrace_model::step::Finding;

fn model(more: &str) -> String {
    format!("  - {{ name: m, query: SELECT * FROM orders, {more} }}\n")
}

#[tokio::test]
async fn rows_that_break_an_expectation_are_kept_out_with_their_reason() {
    let ground = Ground::new();
    ground
        .table("orders", &[(1, "ada", 10), (2, "bob", 5), (3, "", 7)])
        .await;
    let expect = "expect: [{ column: total, between: [6, 10], otherwise: quarantine }, \
                  { column: name, matches: '.', otherwise: quarantine }]";
    let definition = ground.define(&model(expect)).await;
    let output = ground.make(&definition, 1, "m").await.unwrap();
    assert_eq!(ground.rows("m").await, ["1 ada 10"]);
    let counts = &output.counts;
    assert_eq!((counts["rows_written"], counts["rows_quarantined"]), (1, 2));
    assert_eq!(
        ground.quarantined(1, "m").await.unwrap(),
        [
            r#"name: it does not match .: {"id":3,"name":"","total":7}"#,
            r#"total: it is not between 6 and 10: {"id":2,"name":"bob","total":5}"#,
        ]
    );
    assert!(output.findings.iter().all(|finding| matches!(
        finding,
        Finding::Expectation {
            broken: 1,
            otherwise: Otherwise::Quarantine,
            ..
        }
    )));
}

#[tokio::test]
async fn a_row_is_held_to_a_schema_as_an_object_of_its_columns() {
    let ground = Ground::new();
    ground
        .table("orders", &[(1, "ada", 10), (2, "bob", 5)])
        .await;
    let models = "  - name: m\n    query: SELECT id, nullif(name, 'bob') AS name FROM orders\n    expect:\n      \
                  - schema: { required: [name], properties: { id: { maximum: 1 } } }\n        otherwise: quarantine\n";
    let definition = ground.define(models).await;
    ground.make(&definition, 1, "m").await.unwrap();
    assert_eq!(ground.rows("m").await, ["1 ada"]);
    let told = ground.quarantined(1, "m").await.unwrap();
    assert_eq!(told, [r#"id: it is more than 1: {"id":2}"#]);
}

#[tokio::test]
async fn what_references_nothing_is_kept_out_and_the_row_with_its_key_stays() {
    let ground = Ground::new();
    let many = (0..40_000).map(|id| (id, if id % 1_000 == 7 { "eve" } else { "ada" }, id));
    let many: Vec<(i64, &str, i64)> = many.collect();
    ground.table("orders", &many).await;
    ground
        .table("customers", &[(1, "ada", 0), (2, "eve", 0)])
        .await;
    let upsert = "write: upsert, key: [id], expect: [{ column: name, references: customers.name, otherwise: quarantine }]";
    let definition = ground.define(&model(upsert)).await;
    ground.make(&definition, 1, "m").await.unwrap();
    assert_eq!(ground.quarantined(1, "m").await, None);
    assert_eq!(
        (ground.rows("m").await.len(), ground.files("m")),
        (40_000, 1)
    );

    ground.table("customers", &[(1, "ada", 0)]).await;
    let more: Vec<(i64, &str, i64)> = many.iter().map(|row| (row.0, row.1, row.2 + 1)).collect();
    ground.table("orders", &more).await;
    let output = ground.make(&definition, 2, "m").await.unwrap();
    let counts = &output.counts;
    assert_eq!(
        (counts["rows_written"], counts["rows_quarantined"]),
        (39_960, 40)
    );
    assert_eq!(
        ground.files("m"),
        3,
        "the file with all rows was left behind"
    );
    let rows = ground.rows("m").await;
    assert_eq!(rows.len(), 40_000);
    for row in ["1007 eve 1007", "1008 ada 1009"] {
        assert!(rows.iter().any(|found| found == row), "{row}");
    }
    let told = ground.quarantined(2, "m").await.unwrap();
    assert_eq!(told.len(), 40);
    let first = r#"name: `customers` has no such `name`: {"id":7,"name":"eve","total":8}"#;
    assert!(told.iter().any(|line| line == first), "{told:?}");
}

#[tokio::test]
async fn what_an_attempt_that_ended_too_early_kept_out_does_not_stay() {
    let ground = Ground::new();
    ground.table("orders", &[(1, "ada", 10)]).await;
    let expect = "expect: [{ column: total, between: [6, 10], otherwise: quarantine }]";
    let definition = ground.define(&model(expect)).await;
    let stale = Ground::quarantine(1, "m");
    let line = "{}\n".to_owned();
    ground.objects.put(&stale, line.into()).await.unwrap();
    ground.make(&definition, 1, "m").await.unwrap();
    assert_eq!(ground.quarantined(1, "m").await.unwrap(), [""; 0]);
}
