use arrow::temporal_conversions::{date32_to_datetime, timestamp_us_to_datetime};
use parquet::basic::{ConvertedType, LogicalType, TimeUnit};
use parquet::data_type::ByteArray;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::statistics::Statistics;
use parquet::schema::types::ColumnDescriptor;
use serde_json::{Map, Value, json};
use std::cmp::Ordering;

/// How many columns get bounds and null counts: every column's stand in the log for every file. What lies in structs and
/// lists gets none.
const COLUMNS: usize = 64;

/// A file's statistics as Delta writes them: the number of rows, and for each column the least and the greatest value and
/// how often there is none.
pub(crate) fn stats(metadata: &ParquetMetaData) -> String {
    let (mut least, mut greatest, mut nulls) = (Map::new(), Map::new(), Map::new());
    let descriptor = metadata.file_metadata().schema_descr();
    let columns = descriptor.columns().iter().enumerate();
    let plain = columns.filter(|(_, column)| column.path().parts().len() == 1);
    for (position, column) in plain.take(COLUMNS) {
        let name = column.name().to_owned();
        let chunks = metadata
            .row_groups()
            .iter()
            .map(|group| group.column(position).statistics())
            .collect::<Option<Vec<_>>>();
        let Some(chunks) = chunks else { continue };
        let null_count = chunks
            .iter()
            .map(|chunk| chunk.null_count_opt())
            .sum::<Option<u64>>();
        if let Some(null_count) = null_count {
            nulls.insert(name.clone(), json!(null_count));
        }
        let (mut min, mut max) = (None, None);
        for chunk in chunks {
            let Some((chunk_min, chunk_max)) = bounds(chunk, column) else {
                continue;
            };
            min = Some(min.map_or(chunk_min.clone(), |min| least_of(min, chunk_min)));
            max = Some(max.map_or(chunk_max.clone(), |max| greatest_of(max, chunk_max)));
        }
        if let Some((min, max)) = min.zip(max) {
            least.insert(name.clone(), min.render(column, f64::next_down));
            greatest.insert(name, max.render(column, f64::next_up));
        }
    }
    json!({
        "numRecords": metadata.file_metadata().num_rows(),
        "minValues": least,
        "maxValues": greatest,
        "nullCount": nulls,
    })
    .to_string()
}

#[derive(Clone, PartialEq, PartialOrd)]
enum Bound {
    Bool(bool),
    Int(i128),
    Double(f64),
    Text(String),
}

fn least_of(one: Bound, other: Bound) -> Bound {
    if other.partial_cmp(&one) == Some(Ordering::Less) {
        other
    } else {
        one
    }
}

fn greatest_of(one: Bound, other: Bound) -> Bound {
    if other.partial_cmp(&one) == Some(Ordering::Greater) {
        other
    } else {
        one
    }
}

fn bounds(statistics: &Statistics, column: &ColumnDescriptor) -> Option<(Bound, Bound)> {
    Some(match statistics {
        Statistics::Boolean(values) => (
            Bound::Bool(*values.min_opt()?),
            Bound::Bool(*values.max_opt()?),
        ),
        Statistics::Int32(values) => (int(*values.min_opt()?), int(*values.max_opt()?)),
        Statistics::Int64(values) => (int(*values.min_opt()?), int(*values.max_opt()?)),
        Statistics::Double(values) => (
            Bound::Double(*values.min_opt()?),
            Bound::Double(*values.max_opt()?),
        ),
        Statistics::ByteArray(values) if is_text(column) => {
            (text(values.min_opt()?)?, text(values.max_opt()?)?)
        }
        Statistics::FixedLenByteArray(_) if is_decimal(column) => (
            big_endian(statistics.min_bytes_opt()?)?,
            big_endian(statistics.max_bytes_opt()?)?,
        ),
        _ => return None,
    })
}

fn int(value: impl Into<i128>) -> Bound {
    Bound::Int(value.into())
}

fn text(value: &ByteArray) -> Option<Bound> {
    value
        .as_utf8()
        .ok()
        .map(|text| Bound::Text(text.to_owned()))
}

fn big_endian(bytes: &[u8]) -> Option<Bound> {
    let negative = bytes.first()? & 0x80 != 0;
    let mut all = if negative { [0xff; 16] } else { [0; 16] };
    all.get_mut(16_usize.checked_sub(bytes.len())?..)?
        .copy_from_slice(bytes);
    Some(Bound::Int(i128::from_be_bytes(all)))
}

fn is_text(column: &ColumnDescriptor) -> bool {
    matches!(column.logical_type_ref(), Some(LogicalType::String))
        || column.converted_type() == ConvertedType::UTF8
}

fn is_decimal(column: &ColumnDescriptor) -> bool {
    matches!(column.logical_type_ref(), Some(LogicalType::Decimal(_)))
        || column.converted_type() == ConvertedType::DECIMAL
}

impl Bound {
    /// The bound as JSON. `outwards` moves a number away from the values between the bounds.
    fn render(self, column: &ColumnDescriptor, outwards: fn(f64) -> f64) -> Value {
        match self {
            Self::Bool(value) => json!(value),
            Self::Double(value) => json!(value),
            Self::Text(value) => json!(value),
            Self::Int(value) if is_decimal(column) => {
                // A decimal's bound is a JSON number, and one with more digits than a double has may round inwards.
                let number = value as f64 / 10_f64.powi(column.type_scale().max(0));
                json!(if value.unsigned_abs() < 1 << 50 {
                    number
                } else {
                    outwards(outwards(number))
                })
            }
            Self::Int(value) => match column.logical_type_ref() {
                Some(LogicalType::Date) => date(value),
                Some(LogicalType::Timestamp(timestamp))
                    if matches!(timestamp.unit, TimeUnit::MICROS) =>
                {
                    moment(value)
                }
                _ => i64::try_from(value).map_or(Value::Null, |value| json!(value)),
            },
        }
    }
}

fn date(days: i128) -> Value {
    i32::try_from(days)
        .ok()
        .and_then(date32_to_datetime)
        .map_or(Value::Null, |date| json!(date.date().to_string()))
}

fn moment(micros: i128) -> Value {
    i64::try_from(micros)
        .ok()
        .and_then(timestamp_us_to_datetime)
        .map_or(Value::Null, |time| {
            json!(time.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string())
        })
}
