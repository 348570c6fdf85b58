//! Erasure from a table and its children: the rows, and every earlier version.

use super::ForgottenKey;
use crate::family::link_names;
use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::DataType;
use millrace_lake::{Commit, KeySet, Lake, WriteKind, cast, until_committed};
use millrace_model::definition::pipeline::Table;
use millrace_model::step::{Counts, add_counts};
use millrace_model::{Failure, FailureName, keys};
use std::sync::Arc;

pub(super) async fn forget(
    lake: &Lake,
    pipeline: &str,
    table: &Table,
    key: &ForgottenKey,
    counts: &mut Counts,
) -> Result<(), Failure> {
    let root = keys::table(pipeline, &table.name);
    let mut all = lake.tables(&format!("{root}__")).await?;
    // The children first: while the root has the row, it is seen that something is left to do.
    all.push(root.clone());
    for at in all {
        let columns = if at == root {
            table.key.clone()
        } else {
            link_names(&table.key)
        };
        let values: Vec<&str> = table
            .key
            .iter()
            .map(|column| key[column].as_str())
            .collect();
        let forgotten = until_committed(&at, || forget_rows(lake, &at, &columns, &values)).await?;
        add_counts(counts, &forgotten);
    }
    Ok(())
}

async fn forget_rows(
    lake: &Lake,
    at: &str,
    columns: &[String],
    values: &[&str],
) -> Result<Counts, Failure> {
    let Some(mut table) = lake.table(at).await? else {
        return Ok(Counts::new());
    };
    let schema = table.schema();
    let mut key: Vec<ArrayRef> = Vec::new();
    for (column, value) in columns.iter().zip(values) {
        // A table without the key's column has none of its rows.
        let Ok(field) = schema.field_with_name(column) else {
            return Ok(Counts::new());
        };
        key.push(typed(column, value, field.data_type())?);
    }
    let types: Vec<DataType> = key
        .iter()
        .map(|column| column.data_type().clone())
        .collect();
    let internal = |error: arrow::error::ArrowError| {
        let message = format!("the rows of `{at}` could not be compared: {error}");
        Failure::new(FailureName::Internal, message)
    };
    let mut set = KeySet::new(&types).map_err(internal)?;
    set.insert(&key).map_err(internal)?;
    let mut writer = lake.writer(at, schema.clone());
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
    Ok(Counts::from([
        ("rows".to_owned(), rewritten.rows),
        ("tables".to_owned(), 1),
        ("objects_removed".to_owned(), table.purge().await?),
    ]))
}

fn typed(column: &str, value: &str, kind: &DataType) -> Result<ArrayRef, Failure> {
    let text: ArrayRef = Arc::new(StringArray::from(vec![value]));
    cast(&text, kind).map_err(|_| {
        let message = format!("the column `{column}` holds {kind}, which that value is not");
        Failure::new(FailureName::BadDefinition, message)
    })
}
