//! Bodies that are not JSON: their values are texts, and become what the definition says.

use crate::harness::{Harness, TABLE};
use millrace_model::definition::FieldPath;
use millrace_model::definition::format::{Csv, Format, FormatKind, Xml};
use millrace_model::definition::pipeline::{ColumnType, WriteMode};

fn of(kind: FormatKind) -> Format {
    Format {
        kind,
        ..Format::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_become_columns_of_their_declared_types() {
    let mut shop = Harness::new(WriteMode::Upsert, &["id"])
        .column("id", None, Some(ColumnType::Int))
        .column(
            "price",
            None,
            Some(ColumnType::Decimal {
                precision: 9,
                scale: 2,
            }),
        )
        .column("at", None, Some(ColumnType::Timestamp))
        .column("open", None, Some(ColumnType::Bool));
    shop.format = of(FormatKind::Csv(Csv::default()));
    shop.take("id,price,at,open,note\n1,12.50,2026-01-02T03:04:05+01:00,true,a\n2,,,false,\n")
        .await;
    shop.take("id,price,note\n2,0.1,b\n").await;
    let types = shop.types(TABLE).await;
    assert_eq!(
        (
            types["id"].as_str(),
            types["open"].as_str(),
            types["note"].as_str()
        ),
        ("Int64", "Boolean", "Utf8")
    );
    assert_eq!(
        shop.values(TABLE, &["id", "price", "at", "open", "note"])
            .await,
        ["1 12.50 2026-01-02T02:04:05Z true a", "2 0.10 - - b"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn elements_that_come_once_in_one_record_and_twice_in_another_are_a_child_table() {
    let mut shop =
        Harness::new(WriteMode::Replace, &[]).column("@id", Some("id"), Some(ColumnType::Int));
    shop.records = "orders.order";
    let lists = vec![FieldPath("lines.line".to_owned())];
    shop.format = of(FormatKind::Xml(Xml { lists }));
    shop.take(
        "<orders><order id='1'><lines><line sku='a'>1</line></lines></order><total>2</total>\
         <order id='2'><lines><line sku='b'>2</line><line sku='c'>3</line></lines></order></orders>",
    )
    .await;
    assert_eq!(shop.values(TABLE, &["id"]).await, ["1", "2"]);
    assert_eq!(
        shop.values("orders__lines_line", &["c__sku", "c__text"])
            .await,
        ["a 1", "b 2", "c 3"]
    );
}
