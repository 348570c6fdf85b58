//! What a table makes of what it does not know: wider types, and contracts that say no.

use crate::harness::{Harness, TABLE};
use millrace_model::definition::pipeline::{ColumnType, Contract, OnChange, WriteMode};

fn with(contract: Contract) -> Harness {
    let mut shop = Harness::new(WriteMode::Upsert, &["id"]);
    shop.table.contract = contract;
    shop
}

#[tokio::test(flavor = "multi_thread")]
async fn whole_numbers_become_fractions_in_place() {
    for write in [WriteMode::Append, WriteMode::Upsert, WriteMode::History] {
        let mut shop = Harness::new(write, &["id"]);
        shop.take(r#"[{"id":1,"v":1,"list":[1]},{"id":2,"v":2,"list":[2]}]"#)
            .await;
        shop.take(r#"[{"id":3,"v":1.5,"list":[0.5]}]"#).await;
        assert_eq!(shop.types(TABLE).await["v"], "Float64", "{write:?}");
        assert_eq!(
            shop.values(TABLE, &["id", "v"]).await,
            ["1 1.0", "2 2.0", "3 1.5"]
        );
        assert_eq!(
            shop.values("orders__list", &["value"]).await,
            ["0.5", "1.0", "2.0"]
        );
        // Readers meet files of one type: what was there was written anew.
        let table = shop
            .lake()
            .table("tables/shop/orders")
            .await
            .expect("opened")
            .expect("there");
        assert_eq!(table.rows(), Some(3));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declared_type_that_holds_more_takes_the_place_of_the_one_there() {
    let mut shop =
        Harness::new(WriteMode::Upsert, &["id"]).column("day", None, Some(ColumnType::Date));
    shop.take(r#"[{"id":1,"v":7,"day":"2026-01-01","code":12}]"#)
        .await;
    let mut shop = shop
        .column(
            "v",
            None,
            Some(ColumnType::Decimal {
                precision: 20,
                scale: 2,
            }),
        )
        .column("day", None, Some(ColumnType::Timestamp))
        .column("code", None, Some(ColumnType::String));
    shop.take(r#"[{"id":2,"v":"0.25","day":"2026-01-02T03:04:05Z","code":"x"}]"#)
        .await;
    assert_eq!(
        shop.values(TABLE, &["id", "v", "day", "code"]).await,
        [
            "1 7.00 2026-01-01T00:00:00Z 12",
            "2 0.25 2026-01-02T03:04:05Z x"
        ]
    );
    let mut narrow = shop.column("v", None, Some(ColumnType::Int));
    narrow.pull(&[&["[]"]]).await;
    let failure = narrow.run().await.expect_err("narrower");
    assert!(
        failure.message.contains("`int` in the definition"),
        "{failure}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_the_declared_decimal_does_not_hold_stops_the_step() {
    let mut shop = Harness::new(WriteMode::Append, &[]);
    shop.take(r#"[{"v":123456}]"#).await;
    let mut shop = shop.column(
        "v",
        None,
        Some(ColumnType::Decimal {
            precision: 4,
            scale: 2,
        }),
    );
    shop.pull(&[&[r#"[{"v":1}]"#]]).await;
    let failure = shop.run().await.expect_err("too large");
    assert!(!failure.message.is_empty());
    assert_eq!(shop.values(TABLE, &["v"]).await, ["123456"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn new_columns_go_by_the_contract() {
    for (rule, expected, new) in [
        (OnChange::Evolve, vec!["1 -", "2 x", "3 -"], true),
        (OnChange::DiscardColumn, vec!["1 -", "2 -", "3 -"], false),
        (OnChange::DiscardRow, vec!["1 -", "3 -"], false),
    ] {
        let mut shop = with(Contract {
            columns: rule,
            ..Contract::default()
        });
        shop.take(r#"[{"id":1}]"#).await;
        let output = shop.take(r#"[{"id":2,"new":"x"},{"id":3}]"#).await;
        assert_eq!(
            shop.values(TABLE, &["id", "new"]).await,
            expected,
            "{rule:?}"
        );
        assert_eq!(shop.types(TABLE).await.contains_key("new"), new);
        let quarantined = output.counts.get("rows_quarantined");
        assert_eq!(quarantined, (rule == OnChange::DiscardRow).then_some(&1));
    }
    let mut shop = with(Contract {
        columns: OnChange::Freeze,
        ..Contract::default()
    });
    shop.take(r#"[{"id":1}]"#).await;
    shop.pull(&[&[r#"[{"id":2,"new":"x"}]"#]]).await;
    let failure = shop.run().await.expect_err("frozen");
    assert!(
        failure.message.contains("`new`") && failure.name.as_str() == "BadData",
        "{failure}"
    );
    assert_eq!(shop.values(TABLE, &["id"]).await, ["1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn values_of_another_type_go_by_the_contract() {
    for (rule, expected) in [
        (OnChange::DiscardColumn, vec!["1 1", "2 -", "3 3"]),
        (OnChange::DiscardRow, vec!["1 1", "3 3"]),
    ] {
        let mut shop = with(Contract {
            types: rule,
            ..Contract::default()
        });
        shop.take(r#"[{"id":1,"v":1}]"#).await;
        shop.take(r#"[{"id":2,"v":2.5},{"id":3,"v":3}]"#).await;
        assert_eq!(shop.values(TABLE, &["id", "v"]).await, expected, "{rule:?}");
    }
    let mut shop = with(Contract {
        types: OnChange::Freeze,
        ..Contract::default()
    });
    shop.take(r#"[{"id":1,"v":1}]"#).await;
    shop.pull(&[&[r#"[{"id":2,"v":2.5}]"#]]).await;
    let failure = shop.run().await.expect_err("frozen");
    assert!(failure.message.contains("`orders.v` (int)"), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn new_lists_go_by_the_contract() {
    for (rule, rows, children) in [
        (OnChange::Evolve, vec!["1", "2"], vec!["a"]),
        (OnChange::DiscardColumn, vec!["1", "2"], vec![]),
        (OnChange::DiscardRow, vec!["1"], vec![]),
    ] {
        let mut shop = with(Contract {
            tables: rule,
            ..Contract::default()
        });
        shop.take(r#"[{"id":1}]"#).await;
        shop.take(r#"[{"id":2,"tags":["a"]}]"#).await;
        assert_eq!(shop.values(TABLE, &["id"]).await, rows, "{rule:?}");
        assert_eq!(
            shop.values("orders__tags", &["value"]).await,
            children,
            "{rule:?}"
        );
    }
}
