//! What the log tells of a table's versions.

use crate::commit::{BROUGHT, WriteKind};
use crate::error::Error;
use crate::table::Table;
use serde_json::Value;

/// What one commit did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The version that it made.
    pub version: u64,
    /// When, RFC 3339, as the writer's clock had it.
    pub at: String,
    /// What kind of write it was: `append`, `replace`, `upsert`, `follow`, or what another writer called it.
    pub kind: String,
    /// How many files it added.
    pub files_added: u64,
    /// How many it took away.
    pub files_removed: u64,
    /// How many rows the added files have.
    pub rows_added: u64,
    /// How many rows the files had that it took away, where the log still tells of them.
    pub rows_removed: Option<u64>,
    /// How many rows each run brought that it took, where it says so.
    pub brought: Option<u64>,
}

impl Table {
    /// The last commits, at most so many, the newest first; fewer where the log behind a checkpoint is gone.
    pub async fn history(&self, most: usize) -> Result<Vec<Entry>, Error> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut rows = std::collections::HashMap::new();
        let first = (self.version() + 1).saturating_sub(most as u64);
        for version in first..=self.version() {
            let Some(actions) = self.actions(version).await? else {
                continue;
            };
            entries.push(entry(version, &actions, &mut rows));
        }
        entries.reverse();
        Ok(entries)
    }
}

fn entry(
    version: u64,
    actions: &[Value],
    rows: &mut std::collections::HashMap<String, u64>,
) -> Entry {
    let mut entry = Entry {
        version,
        at: String::new(),
        kind: "write".to_owned(),
        files_added: 0,
        files_removed: 0,
        rows_added: 0,
        rows_removed: Some(0),
        brought: None,
    };
    for action in actions {
        if let Some(add) = action.get("add") {
            let stats = add["stats"]
                .as_str()
                .and_then(|stats| serde_json::from_str::<Value>(stats).ok());
            let count = stats
                .and_then(|stats| stats["numRecords"].as_u64())
                .unwrap_or_default();
            rows.insert(add["path"].as_str().unwrap_or_default().to_owned(), count);
            entry.files_added += 1;
            entry.rows_added += count;
        }
        if let Some(remove) = action.get("remove") {
            let count = rows.get(remove["path"].as_str().unwrap_or_default());
            entry.files_removed += 1;
            entry.rows_removed = entry
                .rows_removed
                .zip(count)
                .map(|(sum, count)| sum + count);
        }
        if let Some(info) = action.get("commitInfo") {
            if let Some(at) = info["timestamp"].as_i64() {
                entry.at = jiff::Timestamp::from_millisecond(at)
                    .map(|at| at.to_string())
                    .unwrap_or_default();
            }
            entry.brought = info[BROUGHT].as_u64();
            entry.kind = WriteKind::of_commit_info(info)
                .map(|kind| kind.as_str().to_owned())
                .or_else(|| info["operation"].as_str().map(str::to_lowercase))
                .unwrap_or(entry.kind);
        }
    }
    entry
}
