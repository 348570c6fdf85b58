//! Rows as JSON documents and as hashes. Values are written as `serve` writes those of PostgreSQL: decimals with all
//! their digits, moments as RFC 3339 has them, bytes as Base64, what JSON has no number for as null.

use crate::nested;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, TimestampMicrosecondType,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use millrace_redis::{Column, ColumnType};
use serde::de::IgnoredAny;
use serde_json::Value;

/// A value that cannot lie in Redis.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the column `{column}` {problem}")]
pub struct Unfit {
    column: String,
    problem: &'static str,
}

impl Unfit {
    /// What is wrong with a column.
    pub fn of(column: &Column, problem: &'static str) -> Self {
        Self {
            column: column.name.clone(),
            problem,
        }
    }
}

/// A row as a JSON object.
pub fn json(rows: &RecordBatch, row: usize, columns: &[Column]) -> Result<String, Unfit> {
    let mut out = String::from("{");
    for (place, column) in columns.iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        out.push_str(&Value::from(column.name.as_str()).to_string());
        out.push(':');
        match plain(rows.column(place), row, column)? {
            None => out.push_str("null"),
            Some(text) if column.kind.is_quoted() => out.push_str(&Value::from(text).to_string()),
            Some(json) => out.push_str(&json),
        }
    }
    out.push('}');
    Ok(out)
}

/// A row as the fields of a hash: those that are not NULL.
pub fn fields<'c>(
    rows: &RecordBatch,
    row: usize,
    columns: &'c [Column],
) -> Result<Vec<(&'c str, String)>, Unfit> {
    let mut fields = Vec::with_capacity(columns.len());
    for (place, column) in columns.iter().enumerate() {
        if let Some(value) = plain(rows.column(place), row, column)? {
            fields.push((column.name.as_str(), value));
        }
    }
    Ok(fields)
}

/// A value as text, without the quotes that it has in JSON; none where it is NULL or nothing that JSON has.
pub fn plain(array: &ArrayRef, row: usize, column: &Column) -> Result<Option<String>, Unfit> {
    if array.is_null(row) {
        return Ok(None);
    }
    let unfit = |problem| Unfit::of(column, problem);
    Ok(match column.kind {
        ColumnType::Text => text(array, row),
        ColumnType::Json if array.data_type().is_nested() => {
            let mut out = String::new();
            nested::write(array, row, &mut out).map_err(unfit)?;
            Some(out)
        }
        ColumnType::Json => {
            let text = text(array, row).unwrap_or_default();
            serde_json::from_str::<IgnoredAny>(&text)
                .map_err(|_| unfit("holds what is no JSON"))?;
            Some(text)
        }
        ColumnType::Int => Some(whole(array, row).to_string()),
        ColumnType::Double => {
            let value = match array.data_type() {
                DataType::Float32 => array.as_primitive::<Float32Type>().value(row).into(),
                _ => array.as_primitive::<Float64Type>().value(row),
            };
            value.is_finite().then(|| Value::from(value).to_string())
        }
        ColumnType::Decimal { .. } => {
            Some(array.as_primitive::<Decimal128Type>().value_as_string(row))
        }
        ColumnType::Bool => Some(array.as_boolean().value(row).to_string()),
        ColumnType::Date => {
            let date = array.as_primitive::<Date32Type>().value_as_date(row);
            date.and_then(|date| of_four_digits(date.to_string()))
        }
        ColumnType::Timestamp => moment(array, row).map(|moment| moment + "Z"),
        ColumnType::LocalTimestamp => moment(array, row),
        ColumnType::Bytes => Some(STANDARD.encode(array.as_binary::<i32>().value(row))),
    })
}

/// A text; a character of code 0 is U+FFFD here as it is in PostgreSQL.
fn text(array: &ArrayRef, row: usize) -> Option<String> {
    let text = match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().value(row),
        DataType::LargeUtf8 => array.as_string::<i64>().value(row),
        DataType::Utf8View => array.as_string_view().value(row),
        _ => return None,
    };
    Some(text.replace('\0', "\u{fffd}"))
}

fn whole(array: &ArrayRef, row: usize) -> i64 {
    match array.data_type() {
        DataType::Int8 => array.as_primitive::<Int8Type>().value(row).into(),
        DataType::Int16 => array.as_primitive::<Int16Type>().value(row).into(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(row).into(),
        _ => array.as_primitive::<Int64Type>().value(row),
    }
}

fn moment(array: &ArrayRef, row: usize) -> Option<String> {
    let moments = array.as_primitive::<TimestampMicrosecondType>();
    let moment = moments.value_as_datetime(row)?;
    of_four_digits(moment.format("%Y-%m-%dT%H:%M:%S%.f").to_string())
}

/// What RFC 3339 has of days: those of the years 0000 to 9999. Others have a sign.
fn of_four_digits(text: String) -> Option<String> {
    text.starts_with(|first: char| first.is_ascii_digit())
        .then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{
        BinaryArray, Date32Array, Decimal128Array, Float64Array, StringArray,
        TimestampMicrosecondArray,
    };
    use std::sync::Arc;

    #[test]
    fn a_row_is_an_object_or_fields() {
        let columns: Vec<(&str, ColumnType, ArrayRef)> = vec![
            (
                "id",
                ColumnType::Text,
                Arc::new(StringArray::from(vec!["a\"\0"])),
            ),
            (
                "more",
                ColumnType::Json,
                Arc::new(StringArray::from(vec!["{\"a\": 1}"])),
            ),
            (
                "weight",
                ColumnType::Double,
                Arc::new(Float64Array::from(vec![f64::NAN])),
            ),
            (
                "price",
                ColumnType::Decimal {
                    precision: 9,
                    scale: 2,
                },
                Arc::new(
                    Decimal128Array::from(vec![-5])
                        .with_precision_and_scale(9, 2)
                        .unwrap(),
                ),
            ),
            (
                "day",
                ColumnType::Date,
                Arc::new(Date32Array::from(vec![20_778])),
            ),
            (
                "late",
                ColumnType::Date,
                Arc::new(Date32Array::from(vec![3_000_000])),
            ),
            (
                "at",
                ColumnType::Timestamp,
                Arc::new(TimestampMicrosecondArray::from(vec![-1]).with_timezone("UTC")),
            ),
            (
                "raw",
                ColumnType::Bytes,
                Arc::new(BinaryArray::from(vec![&b"hi"[..]])),
            ),
        ];
        let arrays = columns
            .iter()
            .map(|(name, _, array)| (*name, array.clone()));
        let rows = RecordBatch::try_from_iter(arrays).unwrap();
        let columns: Vec<Column> = columns
            .iter()
            .map(|(name, kind, _)| Column {
                name: (*name).to_owned(),
                kind: *kind,
            })
            .collect();
        assert_eq!(
            json(&rows, 0, &columns).unwrap(),
            "{\"id\":\"a\\\"\u{fffd}\",\"more\":{\"a\": 1},\"weight\":null,\"price\":-0.05,\"day\":\"2026-11-21\",\
             \"late\":null,\"at\":\"1969-12-31T23:59:59.999999Z\",\"raw\":\"aGk=\"}"
        );
        let fields = fields(&rows, 0, &columns).unwrap();
        assert_eq!(fields[0], ("id", "a\"\u{fffd}".to_owned()));
        let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["id", "more", "price", "day", "at", "raw"]);
    }

    #[test]
    fn what_is_no_json_is_refused() {
        let array: ArrayRef = Arc::new(StringArray::from(vec!["{"]));
        let column = Column {
            name: "more".to_owned(),
            kind: ColumnType::Json,
        };
        let unfit = plain(&array, 0, &column).unwrap_err();
        assert_eq!(unfit.to_string(), "the column `more` holds what is no JSON");
    }
}
