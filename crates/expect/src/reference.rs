//! Values that another table has to have. They are gathered first; then the other table's column is read once, and the
//! values that are not in it remain. Memory grows with the values that a run brings, not with the other table.

use super::{Expectations, internal};
use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::compute::{filter, is_not_null};
use arrow::datatypes::{DataType, Field, Schema};
use futures::TryStreamExt;
use millrace_lake::{KeySet, Lake};
use millrace_model::{Failure, FailureName, keys};
use std::sync::Arc;

/// The values of a column that another table has to have.
#[derive(Debug)]
pub struct Reference {
    table: String,
    column: String,
    values: Option<(KeySet, DataType)>,
}

impl Reference {
    pub(super) fn new(table: &str, column: &str) -> Self {
        Self {
            table: table.to_owned(),
            column: column.to_owned(),
            values: None,
        }
    }

    pub(super) fn gather(&mut self, column: &ArrayRef) -> Result<(), Failure> {
        let there = is_not_null(column).map_err(|error| internal(&error))?;
        let present = filter(column, &there).map_err(|error| internal(&error))?;
        let kind = column.data_type();
        let (values, _) = match &mut self.values {
            // A column that has got a wider type is gathered anew, as all is read again.
            Some(gathered) if gathered.1 == *kind => gathered,
            other => {
                let set =
                    KeySet::new(std::slice::from_ref(kind)).map_err(|error| internal(&error))?;
                other.insert((set, kind.clone()))
            }
        };
        values
            .insert(&[present])
            .map_err(|error| internal(&error))?;
        Ok(())
    }

    /// Which of those values the other table does not have, once that is settled.
    pub(super) fn is_missing(&self, column: &ArrayRef) -> Result<BooleanArray, Failure> {
        match &self.values {
            Some((missing, kind)) if kind == column.data_type() => missing
                .contains(std::slice::from_ref(column))
                .map_err(|error| internal(&error)),
            _ => Ok(BooleanArray::from(vec![false; column.len()])),
        }
    }
}

/// Leaves of the gathered values those that the other tables do not have.
pub async fn settle(
    expectations: &mut Expectations,
    lake: &Lake,
    pipeline: &str,
) -> Result<(), Failure> {
    for (own, reference) in expectations.references() {
        let Some((values, kind)) = &mut reference.values else {
            continue;
        };
        let Some(table) = lake.table(&keys::table(pipeline, &reference.table)).await? else {
            continue;
        };
        let name = &reference.column;
        let schema = table.schema();
        let found = schema.field_with_name(name).ok().map(Field::data_type);
        if found != Some(&*kind) {
            let there = found.map_or("is not there".to_owned(), |kind| format!("is {kind}"));
            return Err(Failure::new(
                FailureName::BadDefinition,
                format!(
                    "the column `{own}` is {kind}, and `{}.{name}`, which it references, {there}: declare the same type for \
                     both",
                    reference.table
                ),
            ));
        }
        let types = std::slice::from_ref(&*kind);
        let columns = [name.clone()];
        let mut known = KeySet::new(types).map_err(|error| internal(&error))?;
        let schema = Arc::new(Schema::new(vec![Field::new(name, kind.clone(), true)]));
        let files = values.files(&table, &columns);
        let mut rows = table.scan().files(files).schema(schema).stream();
        while let Some(batch) = rows.try_next().await? {
            let column = batch.column(0);
            let held = values
                .contains(std::slice::from_ref(column))
                .map_err(|error| internal(&error))?;
            let held = filter(column, &held).map_err(|error| internal(&error))?;
            known.insert(&[held]).map_err(|error| internal(&error))?;
        }
        values.subtract(&known);
    }
    Ok(())
}
