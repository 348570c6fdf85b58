//! The rows of the table: orders, some of one moment, some without one.

use crate::place::START;
use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, Int64Builder,
    ListBuilder, RecordBatch, StringArray, StructArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field};
use std::collections::BTreeMap;
use std::sync::Arc;

pub const DAY: i64 = 86_400;
pub const MICROS: i64 = 1_000_000;

/// A row's name and number.
pub type Id = (&'static str, i64);
/// Its moment in microseconds, and its weight.
pub type Order = (Option<i64>, i64);
pub type Orders = BTreeMap<Id, Order>;

/// Names that collations and bytes order differently.
pub const NAMES: [&str; 4] = ["a", "B", "é", "z"];

/// The rows as the lake has them; what a row says beyond its moment and its weight follows from its number.
pub fn batch(orders: &Orders) -> RecordBatch {
    let ids = || orders.keys().map(|(_, id)| *id);
    let moments: Vec<Option<i64>> = orders.values().map(|(at, _)| *at).collect();
    let weights = orders.values().map(|(_, weight)| *weight as f64 / 2.0);
    let prices: Decimal128Array = ids()
        .map(|id| (id % 4 != 3).then_some(i128::from(id) * 150 - 125))
        .collect();
    let mut tags = ListBuilder::new(Int64Builder::new());
    for id in ids() {
        tags.append_option((id % 3 != 1).then(|| vec![Some(id), None]));
    }
    let cities: StringArray = ids()
        .map(|id| (id % 2 == 0).then(|| format!("city \"{id}\", north")))
        .collect();
    let floors: Int64Array = ids().map(Some).collect();
    let place: [(Arc<Field>, ArrayRef); 2] = [
        (
            Arc::new(Field::new("city", DataType::Utf8, true)),
            Arc::new(cities),
        ),
        (
            Arc::new(Field::new("floor", DataType::Int64, true)),
            Arc::new(floors),
        ),
    ];
    let columns: [(&str, ArrayRef); 9] = [
        ("id", Arc::new(Int64Array::from_iter_values(ids()))),
        (
            "name",
            Arc::new(StringArray::from_iter_values(
                orders.keys().map(|(name, _)| *name),
            )),
        ),
        (
            "at",
            Arc::new(TimestampMicrosecondArray::from(moments).with_timezone("UTC")),
        ),
        ("weight", Arc::new(Float64Array::from_iter_values(weights))),
        (
            "price",
            Arc::new(prices.with_precision_and_scale(12, 2).unwrap()),
        ),
        (
            "paid",
            Arc::new(
                ids()
                    .map(|id| (id % 5 != 4).then_some(id % 2 == 1))
                    .collect::<BooleanArray>(),
            ),
        ),
        (
            "day",
            Arc::new(
                ids()
                    .map(|id| (id % 3 != 0).then_some(id as i32 * 400))
                    .collect::<Date32Array>(),
            ),
        ),
        ("tags", Arc::new(tags.finish())),
        ("place", Arc::new(StructArray::from(place.to_vec()))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true)))
        .unwrap()
}

/// Rows on both sides of the boundary of the first run, on it, and without a moment; some of one moment.
pub fn orders() -> Orders {
    let moments = [
        Some(-3 * DAY * MICROS),
        Some(-DAY * MICROS - 1),
        Some(-DAY * MICROS),
        Some(-DAY * MICROS + 1),
        Some(0),
        None,
    ];
    let mut orders = Orders::new();
    for name in NAMES {
        for (id, moment) in moments.into_iter().enumerate() {
            let at = moment.map(|moment| START * MICROS + moment);
            orders.insert((name, id as i64), (at, id as i64));
        }
    }
    orders
}
