//! Between which values each file's columns lie, as the log says, for files to be left out that hold nothing of what a
//! query asks for.

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, StringArray,
    TimestampMicrosecondArray, UInt64Array,
};
use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use datafusion::common::{Column, ScalarValue};
use datafusion::physical_optimizer::pruning::PruningStatistics;
use millrace_lake::DataFile;
use millrace_model::moment::{days, micros};
use serde_json::Value;
use std::collections::HashSet;
use std::sync::Arc;

/// By how much a moment's upper bound may fall short: others write bounds to the millisecond, rounded down.
const MILLISECOND: i64 = 999;

/// The statistics of a version's files, in the files' order.
#[derive(Debug)]
pub(crate) struct Bounds {
    schema: SchemaRef,
    files: Vec<Value>,
}

/// Which bound.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Least,
    Greatest,
}

impl Bounds {
    pub(crate) fn new(schema: SchemaRef, files: &[DataFile]) -> Self {
        let stats = |file: &DataFile| {
            let text = file.stats.as_deref().unwrap_or_default();
            // What cannot be read says nothing.
            serde_json::from_str(text).unwrap_or(Value::Null)
        };
        Self {
            schema,
            files: files.iter().map(stats).collect(),
        }
    }

    fn of(&self, column: &Column, side: Side) -> Option<ArrayRef> {
        let field = self.schema.field_with_name(&column.name).ok()?;
        let key = match side {
            Side::Least => "minValues",
            Side::Greatest => "maxValues",
        };
        let values = self.files.iter().map(|stats| &stats[key][&column.name]);
        Some(match field.data_type() {
            DataType::Boolean => Arc::new(values.map(Value::as_bool).collect::<BooleanArray>()),
            DataType::Int64 => Arc::new(values.map(Value::as_i64).collect::<Int64Array>()),
            DataType::Float64 => Arc::new(values.map(Value::as_f64).collect::<Float64Array>()),
            DataType::Utf8 => Arc::new(values.map(Value::as_str).collect::<StringArray>()),
            DataType::Date32 => Arc::new(
                values
                    .map(|value| days(value.as_str()?))
                    .collect::<Date32Array>(),
            ),
            DataType::Timestamp(TimeUnit::Microsecond, zone) => {
                let more = if side == Side::Greatest {
                    MILLISECOND
                } else {
                    0
                };
                let moments =
                    values.map(|value| Some(micros(value.as_str()?)?.saturating_add(more)));
                let moments: TimestampMicrosecondArray = moments.collect();
                Arc::new(moments.with_timezone_opt(zone.clone()))
            }
            DataType::Decimal128(precision, scale) => {
                let (precision, scale) = (*precision, *scale);
                let digits = values.map(|value| digits(value.as_f64()?, scale, side));
                let digits: Decimal128Array = digits.collect();
                Arc::new(digits.with_precision_and_scale(precision, scale).ok()?)
            }
            _ => return None,
        })
    }

    fn counts(&self, count: impl Fn(&Value) -> Option<u64>) -> ArrayRef {
        Arc::new(self.files.iter().map(count).collect::<UInt64Array>())
    }
}

impl PruningStatistics for Bounds {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.of(column, Side::Least)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.of(column, Side::Greatest)
    }

    fn num_containers(&self) -> usize {
        self.files.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        Some(self.counts(|stats| stats["nullCount"][&column.name].as_u64()))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(self.counts(|stats| stats["numRecords"].as_u64()))
    }

    fn contained(&self, _: &Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}

/// A decimal's digits as a whole number, rounded away from the values between the bounds: the log has them as doubles.
fn digits(number: f64, scale: i8, side: Side) -> Option<i128> {
    let scaled = number * 10_f64.powi(scale.into());
    let rounded = match side {
        Side::Least => scaled.floor(),
        Side::Greatest => scaled.ceil(),
    };
    // Beyond that, neighbouring doubles are further apart than 1.
    (rounded.abs() < 2_f64.powi(50)).then_some(rounded as i128)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::AsArray;
    use arrow::datatypes::{Decimal128Type, Field, Schema, TimestampMicrosecondType};

    fn bounds(kind: DataType, least: &str, greatest: &str) -> (ArrayRef, ArrayRef) {
        let schema = Arc::new(Schema::new(vec![Field::new("c", kind, true)]));
        let file = DataFile {
            path: "part".to_owned(),
            size: 1,
            rows: Some(1),
            stats: Some(format!(
                r#"{{"numRecords":1,"minValues":{{"c":{least}}},"maxValues":{{"c":{greatest}}},"nullCount":{{"c":0}}}}"#
            )),
        };
        let bounds = Bounds::new(schema, &[file]);
        let column = Column::from_name("c");
        (
            bounds.min_values(&column).unwrap(),
            bounds.max_values(&column).unwrap(),
        )
    }

    #[test]
    fn bounds_of_decimals_are_rounded_outwards() {
        for (written, exact) in [("0.57", 57), ("0.29", 29), ("1.1", 110), ("-0.07", -7)] {
            let (least, greatest) = bounds(DataType::Decimal128(10, 2), written, written);
            assert!(least.as_primitive::<Decimal128Type>().value(0) <= exact);
            assert!(greatest.as_primitive::<Decimal128Type>().value(0) >= exact);
        }
        let (least, _) = bounds(DataType::Decimal128(38, 2), "1e30", "1e30");
        assert_eq!(
            least.null_count(),
            1,
            "of what a double cannot tell, nothing is said"
        );
    }

    #[test]
    fn a_moment_s_upper_bound_has_room_for_what_was_cut_off() {
        let kind = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let (least, greatest) = bounds(
            kind,
            "\"2026-01-01T00:00:00.001Z\"",
            "\"2026-01-01T00:00:00.001Z\"",
        );
        let value = |array: &ArrayRef| array.as_primitive::<TimestampMicrosecondType>().value(0);
        assert_eq!(value(&greatest) - value(&least), MILLISECOND);
    }
}
