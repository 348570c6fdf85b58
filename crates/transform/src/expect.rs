//! What a table's rows are held to.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use arrow::error::ArrowError;
use millrace_lake::KeySet;
use millrace_model::definition::pipeline::{Expectation, Otherwise, Rule};
use millrace_model::{Failure, FailureName};
use serde_json::Value;

/// A table's expectations, with what they remember from batch to batch.
#[derive(Debug)]
pub(crate) struct Expectations {
    table: String,
    all: Vec<(Expectation, Option<KeySet>)>,
}

/// Which expectations are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Checks {
    /// All.
    All,
    /// Those that look at a row by itself: before it is known which of several rows with one key stays.
    Alone,
    /// Those that hold a row against others: once that is known.
    Together,
}

/// A row that breaks an expectation.
#[derive(Debug)]
pub(crate) struct Breach {
    pub(crate) row: usize,
    pub(crate) column: String,
    pub(crate) reason: String,
    pub(crate) otherwise: Otherwise,
}

impl Expectations {
    pub(crate) fn new(table: &str, all: &[Expectation]) -> Self {
        Self {
            table: table.to_owned(),
            all: all
                .iter()
                .map(|expectation| (expectation.clone(), None))
                .collect(),
        }
    }

    /// The breaches in a batch of which only the rows of the mask count: for each row the gravest one first in order.
    pub(crate) fn check(
        &mut self,
        batch: &RecordBatch,
        rows: &BooleanArray,
        checks: Checks,
    ) -> Result<Vec<Breach>, Failure> {
        let mut breaches = Vec::new();
        let wanted = |rule: &Rule| match checks {
            Checks::All => true,
            Checks::Alone => *rule != Rule::Unique,
            Checks::Together => *rule == Rule::Unique,
        };
        for (expectation, seen) in &mut self.all {
            if !wanted(&expectation.rule) {
                continue;
            }
            let broken = match batch.column_by_name(&expectation.column) {
                Some(column) => broken(&self.table, expectation, column, rows, seen)?,
                None if expectation.rule == Rule::NotNull => vec![true; batch.num_rows()],
                None => continue,
            };
            let found = broken
                .iter()
                .enumerate()
                .filter(|(row, broken)| **broken && rows.value(*row));
            breaches.extend(found.map(|(row, _)| Breach {
                row,
                column: expectation.column.clone(),
                reason: reason(expectation),
                otherwise: expectation.otherwise,
            }));
        }
        Ok(breaches)
    }
}

fn broken(
    table: &str,
    expectation: &Expectation,
    column: &ArrayRef,
    rows: &BooleanArray,
    seen: &mut Option<KeySet>,
) -> Result<Vec<bool>, Failure> {
    let present = |row: usize| column.is_valid(row);
    let count = column.len();
    Ok(match &expectation.rule {
        Rule::NotNull => (0..count).map(|row| !present(row)).collect(),
        Rule::Unique => {
            let set = match seen {
                Some(set) => set,
                None => seen.insert(
                    KeySet::new(&[column.data_type().clone()]).map_err(|error| internal(&error))?,
                ),
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
    })
}

fn numbers(column: &ArrayRef) -> Result<Option<ArrayRef>, ArrowError> {
    match column.data_type() {
        DataType::Int64 | DataType::Float64 | DataType::Decimal128(..) => {
            cast(column, &DataType::Float64).map(Some)
        }
        _ => Ok(None),
    }
}

fn reason(expectation: &Expectation) -> String {
    match &expectation.rule {
        Rule::NotNull => "it is null".to_owned(),
        Rule::Unique => "its value is there more than once".to_owned(),
        Rule::Between(least, greatest) => format!("it is not between {least} and {greatest}"),
        Rule::In(_) => "it is none of the expected values".to_owned(),
    }
}

fn wrong_type(table: &str, expectation: &Expectation, found: &DataType) -> Failure {
    Failure::new(
        FailureName::BadDefinition,
        format!(
            "the expectation on `{table}.{}` cannot be held against its type ({found}): declare a number, a text or a \
             truth value under `columns`, or expect something else",
            expectation.column
        ),
    )
}

fn internal(error: &ArrowError) -> Failure {
    Failure::new(
        FailureName::Internal,
        format!("rows could not be checked: {error}"),
    )
}
