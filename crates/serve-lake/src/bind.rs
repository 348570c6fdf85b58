//! Values that are bound: of which types they are in the lake.

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, ListArray,
    StringArray, TimestampMicrosecondArray, new_null_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::concat;
use arrow::datatypes::{DataType, Field, TimeUnit};
use millrace_model::definition::endpoint::ParamType;
use millrace_serve::source::{Bound, Decimal, Value};
use std::sync::Arc;

/// The digits of a decimal parameter, and how many of them stand behind the point.
const PRECISION: u8 = 38;
const SCALE: i8 = 18;
/// The day from which days are counted.
const EPOCH: jiff::civil::Date = jiff::civil::date(1970, 1, 1);

/// The type by which a parameter is bound.
pub fn kind(bound: Bound) -> DataType {
    let one = match bound.kind {
        ParamType::Int => DataType::Int64,
        ParamType::Double => DataType::Float64,
        ParamType::Decimal => DataType::Decimal128(PRECISION, SCALE),
        ParamType::Bool => DataType::Boolean,
        ParamType::String | ParamType::Uuid => DataType::Utf8,
        ParamType::Date => DataType::Date32,
        ParamType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
    };
    if bound.list {
        DataType::List(member(one))
    } else {
        one
    }
}

fn member(kind: DataType) -> Arc<Field> {
    Arc::new(Field::new_list_field(kind, true))
}

/// A value as an array of one, of its parameter's type. An error says what is wrong with it.
pub fn array(value: &Value, kind: &DataType) -> Result<ArrayRef, String> {
    Ok(match value {
        Value::Null => new_null_array(kind, 1),
        Value::Int(number) => Arc::new(Int64Array::from(vec![*number])),
        Value::Double(number) => Arc::new(Float64Array::from(vec![*number])),
        Value::Bool(value) => Arc::new(BooleanArray::from(vec![*value])),
        Value::Text(text) => Arc::new(StringArray::from(vec![text.as_str()])),
        Value::Uuid(uuid) => Arc::new(StringArray::from(vec![uuid.hyphenated().to_string()])),
        Value::Date(date) => Arc::new(Date32Array::from(vec![days(*date)])),
        Value::Timestamp(at) => {
            let micros = TimestampMicrosecondArray::from(vec![at.as_microsecond()]);
            Arc::new(micros.with_timezone("UTC"))
        }
        Value::Decimal(text) => {
            let digits = unscaled(text).ok_or_else(|| format!("`{text}` has too many digits"))?;
            let digits = Decimal128Array::from(vec![digits]);
            let typed = digits.with_precision_and_scale(PRECISION, SCALE);
            Arc::new(typed.map_err(|error| error.to_string())?)
        }
        Value::List(values) => list(values, kind)?,
    })
}

fn list(values: &[Value], kind: &DataType) -> Result<ArrayRef, String> {
    let DataType::List(field) = kind else {
        return Err("a list is not what the query takes".to_owned());
    };
    let members: Vec<ArrayRef> = values
        .iter()
        .map(|value| array(value, field.data_type()))
        .collect::<Result<_, _>>()?;
    let members: Vec<&dyn arrow::array::Array> = members.iter().map(AsRef::as_ref).collect();
    let offsets = OffsetBuffer::from_lengths([members.len()]);
    let members = concat(&members).map_err(|error| error.to_string())?;
    let list = ListArray::try_new(field.clone(), offsets, members, None);
    Ok(Arc::new(list.map_err(|error| error.to_string())?))
}

fn days(date: jiff::civil::Date) -> i32 {
    // Both lie within the years -9999 to 9999.
    date.since(EPOCH).map_or(0, |span| span.get_days())
}

/// A decimal's digits as a whole number; none where they do not fit.
fn unscaled(text: &str) -> Option<i128> {
    let digits = Decimal::parse(text)?.scaled(SCALE)?;
    (digits.unsigned_abs() < 10_u128.pow(PRECISION.into())).then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_keep_all_their_digits() {
        let one = 10_i128.pow(18);
        for (text, expected) in [
            ("1", Some(one)),
            ("-2.5", Some(-5 * one / 2)),
            ("0.000000000000000001", Some(1)),
            ("1e3", Some(1000 * one)),
            ("2.5e-1", Some(one / 4)),
            ("5e-3", Some(one / 200)),
            ("0.0000000000000000001", None),
            ("123456789012345678901", None),
            (
                "99999999999999999999",
                Some(99_999_999_999_999_999_999 * one),
            ),
            ("-0", Some(0)),
        ] {
            assert_eq!(unscaled(text), expected, "{text}");
        }
    }

    #[test]
    fn days_are_counted_from_1970() {
        assert_eq!(days(jiff::civil::date(1970, 1, 2)), 1);
        assert_eq!(days(jiff::civil::date(1969, 12, 31)), -1);
        assert_eq!(days(jiff::civil::date(2026, 11, 21)), 20_778);
    }
}
