//! What rows are held to.

use crate::harness::{Harness, TABLE};
use millrace_model::definition::pipeline::{Expectation, Otherwise, Rule, WriteMode};
use millrace_model::keys;
use serde_json::json;

fn expectation(column: &str, rule: Rule, otherwise: Otherwise) -> Expectation {
    Expectation {
        column: column.to_owned(),
        rule,
        otherwise,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_in_quarantine_are_kept_with_their_reason() {
    let mut shop = Harness::new(WriteMode::Upsert, &["id"])
        .expect(expectation(
            "mag",
            Rule::Between(-2.0, 11.0),
            Otherwise::Quarantine,
        ))
        .expect(expectation(
            "kind",
            Rule::In(vec![json!("a"), json!("b")]),
            Otherwise::Warn,
        ));
    shop.take(r#"[{"id":1,"mag":1,"kind":"a","tags":["old"]}]"#)
        .await;
    let output = shop.take("[{\"id\":1,\"mag\":99,\n\"tags\":[\"new\"]},{\"id\":2,\"mag\":3,\"kind\":\"z\"},{\"id\":3,\"mag\":null}]").await;
    assert_eq!(output.counts["rows_quarantined"], 1);
    assert_eq!(output.counts["rows_warned"], 1);
    assert_eq!(output.counts["rows_written"], 2);
    // What the table had of the row that was kept out stays, and so do its children.
    assert_eq!(
        shop.values(TABLE, &["id", "mag"]).await,
        ["1 1", "2 3", "3 -"]
    );
    assert_eq!(shop.values("orders__tags", &["value"]).await, ["old"]);
    let key = keys::quarantine("shop", TABLE, &output.input.run, 2);
    let object = shop.objects.get(&key).await.expect("read").expect("there");
    let line: serde_json::Value = serde_json::from_slice(&object.bytes).expect("one line of JSON");
    assert_eq!(line["column"], "mag");
    assert_eq!(line["record"], json!({"id": 1, "mag": 99, "tags": ["new"]}));
    assert!(
        line["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("between -2 and 11"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_breach_that_fails_writes_nothing() {
    for (rule, body) in [
        (Rule::NotNull, r#"[{"id":1,"v":1},{"id":2}]"#),
        (Rule::Unique, r#"[{"id":1,"v":1},{"id":2,"v":1}]"#),
        (
            Rule::In(vec![json!(1), json!(2)]),
            r#"[{"id":1,"v":1},{"id":2,"v":3}]"#,
        ),
    ] {
        let mut shop =
            Harness::new(WriteMode::Append, &[]).expect(expectation("v", rule, Otherwise::Fail));
        shop.pull(&[&[body]]).await;
        let failure = shop.run().await.expect_err("a breach");
        assert_eq!(failure.name.as_str(), "BadData");
        assert!(
            failure.message.contains("`orders.v` of record 1"),
            "{failure}"
        );
        assert_eq!(shop.version(TABLE).await, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unique_is_meant_after_the_last_one_won() {
    let mut shop = Harness::new(WriteMode::Upsert, &["id"])
        .expect(expectation("id", Rule::Unique, Otherwise::Fail))
        .expect(expectation("name", Rule::Unique, Otherwise::Quarantine));
    shop.take(
        r#"[{"id":1,"name":"a"},{"id":1,"name":"a"},{"id":2,"name":null},{"id":3,"name":null}]"#,
    )
    .await;
    assert_eq!(
        shop.values(TABLE, &["id", "name"]).await,
        ["1 a", "2 -", "3 -"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_makes_no_sense_of_a_type_is_a_definitions_fault() {
    let mut shop = Harness::new(WriteMode::Append, &[]).expect(expectation(
        "v",
        Rule::Between(0.0, 1.0),
        Otherwise::Warn,
    ));
    shop.pull(&[&[r#"[{"v":"text"}]"#]]).await;
    let failure = shop.run().await.expect_err("nonsense");
    assert_eq!(failure.name.as_str(), "BadDefinition");
}
