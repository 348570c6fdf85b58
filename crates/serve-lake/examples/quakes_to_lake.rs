//! Writes the rows that `make bench-serve` asks for into a lake's table: `quakes_to_lake <folder> <rows>`.

use arrow::array::{
    ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use millrace_lake::{Commit, Lake, WriteKind};
use std::error::Error;
use std::sync::Arc;

/// How many rows are made at once.
const BATCH: i64 = 8192;
/// 2000-01-01T00:00:00Z, in microseconds since 1970.
const FIRST: i64 = 946_684_800_000_000;
const SEVEN_MINUTES: i64 = 420_000_000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(folder), Some(rows)) = (arguments.next(), arguments.next()) else {
        return Err("a folder and a number of rows are wanted".into());
    };
    let rows: i64 = rows.parse()?;
    let (lake, key, schema) = (Lake::at(&folder)?, "tables/bench/quakes", schema());
    let mut writer = lake.writer(key, schema.clone());
    for first in (1..=rows).step_by(BATCH as usize) {
        let last = rows.min(first + BATCH - 1);
        writer.write(&batch(&schema, first..=last)?).await?;
    }
    let commit = Commit {
        kind: WriteKind::Append,
        added: writer.finish().await?,
        removed: Vec::new(),
        schema,
        sequence: 1,
        brought: None,
        note: None,
    };
    lake.create(key, commit).await?;
    Ok(())
}

fn schema() -> SchemaRef {
    let moment = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let columns = [
        ("id", DataType::Int64),
        ("magnitude", DataType::Float64),
        ("place", DataType::Utf8),
        ("occurred_at", moment),
        ("status", DataType::Utf8),
        ("felt", DataType::Int64),
    ];
    let fields = columns.map(|(name, kind)| Field::new(name, kind, true));
    Arc::new(Schema::new(fields.to_vec()))
}

/// The rows that bench.py puts into PostgreSQL under these numbers.
fn batch(
    schema: &SchemaRef,
    numbers: std::ops::RangeInclusive<i64>,
) -> Result<RecordBatch, Box<dyn Error>> {
    let all = || numbers.clone();
    let place = |n: i64| format!("{} km NW of the town {}", n % 400, n % 5000);
    let moments = all().map(|n| FIRST + n * SEVEN_MINUTES);
    let felt: Int64Array = all().map(|n| (n % 3 == 0).then_some(n % 1000)).collect();
    let magnitudes = all().map(|n| (n % 90) as f64 / 10.0);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(all())),
        Arc::new(Float64Array::from_iter_values(magnitudes)),
        Arc::new(StringArray::from_iter_values(all().map(place))),
        Arc::new(TimestampMicrosecondArray::from_iter_values(moments).with_timezone("UTC")),
        Arc::new(StringArray::from_iter_values(all().map(|_| "reviewed"))),
        Arc::new(felt),
    ];
    Ok(RecordBatch::try_new(schema.clone(), columns)?)
}
