//! Fields → typed columns.

use crate::harness::{Harness, TABLE};
use millrace_model::definition::pipeline::{ColumnType, WriteMode};

#[tokio::test(flavor = "multi_thread")]
async fn types_are_inferred_from_all_records() {
    let mut shop = Harness::new(WriteMode::Append, &[]);
    let body = r#"[
        {"int":1,"num":1,"mixed":1,"flag":true,"text":"2026-01-01","big":18446744073709551615,"none":null},
        {"int":2,"num":1.5,"mixed":"one","flag":null,"text":"x","Camel Case":"y"}
    ]"#;
    shop.take(body).await;
    let types = shop.types(TABLE).await;
    let expected = [
        ("int", "Int64"),
        ("num", "Float64"),
        ("mixed", "Utf8"),
        ("flag", "Boolean"),
        ("text", "Utf8"),
        ("big", "Utf8"),
        ("camel_case", "Utf8"),
    ];
    for (column, kind) in expected {
        assert_eq!(types[column], kind, "{column}");
    }
    assert!(!types.contains_key("none"));
    assert_eq!(
        shop.values(TABLE, &["mixed", "num", "big"]).await,
        ["1 1.0 18446744073709551615", "one 1.5 -"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn declared_types_win() {
    let timestamp = Some(ColumnType::Timestamp);
    let mut shop = Harness::new(WriteMode::Append, &[])
        .column("p.t", Some("at"), Some(ColumnType::TimestampMs))
        .column("s", None, Some(ColumnType::TimestampS))
        .column("iso", None, timestamp)
        .column("day", None, Some(ColumnType::Date))
        .column(
            "price",
            None,
            Some(ColumnType::Decimal {
                precision: 12,
                scale: 2,
            }),
        )
        .column("count", None, Some(ColumnType::Int))
        .column("raw", None, Some(ColumnType::Json))
        .column("absent", None, Some(ColumnType::Double));
    let body = r#"[{"p":{"t":1767225600123},"s":1767225600,"iso":"2026-01-01T02:00:00+02:00","day":"2026-01-01",
        "price":"1234567890.10","count":"12","raw":{"a": [1, 2.50]}},{"price":7.5,"count":3.0,"raw":"x"}]"#;
    shop.take(body).await;
    let columns = ["at", "s", "iso", "day", "price", "count", "raw", "absent"];
    assert_eq!(
        shop.values(TABLE, &columns).await,
        [
            "- - - - 7.50 3 \"x\" -",
            "2026-01-01T00:00:00.123Z 2026-01-01T00:00:00Z 2026-01-01T00:00:00Z 2026-01-01 1234567890.10 12 {\"a\": [1, 2.50]} -",
        ]
    );
    let types = shop.types(TABLE).await;
    assert_eq!(
        (types["at"].as_str(), types["absent"].as_str()),
        ("Timestamp(µs, \"UTC\")", "Float64")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_that_turns_out_too_narrow_late_is_wide_from_the_start() {
    let mut shop = Harness::new(WriteMode::Append, &[]);
    // The first page alone is more than a batch, and so is written before the second one is seen.
    let many = |range: std::ops::Range<u32>| {
        let records: Vec<String> = range
            .map(|number| format!(r#"{{"v":{number},"w":1}}"#))
            .collect();
        format!("[{}]", records.join(","))
    };
    shop.pull(&[&[
        &many(0..20_000),
        r#"[{"v":1.25,"w":2}]"#,
        r#"[{"w":"three"}]"#,
    ]])
    .await;
    let output = shop.run().await.expect("transformed");
    assert_eq!(output.counts["rows_written"], 20_002);
    let types = shop.types(TABLE).await;
    assert_eq!(
        (types["v"].as_str(), types["w"].as_str()),
        ("Float64", "Utf8")
    );
    let values = shop.values(TABLE, &["v", "w"]).await;
    assert_eq!(values.len(), 20_002);
    assert!(values.contains(&"1.25 2".to_owned()) && values.contains(&"- three".to_owned()));
    assert!(values.contains(&"19999.0 1".to_owned()));
    let files = std::fs::read_dir(shop.path().join("tables/shop/orders"))
        .expect("listed")
        .count();
    assert_eq!(
        files, 2,
        "one file, and the log: what was given up was removed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_turns_out_to_be_text_is_one_key_for_all() {
    let mut shop = Harness::new(WriteMode::Upsert, &["id"]);
    let records: Vec<String> = (0..20_000)
        .map(|id| format!(r#"{{"id":{id},"tags":[{id}]}}"#))
        .collect();
    // Upserts are decoded from the last page on, so that the text comes after more than a batch of numbers.
    let many = format!("[{}]", records.join(","));
    shop.pull(&[&[
        r#"[{"id":"x","tags":["a"]},{"id":7,"tags":["old"]}]"#,
        &many,
    ]])
    .await;
    let output = shop.run().await.expect("transformed");
    assert_eq!(output.counts["rows_written"], 20_001);
    assert_eq!(output.counts["rows"], 20_002);
    assert_eq!(shop.types(TABLE).await["id"], "Utf8");
    assert_eq!(shop.types("orders__tags").await["_parent_id"], "Utf8");
    let tags = shop.values("orders__tags", &["_parent_id", "value"]).await;
    assert_eq!(tags.len(), 20_001);
    assert!(tags.contains(&"7 7".to_owned()) && tags.contains(&"x a".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn new_fields_become_new_columns() {
    let mut shop = Harness::new(WriteMode::Upsert, &["id"]);
    shop.take(r#"[{"id":1,"a":"x"}]"#).await;
    shop.take(r#"[{"id":2,"b":2.5}]"#).await;
    assert_eq!(
        shop.values(TABLE, &["id", "a", "b"]).await,
        ["1 x -", "2 - 2.5"]
    );
    shop.take(r#"[{"id":1,"b":3}]"#).await;
    assert_eq!(
        shop.values(TABLE, &["id", "a", "b"]).await,
        ["1 - 3.0", "2 - 2.5"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_named_without_its_value() {
    let mut shop = Harness::new(WriteMode::Upsert, &["id"]);
    shop.take(r#"[{"id":1,"n":1}]"#).await;
    shop.pull(&[&[r#"[{"id":2,"n":3},{"id":3,"n":"hush"}]"#]])
        .await;
    let failure = shop.run().await.expect_err("does not fit");
    assert_eq!(failure.name.as_str(), "BadData");
    for part in ["`orders.n` (int)", "record 1 of page 0", "declare"] {
        assert!(failure.message.contains(part), "{failure}");
    }
    assert!(!failure.message.contains("hush"));
    assert_eq!(shop.values(TABLE, &["id", "n"]).await, ["1 1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declaration_against_the_table_is_refused() {
    let mut shop = Harness::new(WriteMode::Append, &[]);
    shop.take(r#"[{"at":"2026-01-01T00:00:00Z"}]"#).await;
    let mut shop = shop.column("at", None, Some(ColumnType::Timestamp));
    shop.pull(&[&[r#"[{"at":"2026-01-02T00:00:00Z"}]"#]]).await;
    let failure = shop.run().await.expect_err("another type");
    assert_eq!(failure.name.as_str(), "BadDefinition");
    assert!(
        failure
            .message
            .contains("`timestamp` in the definition and `string` in the table"),
        "{failure}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_fields_that_become_one_column_are_refused() {
    let mut shop = Harness::new(WriteMode::Append, &[]);
    shop.pull(&[&[r#"[{"a":{"b":1},"a_b":2}]"#]]).await;
    let failure = shop.run().await.expect_err("a collision");
    assert_eq!(failure.name.as_str(), "BadDefinition");
    assert!(failure.message.contains("`a.b` and `a_b`"), "{failure}");

    let mut shop = Harness::new(WriteMode::Append, &[]).column("a.b", Some("nested"), None);
    shop.take(r#"[{"a":{"b":1},"a_b":2}]"#).await;
    assert_eq!(shop.values(TABLE, &["nested", "a_b"]).await, ["1 2"]);
}
