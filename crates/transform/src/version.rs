//! What a record says of its row beside its values: that it is gone, since when it holds, and what hangs on it.

use crate::digest::digests;
use crate::plan::{CURRENT, Fate, VALID_FROM, VALID_TO, moment_type};
use crate::shape::Rows;
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, StringArray,
    TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type, Schema};
use arrow::error::ArrowError;
use millrace_model::definition::pipeline::Delete;
use std::sync::Arc;

/// The column that tells a version's children from those of the one before.
const CHILDREN: &str = "_children";

/// The root's rows as a batch.
pub(crate) fn root(rows: &Rows) -> Result<RecordBatch, ArrowError> {
    let schema = Arc::new(Schema::new(rows.fields.clone()));
    let options = RecordBatchOptions::new().with_row_count(Some(rows.count));
    RecordBatch::try_new_with_options(schema, rows.columns.clone(), &options)
}

/// Which of the root's rows are gone by what their records say.
pub(crate) fn deleted(
    delete: Option<&Delete>,
    key: &[String],
    rows: &[Rows],
    owners: &[Option<usize>],
) -> Result<BooleanArray, ArrowError> {
    let count = rows[0].count;
    match delete {
        None => Ok(BooleanArray::from(vec![false; count])),
        Some(Delete::Flag(name)) => {
            let position = rows[0].fields.iter().position(|field| field.name() == name);
            match position {
                Some(position) => flagged(&rows[0].columns[position]),
                None => Ok(BooleanArray::from(vec![false; count])),
            }
        }
        Some(Delete::Tombstone) => {
            let mut empty = vec![true; count];
            for (field, column) in rows[0].fields.iter().zip(&rows[0].columns) {
                if !key.contains(field.name()) {
                    for (row, empty) in empty.iter_mut().enumerate() {
                        *empty &= column.is_null(row);
                    }
                }
            }
            for (child, _) in owners
                .iter()
                .enumerate()
                .filter(|(_, owner)| **owner == Some(0))
            {
                for parent in &rows[child].parents {
                    empty[*parent as usize] = false;
                }
            }
            Ok(BooleanArray::from(empty))
        }
    }
}

/// Anything is a flag but null, `false`, 0 and texts that mean these.
fn flagged(column: &ArrayRef) -> Result<BooleanArray, ArrowError> {
    let count = column.len();
    Ok(match column.data_type() {
        DataType::Boolean => {
            let values = column.as_boolean();
            (0..count)
                .map(|row| Some(values.is_valid(row) && values.value(row)))
                .collect()
        }
        DataType::Int64 | DataType::Float64 | DataType::Decimal128(..) => {
            let numbers = cast(column, &DataType::Float64)?;
            let numbers = numbers.as_primitive::<Float64Type>();
            (0..count)
                .map(|row| Some(numbers.is_valid(row) && numbers.value(row) != 0.0))
                .collect()
        }
        DataType::Utf8 => {
            let texts = column.as_string::<i32>();
            let says = |text: &str| !matches!(text, "" | "0" | "false" | "no" | "n");
            (0..count)
                .map(|row| Some(texts.is_valid(row) && says(texts.value(row))))
                .collect()
        }
        _ => (0..count).map(|row| Some(column.is_valid(row))).collect(),
    })
}

/// Adds the root's column that stands for all that hangs on a row: a version is another one where only a child is.
pub(crate) fn add_children_digest(
    rows: &mut [Rows],
    owners: &[Option<usize>],
) -> Result<(), ArrowError> {
    if rows.len() == 1 {
        return Ok(());
    }
    let mut sums: Vec<Vec<u128>> = rows.iter().map(|rows| vec![0; rows.count]).collect();
    for table in (1..rows.len()).rev() {
        let of = &rows[table];
        let own = digests(of.fields.iter().zip(&of.columns), of.count)?;
        let Some(owner) = owners[table] else { continue };
        for (row, parent) in of.parents.iter().enumerate() {
            // Its table and its place count, so that no two children cancel or replace one another.
            let place = (table as u128) << 64 | (of.positions[row] as u128).wrapping_add(1);
            let one = own[row]
                .wrapping_add(sums[table][row])
                .wrapping_add(1)
                .wrapping_mul(place.wrapping_mul(2).wrapping_add(1));
            let sum = &mut sums[owner][*parent as usize];
            *sum = sum.wrapping_add(one);
        }
    }
    let texts = sums[0]
        .iter()
        .map(|sum| (*sum != 0).then(|| format!("{sum:032x}")));
    let column: StringArray = texts.collect();
    rows[0]
        .fields
        .push(Field::new(CHILDREN, DataType::Utf8, true));
    rows[0].columns.push(Arc::new(column));
    Ok(())
}

/// Adds the columns that say since when and until when a row holds.
pub(crate) fn add_validity(root: &mut Rows, fates: &[Option<Fate>]) {
    let from: TimestampMicrosecondArray = fates
        .iter()
        .map(|fate| fate.map(|fate| fate.from))
        .collect();
    let to: TimestampMicrosecondArray = fates
        .iter()
        .map(|fate| fate.and_then(|fate| fate.to))
        .collect();
    let current: BooleanArray = fates
        .iter()
        .map(|fate| fate.map(|fate| fate.to.is_none()))
        .collect();
    for (name, kind, column) in [
        (
            VALID_FROM,
            moment_type(),
            Arc::new(from.with_timezone("UTC")) as ArrayRef,
        ),
        (VALID_TO, moment_type(), Arc::new(to.with_timezone("UTC"))),
        (CURRENT, DataType::Boolean, Arc::new(current)),
    ] {
        root.fields.push(Field::new(name, kind, true));
        root.columns.push(column);
    }
}
