//! Expectations that look beyond a row: at records, other tables, and runs.

use crate::harness::{Harness, PIPELINE, TABLE};
use millrace_model::Failure;
use millrace_model::definition::pipeline::{
    ColumnType, Expectation, Otherwise, RowCount, Rule, WriteMode,
};
use millrace_model::definition::record_schema::RecordSchema;
use millrace_model::step::{Finding, Next, StepOutput};
use serde_json::json;
use std::time::Duration;

fn expectation(column: &str, rule: Rule, otherwise: Otherwise) -> Expectation {
    Expectation {
        column: column.to_owned(),
        rule,
        otherwise,
    }
}

async fn taken(shop: &mut Harness, body: &str) -> Result<StepOutput, Failure> {
    shop.pull(&[&[body]]).await;
    shop.run().await
}

fn broken(output: &StepOutput, named: &str) -> u64 {
    let broken = output.findings.iter().find_map(|finding| match finding {
        Finding::Expectation {
            expectation,
            broken,
            ..
        } if expectation.starts_with(named) => Some(*broken),
        _ => None,
    });
    broken.unwrap_or_else(|| panic!("no `{named}` in {:?}", output.findings))
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_match_and_records_are_as_their_schema_says() {
    let schema = json!({
        "properties": { "lines": { "items": { "required": ["sku"] } } },
    });
    let schema = RecordSchema::new(schema).expect("a schema");
    let mails = Rule::Matches("^[^@]+@[^@]+$".to_owned());
    for write in [WriteMode::Append, WriteMode::Upsert, WriteMode::History] {
        let mut shop = Harness::new(write, &["id"])
            .expect(expectation("mail", mails.clone(), Otherwise::Quarantine))
            .expect(expectation(
                "",
                Rule::Schema(schema.clone()),
                Otherwise::Quarantine,
            ));
        let output = taken(
            &mut shop,
            r#"[{"id":1,"mail":"a@b"},{"id":2,"mail":"a"},{"id":3,"lines":[{"sku":"x"}]},{"id":4,"lines":[{}]}]"#,
        )
        .await
        .expect("taken");
        assert_eq!(shop.values(TABLE, &["id"]).await, ["1", "3"], "{write:?}");
        assert_eq!(output.counts["rows_quarantined"], 2);
        assert_eq!((broken(&output, "mail"), broken(&output, "schema")), (1, 1));
        let kept = shop.quarantined().await;
        assert!(
            kept.iter().any(|line| line["column"] == "lines.0"),
            "{kept:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn values_are_in_another_table() {
    for (write, otherwise) in [
        (WriteMode::Append, Otherwise::Quarantine),
        (WriteMode::Upsert, Otherwise::Quarantine),
        (WriteMode::History, Otherwise::Warn),
    ] {
        let mut shop = Harness::new(write, &["id"]);
        let of = Rule::References {
            table: "people".to_owned(),
            column: "id".to_owned(),
        };
        shop.also("people", &["id"]);
        shop.table.expect = vec![expectation("of", of, otherwise)];
        shop.pull_of("people", r#"[{"id":"a"},{"id":"b"}]"#).await;
        shop.pull(&[&[
            r#"[{"id":1,"of":"a"},{"id":2,"of":"c"},{"id":3,"of":null},{"id":4,"of":"b"}]"#,
        ]])
        .await;
        // The run is the same one for both, so that one waits for the other.
        let waits = shop.run().await.expect("waits");
        assert_eq!((waits.next, waits.input.invocation), (Next::Wait, 0));
        assert_eq!(shop.version(TABLE).await, None);
        shop.run_of("people").await.expect("taken");
        let output = shop.run().await.expect("taken");
        assert_eq!(broken(&output, "of references people.id"), 1);
        let quarantine = otherwise == Otherwise::Quarantine;
        let there = shop.values(TABLE, &["id"]).await.join(" ");
        assert_eq!(
            there,
            if quarantine { "1 3 4" } else { "1 2 3 4" },
            "{write:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_brings_as_many_rows_as_the_last_ones() {
    let count = RowCount {
        least: Some(1),
        most: None,
        within: Some(50.0),
    };
    let mut shop = Harness::new(WriteMode::Append, &[]).expect(expectation(
        "",
        Rule::Rows(count),
        Otherwise::Fail,
    ));
    let empty = taken(&mut shop, "[]").await.expect_err("too few");
    assert!(empty.message.contains("it brought 0 rows"), "{empty}");
    assert_eq!(shop.version(TABLE).await, None);
    let body = |rows: usize| format!("[{}]", vec![r#"{"v":1}"#; rows].join(","));
    // The empty run is taken with the next one, half of whose rows each of the two has brought.
    for rows in [8, 4, 4, 4] {
        let output = taken(&mut shop, &body(rows)).await.expect("taken");
        assert_eq!(broken(&output, "rows at least 1 within 50%"), 0);
    }
    let failure = taken(&mut shop, &body(7)).await.expect_err("too many");
    assert!(failure.message.contains("4.0 on average"), "{failure}");
    assert_eq!(shop.rows(TABLE).await.len(), 20);
    let orphans = std::fs::read_dir(shop.path().join("tables").join(PIPELINE).join(TABLE));
    let parquet = orphans.expect("listed").filter_map(Result::ok);
    let parquet =
        parquet.filter(|entry| entry.path().extension().is_some_and(|is| is == "parquet"));
    assert_eq!(parquet.count(), 4, "what was not committed is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_value_is_not_too_old() {
    let day = Rule::Freshness(Duration::from_hours(24));
    let mut shop = Harness::new(WriteMode::Upsert, &["id"])
        .column("at", None, Some(ColumnType::Timestamp))
        .expect(expectation("at", day, Otherwise::Fail));
    // The run began at the first moment of 2026.
    let old = taken(&mut shop, r#"[{"id":1,"at":"2025-12-30T00:00:00Z"}]"#).await;
    let failure = old.expect_err("stale");
    assert!(
        failure
            .message
            .contains("the newest value is 2025-12-30T00:00:00Z"),
        "{failure}"
    );
    let fresh = taken(&mut shop, r#"[{"id":2,"at":"2025-12-31T12:00:00Z"}]"#).await;
    fresh.expect("fresh");
    // What the table has counts, too.
    taken(&mut shop, r#"[{"id":3,"at":null}]"#)
        .await
        .expect("fresh");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_become_of_a_table_is_told() {
    let mut shop = Harness::new(WriteMode::Upsert, &["id"]);
    let first = taken(&mut shop, r#"[{"id":1,"v":1}]"#)
        .await
        .expect("taken");
    assert_eq!(first.findings, []);
    let body = r#"[{"id":2,"v":1.5,"new":"x","tags":["a"]}]"#;
    let output = taken(&mut shop, body).await.expect("taken");
    let told: Vec<String> = output.findings.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "there is a new child table `orders__tags`",
            "the column `v` of `orders` was int and is double",
            "`orders` has a new column `new` (string)",
        ]
    );
}
