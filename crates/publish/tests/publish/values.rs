//! Every value of every type.

use crate::support::Place;
use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, RecordBatch,
    StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use millrace_lake::WriteKind;
use proptest::prelude::*;
use std::sync::Arc;

type Values = (
    Option<i64>,
    Option<f64>,
    Option<i128>,
    Option<bool>,
    Option<i32>,
    Option<i64>,
    Option<String>,
);

fn values() -> impl Strategy<Value = Vec<Values>> {
    let value = (
        prop::option::of(any::<i64>()),
        prop::option::of(any::<f64>()),
        prop::option::of(prop_oneof![
            -9_999_999_999_999_999_999i128..=9_999_999_999_999_999_999,
            -20_000i128..20_000
        ]),
        prop::option::of(any::<bool>()),
        prop::option::of(-700_000..2_000_000i32),
        prop::option::of(-62_000_000_000_000_000i64..200_000_000_000_000_000),
        prop::option::of(any::<String>()),
    );
    prop::collection::vec(value, 1..60)
}

/// Every value that a table may hold comes to PostgreSQL as it is.
#[test]
fn values_stay_what_they_are() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let place = std::cell::RefCell::new(runtime.block_on(Place::new()));
    let input = runtime.block_on(place.borrow().input("append", &[]));
    let scales = [(38u8, 0i8), (38, 3), (38, 10), (20, 4), (38, 19)];
    let mut fields = vec![
        Field::new("id", DataType::Int64, true),
        Field::new("f", DataType::Float64, true),
        Field::new("b", DataType::Boolean, true),
        Field::new("d", DataType::Date32, true),
        Field::new(
            "at",
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            true,
        ),
        Field::new("name", DataType::Utf8, true),
        Field::new("row", DataType::Int64, true),
    ];
    for (precision, scale) in scales {
        fields.push(Field::new(
            format!("n{scale}"),
            DataType::Decimal128(precision, scale),
            true,
        ));
    }
    let schema = Arc::new(Schema::new(fields));
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 12,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    runner
        .run(&values(), |values| {
            let column = |scale: (u8, i8)| -> ArrayRef {
                let numbers = Decimal128Array::from_iter(values.iter().map(|value| value.2));
                Arc::new(numbers.with_precision_and_scale(scale.0, scale.1).unwrap())
            };
            let mut columns: Vec<ArrayRef> = vec![
                Arc::new(Int64Array::from_iter(values.iter().map(|value| value.0))),
                Arc::new(Float64Array::from_iter(values.iter().map(|value| value.1))),
                Arc::new(BooleanArray::from_iter(values.iter().map(|value| value.3))),
                Arc::new(Date32Array::from_iter(values.iter().map(|value| value.4))),
                Arc::new(TimestampMicrosecondArray::from_iter(values.iter().map(|value| value.5)).with_timezone("UTC")),
                Arc::new(StringArray::from_iter(values.iter().map(|value| value.6.as_deref()))),
                Arc::new(Int64Array::from_iter_values(0..values.len() as i64)),
            ];
            columns.extend(scales.iter().map(|scale| column(*scale)));
            let batch = RecordBatch::try_new(schema.clone(), columns).unwrap();
            let found = runtime.block_on(async {
                let mut place = place.borrow_mut();
                place.write(WriteKind::Replace, &batch).await;
                place.published(&input).await;
                let sql = "SELECT id, f, b, (d - '1970-01-01')::int4, (extract(epoch FROM at) * 1000000)::int8, name,
                           n0::text, n3::text, n10::text, n4::text, n19::text FROM sales.orders ORDER BY row";
                place.client.query(sql, &[]).await.unwrap()
            });
            prop_assert_eq!(found.len(), values.len());
            for (row, value) in found.iter().zip(&values) {
                prop_assert_eq!(row.get::<_, Option<i64>>(0), value.0);
                prop_assert_eq!(row.get::<_, Option<f64>>(1).map(f64::to_bits), value.1.map(f64::to_bits));
                prop_assert_eq!(row.get::<_, Option<bool>>(2), value.3);
                prop_assert_eq!(row.get::<_, Option<i32>>(3), value.4);
                prop_assert_eq!(row.get::<_, Option<i64>>(4), value.5);
                let text = value.6.as_ref().map(|text| text.replace('\0', "\u{fffd}"));
                prop_assert_eq!(row.get::<_, Option<String>>(5), text);
                for (at, (_, scale)) in scales.iter().enumerate() {
                    let expected = value.2.map(|number| decimal(number, *scale as usize));
                    prop_assert_eq!(row.get::<_, Option<String>>(6 + at), expected);
                }
            }
            Ok(())
        })
        .unwrap();
}

/// A number as it is written, with that many digits behind the point.
fn decimal(number: i128, scale: usize) -> String {
    let digits = format!("{:0>1$}", number.unsigned_abs(), scale + 1);
    let (whole, behind) = digits.split_at(digits.len() - scale);
    let sign = if number < 0 { "-" } else { "" };
    if scale == 0 {
        format!("{sign}{whole}")
    } else {
        format!("{sign}{whole}.{behind}")
    }
}
