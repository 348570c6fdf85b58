//! JSON, CSV and cursors from Arrow's values.
//!
//! The same conventions as from PostgreSQL: decimals with all their digits, what JSON has no number for is null, moments
//! are RFC 3339 in UTC with `Z`, bytes are base64.

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, ListArray, PrimitiveArray,
    StringArray, new_null_array,
};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use millrace_serve::source::{self, Cell, Digits, Kind, csv_of_json, csv_text};
use std::io::Write as _;
use std::sync::Arc;

/// A value that cannot be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unwritten(pub String);

/// What a column's values are to a consumer; none where they cannot be written.
pub fn kind(of: &DataType, is_json: bool) -> Option<Kind> {
    Some(match of {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View if is_json => Kind::Json,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Kind::Text,
        DataType::Boolean => Kind::Bool,
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16 => {
            Kind::Int32
        }
        DataType::Int64 | DataType::UInt32 | DataType::UInt64 => Kind::Int64,
        DataType::Float32 => Kind::Float,
        DataType::Float64 => Kind::Double,
        DataType::Decimal128(precision, scale) => Kind::Decimal(Some(Digits {
            precision: *precision,
            scale: *scale,
        })),
        DataType::Date32 => Kind::Date,
        DataType::Timestamp(_, Some(_)) => Kind::Timestamp,
        DataType::Timestamp(_, None) => Kind::LocalTimestamp,
        DataType::Binary => Kind::Bytes,
        DataType::List(member) => Kind::List(Box::new(kind(member.data_type(), false)?)),
        DataType::Struct(fields) => {
            let all = fields.iter().map(|field| kind(field.data_type(), false));
            all.collect::<Option<Vec<_>>>()?;
            Kind::Json
        }
        _ => return None,
    })
}

/// A value as it is. A struct is JSON.
pub fn cell(array: &dyn Array, row: usize) -> Result<Cell<'_>, Unwritten> {
    if array.is_null(row) {
        return Ok(Cell::Null);
    }
    as_it_is(array, row).ok_or_else(|| Unwritten(array.data_type().to_string()))
}

fn as_it_is(array: &dyn Array, row: usize) -> Option<Cell<'_>> {
    if let Some(text) = text(array, row) {
        return Some(Cell::Text(text.into()));
    }
    Some(match array.data_type() {
        DataType::Boolean => Cell::Bool(array.as_boolean().value(row)),
        DataType::Float32 => Cell::Float(number::<Float32Type>(array, row)),
        DataType::Float64 => Cell::Double(number::<Float64Type>(array, row)),
        DataType::Decimal128(..) => {
            let value = array.as_primitive::<Decimal128Type>().value_as_string(row);
            Cell::Decimal(value.into())
        }
        DataType::Date32 => Cell::Date(number::<Date32Type>(array, row)),
        DataType::Timestamp(unit, _) => Cell::Timestamp(micros(array, row, *unit)?),
        DataType::Binary => Cell::Bytes(array.as_binary::<i32>().value(row).into()),
        DataType::List(_) => Cell::List(members(array.as_list::<i32>(), row)?),
        DataType::Struct(_) => {
            let mut out = Vec::new();
            object(array, row, &mut out)?;
            Cell::Text(String::from_utf8(out).ok()?.into())
        }
        _ => Cell::Int(whole(array, row)?),
    })
}

/// The members of a list.
fn members(lists: &ListArray, row: usize) -> Option<Vec<Cell<'_>>> {
    let offsets = lists.value_offsets();
    let range = offsets[row] as usize..offsets[row + 1] as usize;
    let member = |at| cell(lists.values(), at).ok();
    range.map(member).collect()
}

/// Appends a value as JSON; `is_json` says that its text is JSON already.
pub fn json(
    array: &dyn Array,
    row: usize,
    is_json: bool,
    out: &mut Vec<u8>,
) -> Result<(), Unwritten> {
    if array.is_null(row) {
        out.extend_from_slice(b"null");
        return Ok(());
    }
    written(array, row, is_json, out).ok_or_else(|| Unwritten(array.data_type().to_string()))
}

/// Appends a value as a field of CSV.
pub fn csv(
    array: &dyn Array,
    row: usize,
    is_json: bool,
    out: &mut Vec<u8>,
) -> Result<(), Unwritten> {
    if array.is_null(row) {
        return Ok(());
    }
    if let Some(text) = text(array, row).filter(|_| !is_json) {
        csv_text(text, out);
        return Ok(());
    }
    let mut value = Vec::with_capacity(32);
    json(array, row, is_json, &mut value)?;
    let keeps_quotes = is_json || array.data_type().is_nested();
    csv_of_json(&value, keeps_quotes, out).ok_or_else(|| Unwritten(array.data_type().to_string()))
}

fn text(array: &dyn Array, row: usize) -> Option<&str> {
    Some(match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().value(row),
        DataType::LargeUtf8 => array.as_string::<i64>().value(row),
        DataType::Utf8View => array.as_string_view().value(row),
        _ => return None,
    })
}

fn written(array: &dyn Array, row: usize, is_json: bool, out: &mut Vec<u8>) -> Option<()> {
    if let Some(text) = text(array, row) {
        if is_json {
            out.extend_from_slice(text.as_bytes());
            return Some(());
        }
        return serde_json::to_writer(out, text).ok();
    }
    match array.data_type() {
        DataType::Boolean if array.as_boolean().value(row) => out.extend_from_slice(b"true"),
        DataType::Boolean => out.extend_from_slice(b"false"),
        DataType::Float32 => serde_json::to_writer(out, &number::<Float32Type>(array, row)).ok()?,
        DataType::Float64 => serde_json::to_writer(out, &number::<Float64Type>(array, row)).ok()?,
        DataType::Decimal128(..) => {
            let value = array.as_primitive::<Decimal128Type>().value_as_string(row);
            out.extend_from_slice(value.as_bytes());
        }
        DataType::Date32 => source::date(number::<Date32Type>(array, row).into(), out)?,
        DataType::Timestamp(unit, zone) => {
            let zone = if zone.is_some() { "Z" } else { "" };
            source::timestamp(micros(array, row, *unit)?, zone, out)?;
        }
        DataType::Binary => {
            let bytes = array.as_binary::<i32>().value(row);
            write!(out, "\"{}\"", STANDARD.encode(bytes)).ok()?;
        }
        DataType::List(_) => list(&array.as_list::<i32>().value(row), out)?,
        DataType::Struct(_) => object(array, row, out)?,
        DataType::UInt64 => {
            serde_json::to_writer(out, &number::<UInt64Type>(array, row)).ok()?;
        }
        _ => serde_json::to_writer(out, &whole(array, row)?).ok()?,
    }
    Some(())
}

fn list(members: &ArrayRef, out: &mut Vec<u8>) -> Option<()> {
    out.push(b'[');
    for at in 0..members.len() {
        if at > 0 {
            out.push(b',');
        }
        json(members, at, false, out).ok()?;
    }
    out.push(b']');
    Some(())
}

fn object(array: &dyn Array, row: usize, out: &mut Vec<u8>) -> Option<()> {
    let array = array.as_struct();
    out.push(b'{');
    for (at, (name, values)) in array.column_names().iter().zip(array.columns()).enumerate() {
        if at > 0 {
            out.push(b',');
        }
        serde_json::to_writer(&mut *out, name).ok()?;
        out.push(b':');
        json(values, row, false, out).ok()?;
    }
    out.push(b'}');
    Some(())
}

fn number<T: ArrowPrimitiveType>(array: &dyn Array, row: usize) -> T::Native {
    array.as_primitive::<T>().value(row)
}

/// A whole number of any width up to 64 bits with a sign.
fn whole(array: &dyn Array, row: usize) -> Option<i64> {
    Some(match array.data_type() {
        DataType::Int8 => number::<Int8Type>(array, row).into(),
        DataType::Int16 => number::<Int16Type>(array, row).into(),
        DataType::Int32 => number::<Int32Type>(array, row).into(),
        DataType::Int64 => number::<Int64Type>(array, row),
        DataType::UInt8 => number::<UInt8Type>(array, row).into(),
        DataType::UInt16 => number::<UInt16Type>(array, row).into(),
        DataType::UInt32 => number::<UInt32Type>(array, row).into(),
        _ => return None,
    })
}

fn micros(array: &dyn Array, row: usize, unit: TimeUnit) -> Option<i64> {
    Some(match unit {
        TimeUnit::Second => number::<TimestampSecondType>(array, row).checked_mul(1_000_000)?,
        TimeUnit::Millisecond => {
            number::<TimestampMillisecondType>(array, row).checked_mul(1000)?
        }
        TimeUnit::Microsecond => number::<TimestampMicrosecondType>(array, row),
        TimeUnit::Nanosecond => number::<TimestampNanosecondType>(array, row).div_euclid(1000),
    })
}

/// Whether values of a type are ordered, and equal only where they are the same: rows that are to be told apart by others
/// are ordered by the text of these.
pub fn is_exact(of: &DataType) -> bool {
    in_cursor(of).is_some_and(|kind| kind != DataType::Float64)
}

/// The type as which a cursor holds values; none where it cannot.
pub fn in_cursor(of: &DataType) -> Option<DataType> {
    Some(match of {
        DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32 => DataType::Int64,
        DataType::Float32 | DataType::Float64 => DataType::Float64,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::Boolean | DataType::Date32 | DataType::Decimal128(..) => of.clone(),
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
        _ => return None,
    })
}

/// A value as a cursor holds it; none where it is NULL.
pub fn kept(array: &dyn Array, row: usize) -> Option<Vec<u8>> {
    if array.is_null(row) {
        return None;
    }
    Some(match array.data_type() {
        DataType::Boolean => vec![u8::from(array.as_boolean().value(row))],
        DataType::Float32 => f64::from(number::<Float32Type>(array, row))
            .to_be_bytes()
            .to_vec(),
        DataType::Float64 => number::<Float64Type>(array, row).to_be_bytes().to_vec(),
        DataType::Date32 => number::<Date32Type>(array, row).to_be_bytes().to_vec(),
        DataType::Decimal128(..) => number::<Decimal128Type>(array, row).to_be_bytes().to_vec(),
        DataType::Timestamp(unit, _) => micros(array, row, *unit)?.to_be_bytes().to_vec(),
        _ => match whole(array, row) {
            Some(number) => number.to_be_bytes().to_vec(),
            None => text(array, row)?.as_bytes().to_vec(),
        },
    })
}

/// What a cursor holds as an array of one, to be bound as that type; none where it is no value of it.
pub fn unkept(bytes: Option<&[u8]>, of: &DataType) -> Option<ArrayRef> {
    let Some(bytes) = bytes else {
        return Some(new_null_array(of, 1));
    };
    Some(match of {
        DataType::Boolean => Arc::new(BooleanArray::from(vec![*bytes.first()? != 0])),
        DataType::Int64 => one::<Int64Type>(i64::from_be_bytes(bytes.try_into().ok()?), of),
        DataType::Float64 => one::<Float64Type>(f64::from_be_bytes(bytes.try_into().ok()?), of),
        DataType::Date32 => one::<Date32Type>(i32::from_be_bytes(bytes.try_into().ok()?), of),
        DataType::Decimal128(..) => {
            one::<Decimal128Type>(i128::from_be_bytes(bytes.try_into().ok()?), of)
        }
        DataType::Timestamp(..) => {
            one::<TimestampMicrosecondType>(i64::from_be_bytes(bytes.try_into().ok()?), of)
        }
        _ => Arc::new(StringArray::from(vec![std::str::from_utf8(bytes).ok()?])),
    })
}

fn one<T: ArrowPrimitiveType>(value: T::Native, of: &DataType) -> ArrayRef {
    let array = PrimitiveArray::<T>::from_iter_values([value]);
    Arc::new(array.with_data_type(of.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Decimal128Array, Float64Array, Int64Array, TimestampMicrosecondArray};

    #[test]
    fn cursors_give_back_what_they_were_given() {
        let decimals = Decimal128Array::from(vec![Some(-1250), None]);
        let moments = TimestampMicrosecondArray::from(vec![Some(-1), None]).with_timezone("UTC");
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![Some(i64::MIN), None])),
            Arc::new(Float64Array::from(vec![Some(-0.5), None])),
            Arc::new(StringArray::from(vec![Some("é"), None])),
            Arc::new(BooleanArray::from(vec![Some(true), None])),
            Arc::new(decimals.with_precision_and_scale(10, 2).unwrap()),
            Arc::new(moments),
        ];
        for array in arrays {
            for row in 0..2 {
                let bytes = kept(&array, row);
                let back = unkept(bytes.as_deref(), array.data_type()).unwrap();
                assert_eq!(&back, &array.slice(row, 1));
            }
            assert!(unkept(Some(&[0xff; 3]), array.data_type()).is_none() || is_bool(&array));
        }
    }

    fn is_bool(array: &ArrayRef) -> bool {
        *array.data_type() == DataType::Boolean
    }
}
