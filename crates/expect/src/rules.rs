//! What a column's values are held to.

use super::{Memory, internal};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, TimeUnit, TimestampMicrosecondType};
use arrow::error::ArrowError;
use millrace_lake::KeySet;
use millrace_model::definition::pipeline::{Expectation, Rule};
use millrace_model::{Failure, FailureName};
use serde_json::Value;

/// Which values break a rule.
pub(super) fn broken(
    table: &str,
    expectation: &Expectation,
    column: &ArrayRef,
    rows: &BooleanArray,
    memory: &mut Memory,
) -> Result<Vec<bool>, Failure> {
    let present = |row: usize| column.is_valid(row);
    let count = column.len();
    Ok(match &expectation.rule {
        Rule::NotNull => (0..count).map(|row| !present(row)).collect(),
        Rule::Unique => {
            if !matches!(memory, Memory::Seen(_)) {
                let types = [column.data_type().clone()];
                *memory = Memory::Seen(KeySet::new(&types).map_err(|error| internal(&error))?);
            }
            let Memory::Seen(set) = memory else {
                return Ok(vec![false; count]);
            };
            // Rows that do not count must not make others look like repetitions.
            let counted: BooleanArray = (0..count)
                .map(|row| Some(rows.value(row) && present(row)))
                .collect();
            let values =
                arrow::compute::filter(column, &counted).map_err(|error| internal(&error))?;
            let new = set.insert(&[values]).map_err(|error| internal(&error))?;
            let mut new = new.iter();
            counted
                .iter()
                .map(|counts| counts == Some(true) && new.next().flatten() == Some(false))
                .collect()
        }
        Rule::Between(least, greatest) => {
            let numbers = numbers(column)
                .map_err(|error| internal(&error))?
                .ok_or_else(|| wrong_type(table, expectation, column.data_type()))?;
            let numbers = numbers.as_primitive::<Float64Type>();
            (0..count)
                .map(|row| present(row) && !(*least..=*greatest).contains(&numbers.value(row)))
                .collect()
        }
        Rule::In(allowed) => {
            if let Some(texts) = column.as_string_opt::<i32>() {
                let allowed: Vec<&str> = allowed.iter().filter_map(Value::as_str).collect();
                (0..count)
                    .map(|row| present(row) && !allowed.contains(&texts.value(row)))
                    .collect()
            } else if let Some(values) = column.as_boolean_opt() {
                let allowed: Vec<bool> = allowed.iter().filter_map(Value::as_bool).collect();
                (0..count)
                    .map(|row| present(row) && !allowed.contains(&values.value(row)))
                    .collect()
            } else {
                let numbers = numbers(column)
                    .map_err(|error| internal(&error))?
                    .ok_or_else(|| wrong_type(table, expectation, column.data_type()))?;
                let numbers = numbers.as_primitive::<Float64Type>();
                let allowed: Vec<f64> = allowed.iter().filter_map(Value::as_f64).collect();
                (0..count)
                    .map(|row| present(row) && !allowed.contains(&numbers.value(row)))
                    .collect()
            }
        }
        Rule::Matches(_) => {
            let texts = column
                .as_string_opt::<i32>()
                .ok_or_else(|| wrong_type(table, expectation, column.data_type()))?;
            let matches = |row: usize| match &*memory {
                Memory::Pattern(pattern) => pattern.is_match(texts.value(row)),
                _ => false,
            };
            (0..count)
                .map(|row| present(row) && !matches(row))
                .collect()
        }
        Rule::References { .. } => match memory {
            Memory::Reference(reference) => {
                let missing = reference.is_missing(column)?;
                (0..count)
                    .map(|row| present(row) && missing.value(row))
                    .collect()
            }
            _ => vec![false; count],
        },
        Rule::Schema(_) | Rule::Rows(_) | Rule::Freshness(_) => vec![false; count],
    })
}

/// The newest of a column's values that count, in microseconds since 1970.
pub(super) fn newest(
    table: &str,
    expectation: &Expectation,
    column: &ArrayRef,
    rows: &BooleanArray,
) -> Result<Option<i64>, Failure> {
    let moment = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    if !matches!(
        column.data_type(),
        DataType::Timestamp(..) | DataType::Date32
    ) {
        return Err(wrong_type(table, expectation, column.data_type()));
    }
    let moments = cast(column, &moment).map_err(|error| internal(&error))?;
    let moments = moments.as_primitive::<TimestampMicrosecondType>();
    let counted = (0..rows.len()).filter(|row| rows.value(*row) && moments.is_valid(*row));
    Ok(counted.map(|row| moments.value(row)).max())
}

fn numbers(column: &ArrayRef) -> Result<Option<ArrayRef>, ArrowError> {
    match column.data_type() {
        DataType::Int64 | DataType::Float64 | DataType::Decimal128(..) => {
            cast(column, &DataType::Float64).map(Some)
        }
        _ => Ok(None),
    }
}

/// What is wrong with a value that breaks a rule.
pub(super) fn reason(expectation: &Expectation) -> String {
    match &expectation.rule {
        Rule::NotNull => "it is null".to_owned(),
        Rule::Unique => "its value is there more than once".to_owned(),
        Rule::Between(least, greatest) => format!("it is not between {least} and {greatest}"),
        Rule::In(_) => "it is none of the expected values".to_owned(),
        Rule::Matches(pattern) => format!("it does not match {pattern}"),
        Rule::References { table, column } => format!("`{table}` has no such `{column}`"),
        Rule::Schema(_) | Rule::Rows(_) | Rule::Freshness(_) => expectation.to_string(),
    }
}

fn wrong_type(table: &str, expectation: &Expectation, found: &DataType) -> Failure {
    Failure::new(
        FailureName::BadDefinition,
        format!(
            "the expectation on `{table}.{}` cannot be held against its type ({found}): declare another type under \
             `columns`, or expect something else",
            expectation.column
        ),
    )
}
