//! The same rows in PostgreSQL and in Redis, there as documents and as hashes: one lookup has one answer.

use crate::support::Place;
use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array,
    Int64Builder, ListBuilder, RecordBatch, StringArray, StructArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Fields};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

const PUBLISH: &str = "
  - { table: orders, to: operational_store, as: sales.orders }
  - { table: orders, to: redis, as: sales.documents, key: 'd:{id}:{price}:{day}:{at}:{paid}' }
  - { table: orders, to: redis, as: sales.hashes, key: 'h:{id}:{price}:{day}:{at}:{paid}', form: hash }
";

const PARAMS: &str = "[{ name: id, type: string, list: true }, { name: price, type: decimal }, { name: day, type: date }, \
     { name: at, type: timestamp }, { name: paid, type: bool }]";

/// The same route over each.
fn endpoint() -> String {
    let query = "SELECT * FROM sales.orders WHERE id = ANY(:id) AND price = :price AND day = :day AND at = :at \
         AND paid = :paid ORDER BY id";
    let reads = [
        (
            "store",
            format!("datasource: operational_store\n    query: {query}"),
        ),
        (
            "documents",
            "datasource: redis\n    key: 'd:{id}:{price}:{day}:{at}:{paid}'".to_owned(),
        ),
        (
            "hashes",
            "datasource: redis\n    key: 'h:{id}:{price}:{day}:{at}:{paid}'".to_owned(),
        ),
    ];
    let routes =
        reads.map(|(name, reads)| format!("  /{name}/all:\n    {reads}\n    params: {PARAMS}\n"));
    format!(
        "metadata: {{ name: same, description: The same }}\nroutes:\n{}",
        routes.concat()
    )
}

#[derive(Clone, Debug)]
struct Row {
    id: String,
    /// In hundredths.
    price: i128,
    day: i32,
    at: i64,
    paid: bool,
    name: Option<String>,
    weight: Option<f64>,
    raw: Option<Vec<u8>>,
    more: Option<String>,
    tags: Option<Vec<Option<i64>>>,
    place: Option<(Option<String>, Option<f64>)>,
}

fn row() -> impl Strategy<Value = Row> {
    (
        (
            prop_oneof!["[a-c:/ %é\"]{1,4}", Just("*".to_owned())],
            prop_oneof![0..500i128, -(10i128.pow(19))..10i128.pow(19)],
            -200_000..300_000i32,
            -400_000_000_000_000..2_000_000_000_000_000i64,
            any::<bool>(),
            prop::option::weighted(0.8, "[ab]{0,2}|a\"b|é,\n|\u{0}x"),
        ),
        (
            prop::option::weighted(
                0.8,
                prop_oneof![
                    -2.0..2.0f64,
                    Just(0.5),
                    Just(1e300),
                    Just(-0.0),
                    Just(f64::NAN)
                ],
            ),
            prop::option::weighted(0.8, prop::collection::vec(any::<u8>(), 0..5)),
            prop::option::weighted(
                0.6,
                prop_oneof![
                    Just("{\"a\": [1, null]}".to_owned()),
                    Just("7".to_owned()),
                    Just("null".to_owned())
                ],
            ),
            prop::option::weighted(0.7, prop::collection::vec(prop::option::of(-9..9i64), 0..3)),
            prop::option::weighted(
                0.7,
                (
                    prop::option::of("[a-c]{1,2}"),
                    prop::option::of(-1.0..1.0f64),
                ),
            ),
        ),
    )
        .prop_map(
            |((id, price, day, at, paid, name), (weight, raw, more, tags, place))| Row {
                id,
                price,
                day,
                at,
                paid,
                name,
                weight,
                raw,
                more,
                tags,
                place,
            },
        )
}

fn batch(rows: &[Row]) -> RecordBatch {
    let prices = Decimal128Array::from_iter_values(rows.iter().map(|row| row.price));
    let moments = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| row.at));
    let mut tags = ListBuilder::new(Int64Builder::new());
    for row in rows {
        tags.append_option(row.tags.clone());
    }
    let towns = rows.iter().map(|row| row.place.as_ref()?.0.as_deref());
    let heights = rows.iter().map(|row| row.place.as_ref()?.1);
    let fields = Fields::from(vec![
        Field::new("town", DataType::Utf8, true),
        Field::new("height", DataType::Float64, true),
    ]);
    let inner: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter(towns)),
        Arc::new(Float64Array::from_iter(heights)),
    ];
    let places = StructArray::new(
        fields,
        inner,
        Some(rows.iter().map(|row| row.place.is_some()).collect()),
    );
    let columns: Vec<(&str, ArrayRef)> = vec![
        (
            "id",
            Arc::new(StringArray::from_iter_values(
                rows.iter().map(|row| &row.id),
            )),
        ),
        (
            "price",
            Arc::new(prices.with_precision_and_scale(20, 2).unwrap()),
        ),
        (
            "day",
            Arc::new(Date32Array::from_iter_values(
                rows.iter().map(|row| row.day),
            )),
        ),
        ("at", Arc::new(moments.with_timezone("UTC"))),
        (
            "paid",
            Arc::new(BooleanArray::from_iter(
                rows.iter().map(|row| Some(row.paid)),
            )),
        ),
        (
            "number",
            Arc::new(Int64Array::from_iter_values((0_i64..).take(rows.len()))),
        ),
        (
            "name",
            Arc::new(StringArray::from_iter(
                rows.iter().map(|row| row.name.as_deref()),
            )),
        ),
        (
            "weight",
            Arc::new(Float64Array::from_iter(rows.iter().map(|row| row.weight))),
        ),
        (
            "raw",
            Arc::new(BinaryArray::from_iter(
                rows.iter().map(|row| row.raw.as_deref()),
            )),
        ),
        (
            "more",
            Arc::new(StringArray::from_iter(
                rows.iter().map(|row| row.more.as_deref()),
            )),
        ),
        ("tags", Arc::new(tags.finish())),
        ("place", Arc::new(places)),
    ];
    let columns = columns
        .into_iter()
        .map(|(name, values)| (name, values, true));
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

/// A value with each of its bytes escaped.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        write!(out, "%{byte:02X}").unwrap();
        out
    })
}

/// The query strings that ask for these rows, and for some that are not there.
fn queries(rows: &[Row]) -> Vec<String> {
    let query = |row: &Row, id: &str| {
        let at = jiff::Timestamp::from_microsecond(row.at).unwrap();
        let day = jiff::civil::date(1970, 1, 1)
            .checked_add(jiff::Span::new().days(row.day))
            .unwrap();
        let sign = if row.price < 0 { "-" } else { "" };
        let price = row.price.unsigned_abs();
        let price = format!("{sign}{}.{:02}", price / 100, price % 100);
        format!(
            "id={}&price={price}&day={day}&at={at}&paid={}",
            encoded(id),
            row.paid
        )
    };
    let mut queries: Vec<String> = rows.iter().map(|row| query(row, &row.id)).collect();
    queries.push(query(&rows[0], "nobody"));
    queries.push(query(&rows[0], &format!("nobody,{}", rows[0].id)));
    queries.push(query(&rows[0], &rows[0].id).replace("price=", "price=x"));
    queries.push(
        query(&rows[0], &rows[0].id)
            .replace("&paid=true", "")
            .replace("&paid=false", ""),
    );
    queries.retain(|query| !query.contains("id=&"));
    queries
}

/// A body that can be compared: what is nested stands in PostgreSQL in a form of its own, with other blanks.
fn comparable(status: u16, body: &[u8]) -> (u16, Value) {
    let mut body: Value = serde_json::from_slice(body)
        .unwrap_or_else(|_| String::from_utf8_lossy(body).replace(' ', "").into());
    // The problem's `instance` and the like may name the route.
    let text = body
        .to_string()
        .replace("/documents/", "/store/")
        .replace("/hashes/", "/store/");
    body = serde_json::from_str(&text).unwrap();
    (status, body)
}

#[tokio::test]
async fn all_answer_the_same() {
    let is_long = std::env::var("MILLRACE_TEST_LENGTH").is_ok_and(|length| length == "long");
    let mut place = Place::new("id, price, day, at, paid", PUBLISH, &endpoint(), true).await;
    let mut runner = TestRunner::deterministic();
    for _ in 0..(if is_long { 30 } else { 3 }) {
        let rows = prop::collection::vec(row(), 1..20);
        let mut rows = rows.new_tree(&mut runner).unwrap().current();
        rows.sort_by(|left, right| left.id.cmp(&right.id));
        rows.dedup_by(|left, right| left.id == right.id);
        // A comma parts the values of a list.
        place.put(&batch(&rows)).await;
        for step in [
            "sales.orders",
            "redis:sales.documents",
            "redis:sales.hashes",
        ] {
            place.publish(step).await.unwrap();
        }
        place.new_version_is_seen().await;
        for accept in ["application/json", "text/csv", "application/x-ndjson"] {
            let mut differ = BTreeMap::new();
            for query in queries(&rows) {
                let (status, store) = place.ask(&format!("/store/all?{query}"), accept).await;
                let store = comparable(status, &store);
                for name in ["documents", "hashes"] {
                    let (status, body) = place.ask(&format!("/{name}/all?{query}"), accept).await;
                    let redis = comparable(status, &body);
                    if store != redis {
                        differ.insert(format!("{name} {query}"), (store.clone(), redis));
                    }
                }
            }
            assert!(differ.is_empty(), "{accept} {rows:#?}\n{differ:#?}");
        }
        // Both are columns, and both are Redis's: PostgreSQL's lists and structs are JSON with other blanks.
        for accept in [
            "application/vnd.apache.arrow.stream",
            "application/vnd.apache.parquet",
        ] {
            let query = &queries(&rows)[0];
            let documents = place.ask(&format!("/documents/all?{query}"), accept).await;
            assert_eq!(
                documents.0,
                200,
                "{}",
                String::from_utf8_lossy(&documents.1)
            );
            assert_eq!(
                documents,
                place.ask(&format!("/hashes/all?{query}"), accept).await
            );
        }
    }
}
