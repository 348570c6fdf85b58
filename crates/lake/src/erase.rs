use crate::cast::cast;
use crate::commit::{Commit, WriteKind};
use crate::keys::KeySet;
use crate::lake::Lake;
use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use millrace_model::{Failure, FailureName};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The columns of a key and their values, as texts.
pub type ForgottenKey = BTreeMap<String, String>;

/// What an erasure did to a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Erased {
    /// How many rows had the key.
    pub rows: u64,
    /// How many objects were removed: files and entries of the log that only earlier versions need.
    pub objects: u64,
}

impl Lake {
    /// Removes a table's rows whose columns have those values, and all of its earlier versions; nothing where there is no
    /// such table, or it has none of one of the columns, and so no such row.
    ///
    /// `BadDefinition` where a value is not of its column's type, `Conflict` where somebody else commits in between; nobody
    /// may write to the table meanwhile.
    pub async fn erase(
        &self,
        key: &str,
        columns: &[String],
        values: &[&str],
    ) -> Result<Option<Erased>, Failure> {
        let Some(mut table) = self.table(key).await? else {
            return Ok(None);
        };
        let schema = table.schema();
        let mut searched: Vec<ArrayRef> = Vec::new();
        for (column, value) in columns.iter().zip(values) {
            let Ok(field) = schema.field_with_name(column) else {
                return Ok(None);
            };
            searched.push(typed(column, value, field.data_type())?);
        }
        let types = searched.iter().map(|column| column.data_type().clone());
        let mut set =
            KeySet::new(&types.collect::<Vec<_>>()).map_err(|error| internal(key, &error))?;
        set.insert(&searched)
            .map_err(|error| internal(key, &error))?;
        let mut writer = self.writer(key, schema.clone());
        let rewritten = set.take_out(&table, columns, &mut writer, false).await?;
        let added = writer.finish().await?;
        if !rewritten.removed.is_empty() {
            let commit = Commit {
                kind: WriteKind::Follow,
                added,
                removed: rewritten.removed,
                schema,
                sequence: table.sequence().await?,
                brought: None,
                note: None,
            };
            table = table.commit(commit).await?;
        }
        Ok(Some(Erased {
            rows: rewritten.rows,
            objects: table.purge().await?,
        }))
    }
}

fn typed(column: &str, value: &str, kind: &DataType) -> Result<ArrayRef, Failure> {
    let text: ArrayRef = Arc::new(StringArray::from(vec![value]));
    cast(&text, kind).map_err(|_| {
        let message = format!("the column `{column}` holds {kind}, which that value is not");
        Failure::new(FailureName::BadDefinition, message)
    })
}

fn internal(key: &str, error: &ArrowError) -> Failure {
    let message = format!("the rows of `{key}` could not be compared: {error}");
    Failure::new(FailureName::Internal, message)
}
