//! Structs and lists as JSON: what `jsonb` takes, which has no character of code 0.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType,
};
use serde_json::Value;
use std::fmt::Write;

/// Writes a value as JSON text; says so where it has a type that Millrace's tables do not have in structs and lists.
pub fn write(array: &ArrayRef, row: usize, out: &mut String) -> Result<(), &'static str> {
    if array.is_null(row) {
        out.push_str("null");
        return Ok(());
    }
    match array.data_type() {
        DataType::Struct(fields) => {
            out.push('{');
            let columns = array.as_struct().columns();
            for (place, (field, column)) in fields.iter().zip(columns).enumerate() {
                separate(place, out);
                text(field.name(), out);
                out.push(':');
                write(column, row, out)?;
            }
            out.push('}');
        }
        DataType::List(_) => {
            out.push('[');
            let elements = array.as_list::<i32>().value(row);
            for place in 0..elements.len() {
                separate(place, out);
                write(&elements, place, out)?;
            }
            out.push(']');
        }
        _ => scalar(array, row, out)?,
    }
    Ok(())
}

fn scalar(array: &ArrayRef, row: usize, out: &mut String) -> Result<(), &'static str> {
    // Writing into a text cannot fail.
    let _ = match array.data_type() {
        DataType::Utf8 => {
            text(array.as_string::<i32>().value(row), out);
            Ok(())
        }
        DataType::Int64 => write!(out, "{}", array.as_primitive::<Int64Type>().value(row)),
        DataType::Float64 => {
            let value = array.as_primitive::<Float64Type>().value(row);
            write!(out, "{}", Value::from(value))
        }
        DataType::Boolean => write!(out, "{}", array.as_boolean().value(row)),
        DataType::Decimal128(..) => {
            let value = array.as_primitive::<Decimal128Type>().value_as_string(row);
            write!(out, "{value}")
        }
        DataType::Date32 => match array.as_primitive::<Date32Type>().value_as_date(row) {
            Some(date) => write!(out, "\"{date}\""),
            None => return Err("holds a date that PostgreSQL has no room for"),
        },
        DataType::Timestamp(..) => {
            let moments = array.as_primitive::<TimestampMicrosecondType>();
            match moments.value_as_datetime(row) {
                Some(moment) => write!(out, "\"{}Z\"", moment.format("%Y-%m-%dT%H:%M:%S%.f")),
                None => return Err("holds a moment that PostgreSQL has no room for"),
            }
        }
        _ => return Err("has a type in it that cannot be published"),
    };
    Ok(())
}

fn separate(place: usize, out: &mut String) {
    if place > 0 {
        out.push(',');
    }
}

/// A text; a character of code 0, which `jsonb` does not take, becomes U+FFFD, the sign for what cannot be shown.
fn text(value: &str, out: &mut String) {
    let quoted = if value.contains('\0') {
        Value::from(value.replace('\0', "\u{fffd}"))
    } else {
        Value::from(value)
    };
    // Writing into a text cannot fail.
    let _ = write!(out, "{quoted}");
}
