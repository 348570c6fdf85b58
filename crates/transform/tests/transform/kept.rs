//! Objects and lists that stay one value, by declaration or as all do.

use crate::harness::{Harness, TABLE};
use millrace_model::definition::FieldPath;
use millrace_model::definition::pipeline::{
    Column, ColumnType, Contract, Keep, Nesting, OnChange, OnList, OnObject, WriteMode,
};

/// All objects and lists stay what they are.
fn kept(write: WriteMode) -> Harness {
    let mut shop = Harness::new(write, &["id"]);
    shop.table.nesting = Nesting {
        objects: OnObject::Keep,
        lists: OnList::Keep,
        ..Nesting::default()
    };
    shop
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_stay_lists_and_objects_structs() {
    let mut shop = kept(WriteMode::Append);
    shop.take(
        r#"[{"id":1,"tags":["a",null,"b\u0041"],"who":{"firstName":"Ada","at":{"zip":"1"}},"grid":[[1],[],[2,3]]},
            {"id":2,"tags":[],"who":{},"lines":[{"sku":"x","lots":[7]},null,{"qty":2,"sku":"y"}]},
            {"id":3,"tags":null,"who":null}]"#,
    )
    .await;
    assert_eq!(
        shop.values(TABLE, &["id", "tags"]).await,
        ["1 [a, , bA]", "2 []", "3 -"]
    );
    assert_eq!(
        shop.values(TABLE, &["id", "who"]).await,
        [
            "1 {first_name: Ada, at: {zip: 1}}",
            "2 {first_name: , at: }",
            "3 -"
        ]
    );
    assert_eq!(
        shop.values(TABLE, &["id", "grid", "lines"]).await,
        [
            "1 [[1], [], [2, 3]] -",
            "2 - [{sku: x, qty: , lots: [7]}, , {sku: y, qty: 2, lots: }]",
            "3 - -"
        ]
    );
    assert_eq!(shop.version("orders__tags").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_is_declared_by_path_and_so_is_what_is_in_it() {
    let price = ColumnType::Decimal {
        precision: 6,
        scale: 2,
    };
    let mut shop = Harness::new(WriteMode::Upsert, &["id"])
        .keep("lines", Keep::List)
        .column("lines.price", Some("unit_price"), Some(price))
        .column("lines.meta", None, Some(ColumnType::Json))
        .keep("who", Keep::Struct)
        .column("who.born", None, Some(ColumnType::Date))
        .keep("codes", Keep::List)
        .column("codes.value", None, Some(ColumnType::String));
    shop.take(
        r#"[{"id":1,"lines":[{"price":"1.5","meta":{"a":[1]}}],"who":{"born":"2001-02-03"},"codes":[7,"x"],"rest":[5]},
            {"id":2,"lines":{"price":2},"codes":"one"}]"#,
    )
    .await;
    // A value that is no list is a list of one, where a list is declared.
    assert_eq!(
        shop.values(TABLE, &["id", "lines", "who", "codes"]).await,
        [
            r#"1 [{unit_price: 1.50, meta: {"a":[1]}}] {born: 2001-02-03} [7, x]"#,
            "2 [{unit_price: 2.00, meta: }] - [one]"
        ]
    );
    assert_eq!(shop.values("orders__rest", &["value"]).await, ["5"]);
    // Where no record has it, what is declared within does not become a column of the root.
    let mut other = Harness::new(WriteMode::Append, &[])
        .keep("lines", Keep::List)
        .column("lines.price", None, Some(price));
    other.take(r#"[{"id":1}]"#).await;
    let columns: Vec<String> = other.types(TABLE).await.into_keys().collect();
    assert_eq!(columns, ["_row_id", "id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn types_within_widen_and_fields_come_whatever_the_order() {
    let runs = [
        r#"[{"id":1,"box":{"n":1},"list":[]}]"#,
        r#"[{"id":2,"box":{"n":1.5,"more":[{"x":true}]},"list":[{"a":1}]}]"#,
        r#"[{"id":3,"box":{"more":[]},"list":[{"a":"text","b":2}]},{"id":4,"list":null}]"#,
    ];
    let expected = [
        "1 {n: 1.0, more: } []",
        "2 {n: 1.5, more: [{x: true}]} [{a: 1, b: }]",
        "3 {n: , more: []} [{a: text, b: 2}]",
        "4 - -",
    ];
    // In one step files of the first run hold narrower structs than the last one needs, and all is written anew.
    for write in [WriteMode::Append, WriteMode::Upsert] {
        let mut shop = kept(write);
        for body in runs {
            shop.pull(&[&[body]]).await;
        }
        shop.run().await.expect("taken");
        assert_eq!(shop.values(TABLE, &["id", "box", "list"]).await, expected);
        assert_eq!(shop.version(TABLE).await, Some(0));
    }
    // Step by step the table's own type stays as narrow as a contract that evolves has to keep it.
    let mut shop = kept(WriteMode::Upsert);
    shop.take(runs[0]).await;
    shop.take(runs[1]).await;
    shop.pull(&[&[runs[2]]]).await;
    let failure = shop.run().await.expect_err("no wider type");
    assert!(
        failure.message.contains("`orders.list.value.a`"),
        "{failure}"
    );
    assert_eq!(
        shop.values(TABLE, &["id", "box", "list"]).await,
        [
            "1 {n: 1.0, more: } -",
            "2 {n: 1.5, more: [{x: true}]} [{a: 1}]"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contract_is_about_what_is_within_too() {
    let first = r#"[{"id":1,"box":{"n":1},"list":[1]}]"#;
    let under = |columns, types| {
        let mut shop = kept(WriteMode::Upsert);
        shop.table.contract = Contract {
            columns,
            types,
            ..Contract::default()
        };
        shop
    };
    let mut shop = under(OnChange::Freeze, OnChange::Freeze);
    shop.take(first).await;
    for (body, said) in [
        (
            r#"[{"id":2,"box":{"m":1}}]"#,
            "`box.m` would become the column `m`",
        ),
        (r#"[{"id":2,"box":{"n":"x"}}]"#, "`orders.box.n` (int)"),
        (
            r#"[{"id":2,"box":[1]}]"#,
            "`orders.box`, which holds objects",
        ),
        (
            r#"[{"id":2,"list":{"a":1}}]"#,
            "`orders.list`, which holds lists",
        ),
        (
            r#"[{"id":2,"list":[[1]]}]"#,
            "`orders.list.value`, which holds single values",
        ),
        (r#"[{"id":2,"box":5}]"#, "`orders.box`, which holds objects"),
    ] {
        let mut frozen = under(OnChange::Freeze, OnChange::Freeze);
        frozen.take(first).await;
        frozen.pull(&[&[body]]).await;
        let failure = frozen.run().await.expect_err(body);
        assert!(failure.message.contains(said), "{failure}");
    }
    let mut shop = under(OnChange::DiscardColumn, OnChange::DiscardColumn);
    shop.take(first).await;
    shop.take(r#"[{"id":2,"box":{"m":1,"n":2},"list":[1,"x",{"a":1}]},{"id":3,"box":7,"list":8,"new":{"a":1}}]"#)
        .await;
    assert_eq!(
        shop.values(TABLE, &["id", "box", "list"]).await,
        ["1 {n: 1} [1]", "2 {n: 2} [1, , ]", "3 - -"]
    );
    let mut shop = under(OnChange::DiscardRow, OnChange::DiscardRow);
    shop.take(first).await;
    let output = shop
        .take(r#"[{"id":2,"box":{"m":1}},{"id":3,"list":["x"]},{"id":4,"box":[]},{"id":5,"list":[5]}]"#)
        .await;
    assert_eq!(output.counts["rows_quarantined"], 3);
    assert_eq!(
        shop.values(TABLE, &["id", "list"]).await,
        ["1 [1]", "5 [5]"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_is_another_one_where_what_is_kept_is() {
    let mut shop = kept(WriteMode::History);
    shop.take(r#"[{"id":1,"list":[],"box":{}}]"#).await;
    // That lists are empty is told by the table once it knows what is in them; the version is the same.
    shop.take(r#"[{"id":1,"list":[],"box":{}},{"id":2,"list":[{"a":1}],"box":{"b":1}}]"#)
        .await;
    shop.take(r#"[{"id":1,"list":[{"a":1}]},{"id":2,"list":[{"a":1}],"box":{"b":1,"c":null}}]"#)
        .await;
    let found = shop.values(TABLE, &["id", "list", "current"]).await;
    assert_eq!(found, ["1 - false", "1 [{a: 1}] true", "2 [{a: 1}] true"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_values_are_kept_as_they_are() {
    let mut shop = kept(WriteMode::Append);
    // Of a field that is there twice the first one counts; what is nested deeper than tables can be read is JSON text.
    let deep = format!("{}1{}", "[".repeat(60), "]".repeat(60));
    shop.take(&format!(
        r#"[{{"id":1,"box":{{"a":1}},"box":{{"a":2,"b":3}},"list":[1],"list":[2,3],"deep":{deep}}}]"#
    ))
    .await;
    assert_eq!(shop.values(TABLE, &["box", "list"]).await, ["{a: 1} [1]"]);
    assert_eq!(shop.values(TABLE, &["deep"]).await, [deep]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_between_names_is_chosen() {
    let mut shop = Harness::new(WriteMode::Upsert, &["id"]);
    shop.table.nesting = Nesting {
        separator: "__".to_owned(),
        lists: OnList::Json,
        ..Nesting::default()
    };
    let named = Column {
        name: Some("zip".to_owned()),
        ..Column::default()
    };
    shop.table
        .columns
        .insert(FieldPath("who.at.zipCode".to_owned()), named);
    shop.take(r#"[{"id":1,"who":{"at":{"zipCode":5,"isHome":true}},"tags":[1, {"a":2}]}]"#)
        .await;
    assert_eq!(
        shop.values(TABLE, &["zip", "who__at__is_home", "tags"])
            .await,
        [r#"5 true [1, {"a":2}]"#]
    );
    let key = [("id".to_owned(), "1".to_owned())].into_iter().collect();
    let counts = shop.transform().forget(&shop.pipeline(), &key).await;
    assert_eq!(counts.expect("forgotten")["rows"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_widens_behind_rows_without_it_keeps_its_values() {
    for write in [WriteMode::Append, WriteMode::Upsert] {
        let mut shop = kept(write);
        shop.take(r#"[{"id":1,"bag":{"y":0}}]"#).await;
        // One step takes both, newest first or last: the rows of one do not have what widens in the other.
        shop.pull(&[&[r#"[{"id":2,"bag":{"y":0.5}}]"#]]).await;
        shop.pull(&[&[r#"[{"id":3,"bag":{"z":0.5}}]"#]]).await;
        shop.pull(&[&[r#"[{"id":4,"bag":{"y":1.5}}]"#]]).await;
        shop.run().await.expect("transformed");
        assert_eq!(
            shop.values(TABLE, &["id", "bag"]).await,
            [
                "1 {y: 0.0, z: }",
                "2 {y: 0.5, z: }",
                "3 {y: , z: 0.5}",
                "4 {y: 1.5, z: }"
            ],
            "{write:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_elements_get_behind_rows_without_elements_is_there() {
    let mut shop = kept(WriteMode::Upsert);
    shop.take(r#"[{"id":1,"bag":[{"n":0}]}]"#).await;
    // The newest one is taken first.
    shop.pull(&[&[r#"[{"id":2,"bag":[{"n":1,"x":5}]}]"#]]).await;
    shop.pull(&[&[r#"[{"id":3,"bag":[]}]"#]]).await;
    shop.run().await.expect("transformed");
    assert_eq!(
        shop.values(TABLE, &["id", "bag"]).await,
        ["1 [{n: 0, x: }]", "2 [{n: 1, x: 5}]", "3 []"]
    );
}
