//! What becomes of rows, by the way in which their table was written.

use crate::support::{Place, owned, rows, schema};
use arrow::array::{ArrayRef, Date32Array, Decimal128Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field};
use millrace_lake::WriteKind;
use millrace_model::FailureName;
use millrace_postgres::connect;
use std::sync::Arc;

#[tokio::test]
async fn lists_and_structs_are_published_as_jsonb() {
    use arrow::array::{Array, ListArray, StructArray};
    use arrow::datatypes::Int64Type;
    let mut place = Place::new().await;
    let input = place.input("upsert", &[]).await;
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let names: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
    let numbers =
        ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), None]), None]);
    let element = Arc::new(Field::new("element", DataType::Int64, true));
    let (_, offsets, values, nulls) = numbers.into_parts();
    let numbers: ArrayRef = Arc::new(ListArray::new(element, offsets, values, nulls));
    let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("nul \0 \"quoted\""), None]));
    let sums: ArrayRef = Arc::new(
        Decimal128Array::from(vec![Some(1250), Some(-5)])
            .with_precision_and_scale(20, 2)
            .unwrap(),
    );
    let days: ArrayRef = Arc::new(Date32Array::from(vec![1, 2]));
    let field =
        |name: &str, array: &ArrayRef| Arc::new(Field::new(name, array.data_type().clone(), true));
    let objects: ArrayRef = Arc::new(StructArray::from(vec![
        (field("text", &texts), texts.clone()),
        (field("sum", &sums), sums.clone()),
        (field("day", &days), days.clone()),
    ]));
    let columns = [
        ("id", ids),
        ("name", names),
        ("list", numbers),
        ("object", objects),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.map(|(name, column)| (name, column, true)),
    )
    .unwrap();
    place.write(WriteKind::Upsert, &batch).await;
    place.published(&input).await;
    let sql = "SELECT list::text, object::text FROM sales.orders ORDER BY id";
    let found = place.client.query(sql, &[]).await.unwrap();
    let found: Vec<(Option<String>, String)> =
        found.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(
        found,
        [
            (
                Some("[1, null]".to_owned()),
                r#"{"day": "1970-01-02", "sum": 12.50, "text": "nul � \"quoted\""}"#.to_owned()
            ),
            (
                None,
                r#"{"day": "1970-01-03", "sum": -0.05, "text": null}"#.to_owned()
            )
        ]
    );
    // The same row once more is no change.
    place.write(WriteKind::Upsert, &batch).await;
    assert_eq!(place.published(&input).await["rows_updated"], 0);
}

#[tokio::test]
async fn an_upserted_table_is_merged() {
    let mut place = Place::new().await;
    let input = place
        .input(
            "upsert",
            &["SELECT id, name FROM sales.orders WHERE name = :x"],
        )
        .await;
    assert_eq!(
        place.published(&input).await["rows"],
        0,
        "there is no table yet"
    );

    let schema = schema(&[]);
    place
        .write(WriteKind::Upsert, &rows(&schema, &[(1, "a"), (2, "b")]))
        .await;
    let counts = place.published(&input).await;
    assert_eq!(
        (
            counts["rows"],
            counts["rows_inserted"],
            counts["version"],
            counts["indexes"]
        ),
        (2, 2, 0, 1)
    );
    assert_eq!(place.rows().await, owned(&[(1, "a"), (2, "b")]));
    assert_eq!(place.indexes().await, ["(id)", "(name)"]);

    // The same once more does nothing.
    let note = "SELECT version, run, published_at::text, xmin::text FROM millrace.published";
    let note = async |place: &Place| {
        let row = place.client.query_one(note, &[]).await.unwrap();
        (
            row.get::<_, i64>(0),
            row.get::<_, String>(1),
            row.get::<_, String>(2),
            row.get::<_, String>(3),
        )
    };
    let before = note(&place).await;
    assert_eq!(place.published(&input).await["rows"], 0);
    assert_eq!(note(&place).await, before);
    assert_eq!(before.1, input.run.as_str());

    // Of what was written since, one row is new, one is another, one is the same.
    let oid = "SELECT 'sales.orders'::regclass::oid";
    let table = place
        .client
        .query_one(oid, &[])
        .await
        .unwrap()
        .get::<_, u32>(0);
    let first = place.shop.files().await;
    let changed = rows(&schema, &[(2, "B"), (1, "a"), (3, "c")]);
    let shop = &mut place.shop;
    shop.commit(WriteKind::Upsert, &changed, &first).await;
    let counts = place.published(&input).await;
    assert_eq!(
        (
            counts["rows"],
            counts["rows_inserted"],
            counts["rows_updated"]
        ),
        (3, 1, 1)
    );
    assert_eq!(place.rows().await, owned(&[(1, "a"), (2, "B"), (3, "c")]));
    assert_eq!(
        place
            .client
            .query_one(oid, &[])
            .await
            .unwrap()
            .get::<_, u32>(0),
        table,
        "merged, not replaced"
    );
}

#[tokio::test]
async fn an_appended_table_gets_what_is_new() {
    let mut place = Place::new().await;
    let input = place.input("append", &[]).await;
    let schema = schema(&[]);
    for batch in [[(1, "a"), (1, "a")], [(2, "b"), (1, "a")]] {
        place.write(WriteKind::Append, &rows(&schema, &batch)).await;
        for expected in [2, 0] {
            assert_eq!(place.published(&input).await["rows"], expected);
        }
    }
    assert_eq!(
        place.rows().await,
        owned(&[(1, "a"), (1, "a"), (1, "a"), (2, "b")])
    );
}

#[tokio::test]
async fn a_replaced_table_takes_the_place_of_the_old_one() {
    let mut place = Place::new().await;
    let input = place
        .input("replace", &["SELECT id FROM sales.orders WHERE name = :x"])
        .await;
    let schema = schema(&[]);
    place
        .write(WriteKind::Replace, &rows(&schema, &[(1, "a"), (2, "b")]))
        .await;
    place.published(&input).await;
    // Somebody else was given a look; that stays.
    let owner = connect(&place.owner, "test").await.unwrap();
    owner
        .batch_execute("GRANT SELECT ON sales.orders TO PUBLIC")
        .await
        .unwrap();
    place
        .write(WriteKind::Replace, &rows(&schema, &[(3, "c")]))
        .await;
    place.published(&input).await;
    assert_eq!(place.rows().await, owned(&[(3, "c")]));
    assert_eq!(place.indexes().await, ["(id)", "(name)"]);
    let public = "SELECT count(*) FROM pg_class, aclexplode(relacl) AS a WHERE oid = 'sales.orders'::regclass AND a.grantee = 0";
    assert_eq!(
        place
            .client
            .query_one(public, &[])
            .await
            .unwrap()
            .get::<_, i64>(0),
        1
    );
    let comment = "SELECT obj_description('sales.orders'::regclass)";
    let comment: String = place.client.query_one(comment, &[]).await.unwrap().get(0);
    assert!(comment.starts_with("It's a \"shop\"."), "{comment}");

    // Two rows of one key are told, and the old rows stay.
    place
        .write(WriteKind::Replace, &rows(&schema, &[(4, "d"), (4, "e")]))
        .await;
    let failure = place.run(&input).await.unwrap_err();
    assert_eq!(failure.name, FailureName::BadData, "{failure}");
    assert!(
        failure.message.contains("sales.orders") && failure.message.contains("(id)"),
        "{failure}"
    );
    assert_eq!(place.rows().await, owned(&[(3, "c")]));
}

#[tokio::test]
async fn columns_that_come_make_the_table_anew() {
    let mut place = Place::new().await;
    let input = place.input("upsert", &[]).await;
    place
        .write(WriteKind::Upsert, &rows(&schema(&[]), &[(1, "a")]))
        .await;
    place.published(&input).await;
    place
        .write(
            WriteKind::Upsert,
            &rows(&schema(&["more"]), &[(2, "[1, 2]")]),
        )
        .await;
    place.published(&input).await;
    assert_eq!(place.rows().await, owned(&[(1, "a"), (2, "[1, 2]")]));
    let sql = "SELECT (more -> 1)::text, pg_typeof(more)::text FROM sales.orders WHERE id = 2";
    let row = place.client.query_one(sql, &[]).await.unwrap();
    assert_eq!(
        (row.get::<_, &str>(0), row.get::<_, &str>(1)),
        ("2", "json")
    );
    // JSON can be merged as well.
    place
        .write(WriteKind::Upsert, &rows(&schema(&["more"]), &[(3, "{}")]))
        .await;
    assert_eq!(place.published(&input).await["rows_inserted"], 1);
}
