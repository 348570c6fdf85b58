//! Erasure from a table and its children: the rows, and every earlier version.

use super::{ForgottenKey, count};
use crate::family::link_names;
use millrace_lake::{Lake, until_committed};
use millrace_model::definition::pipeline::Table;
use millrace_model::step::Counts;
use millrace_model::{Failure, keys};

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
        let erased = until_committed(&at, || lake.erase(&at, &columns, &values)).await?;
        if let Some(erased) = erased {
            count(counts, "rows", erased.rows);
            count(counts, "tables", 1);
            count(counts, "objects_removed", erased.objects);
        }
    }
    Ok(())
}
