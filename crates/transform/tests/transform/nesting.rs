//! Objects → columns, lists → child tables that follow their parents.

use crate::harness::{Harness, TABLE};
use millrace_model::definition::pipeline::{ColumnType, WriteMode};

#[tokio::test(flavor = "multi_thread")]
async fn a_feature_collection_becomes_tables() {
    let mut shop = Harness::new(WriteMode::Upsert, &["id"]).column(
        "properties.mag",
        Some("magnitude"),
        Some(ColumnType::Double),
    );
    shop.records = "features";
    let body = r#"{"type":"FeatureCollection","features":[
        {"id":"us1","properties":{"mag":4,"place":"here"},"geometry":{"type":"Point","coordinates":[1.5,2,-3.25]}}],
        "bbox":[1]}"#;
    shop.take(body).await;
    let columns = ["id", "magnitude", "properties_place", "geometry_type"];
    assert_eq!(shop.values(TABLE, &columns).await, ["us1 4.0 here Point"]);
    let columns = ["_parent_id", "_position", "value"];
    assert_eq!(
        shop.values("orders__geometry_coordinates", &columns).await,
        ["us1 0 1.5", "us1 1 2.0", "us1 2 -3.25"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_in_lists_keep_their_ancestors() {
    let mut shop = Harness::new(WriteMode::Append, &[]);
    shop.take(r#"[{"x":1},{"lines":[{"sku":"a","lots":[7,8]},{"sku":"b"},{"lots":[9]}],"grid":[[1],[2,3]]}]"#).await;
    assert_eq!(
        shop.values("orders__lines", &["_parent_row_id", "_position", "sku"])
            .await,
        ["1-000001 0 a", "1-000001 1 b", "1-000001 2 -"]
    );
    assert_eq!(
        shop.values(
            "orders__lines__lots",
            &["_parent_row_id", "_parent_position", "_position", "value"]
        )
        .await,
        ["1-000001 0 0 7", "1-000001 0 1 8", "1-000001 2 0 9"]
    );
    assert_eq!(
        shop.values(
            "orders__grid__items",
            &["_parent_position", "_position", "value"]
        )
        .await,
        ["0 0 1", "1 0 2", "1 1 3"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn children_follow_their_parents() {
    let mut shop = Harness::new(WriteMode::Upsert, &["id"]);
    shop.take(r#"[{"id":1,"tags":["a","b"]},{"id":2,"tags":["c"]},{"id":3,"tags":["d"]},{"id":1,"tags":["z"]}]"#).await;
    let columns = ["_parent_id", "_position", "value"];
    assert_eq!(
        shop.values("orders__tags", &columns).await,
        ["1 0 z", "2 0 c", "3 0 d"]
    );
    // One loses its list, one gets a longer one, one is left alone.
    shop.take(r#"[{"id":1},{"id":2,"tags":["C","D"]}]"#).await;
    assert_eq!(
        shop.values("orders__tags", &columns).await,
        ["2 0 C", "2 1 D", "3 0 d"]
    );
    // No record of the run has a list at all.
    shop.take(r#"[{"id":3,"tags":[]}]"#).await;
    assert_eq!(
        shop.values("orders__tags", &columns).await,
        ["2 0 C", "2 1 D"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn children_are_replaced_with_their_parents() {
    let mut list = Harness::new(WriteMode::Replace, &["id"]);
    list.take(r#"[{"id":1,"tags":["a"]}]"#).await;
    list.take(r#"[{"id":2}]"#).await;
    assert_eq!(list.rows("orders__tags").await.len(), 0);
    assert_eq!(list.rows(TABLE).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_may_be_a_scalar_here_and_an_object_there() {
    let mut shop = Harness::new(WriteMode::Append, &[]);
    shop.take(r#"[{"who":"ada"},{"who":{"name":"bob"}},{"who":["cleo"]},{"who":null}]"#)
        .await;
    assert_eq!(
        shop.values(TABLE, &["who", "who_name"]).await,
        ["- -", "- -", "- bob", "ada -"]
    );
    assert_eq!(shop.values("orders__who", &["value"]).await, ["cleo"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_of_a_list_are_declared_by_their_path() {
    let mut shop = Harness::new(WriteMode::Append, &[])
        .column(
            "lines.price",
            None,
            Some(ColumnType::Decimal {
                precision: 6,
                scale: 2,
            }),
        )
        .column("codes.value", Some("code"), Some(ColumnType::String))
        .column("opaque", None, Some(ColumnType::Json));
    shop.take(r#"[{"lines":[{"price":1.5}],"codes":[7],"opaque":[1, {"a":2}]}]"#)
        .await;
    assert_eq!(
        shop.types("orders__lines").await["price"],
        "Decimal128(6, 2)"
    );
    assert_eq!(shop.values("orders__codes", &["code"]).await, ["7"]);
    assert_eq!(shop.values(TABLE, &["opaque"]).await, [r#"[1, {"a":2}]"#]);
    assert!(!shop.types(TABLE).await.contains_key("lines_price"));
}
