use crate::error::{Error, ErrorKind};
use crate::table::{DataFile, Table};
use arrow::datatypes::SchemaRef;
use deltalake_core::kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake_core::kernel::transaction::{CommitBuilder, CommitProperties, TableReference};
use deltalake_core::kernel::{
    Action, Add, Metadata, MetadataExt, Protocol, Remove, StructType, Transaction, new_metadata,
};
use deltalake_core::logstore::LogStoreRef;
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use deltalake_core::table::state::DeltaTableState;
use deltalake_core::{DeltaResult, DeltaTable};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

/// The application id under which a table notes the sequence number of what it holds.
pub(crate) const APPLICATION: &str = "millrace";

/// Where a commit says what kind of write it was.
const KIND: &str = "millraceWrite";

/// Where it says how many rows a run brought.
pub(crate) const BROUGHT: &str = "millraceRows";

/// How many commits lie between two checkpoints, so that opening a table reads at most so many log entries.
const CHECKPOINT_INTERVAL: &str = "20";

/// A change of a table, all or nothing.
#[derive(Clone, Debug)]
pub struct Commit {
    /// What kind of write it is.
    pub kind: WriteKind,
    /// The files that it adds, from a [`crate::Writer`] of the same table.
    pub added: Vec<DataFile>,
    /// The files that it takes away.
    pub removed: Vec<DataFile>,
    /// The table's columns from then on.
    pub schema: SchemaRef,
    /// The sequence number of what the table holds from then on.
    pub sequence: u64,
    /// How many rows each run brought that it takes, for later ones to be compared with; none where it takes none.
    pub brought: Option<u64>,
    /// What else is done by it that must not be done twice; [`Table::has_noted`] tells of it from then on.
    pub note: Option<String>,
}

/// The kinds of writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WriteKind {
    /// Rows come beside those that are there.
    Append,
    /// Rows take the place of all that are there.
    Replace,
    /// Rows take the place of those with the same key.
    Upsert,
    /// The rows of a child table take the place of those whose parents were replaced; some may have no successor.
    Follow,
    /// The same rows lie in other files.
    Compact,
}

impl WriteKind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Replace => "replace",
            Self::Upsert => "upsert",
            Self::Follow => "follow",
            Self::Compact => "compact",
        }
    }

    /// What a commit says of itself.
    pub(crate) fn of_commit_info(info: &Value) -> Option<Self> {
        let said = info.get(KIND)?.as_str()?;
        let all = [
            Self::Append,
            Self::Replace,
            Self::Upsert,
            Self::Follow,
            Self::Compact,
        ];
        all.into_iter().find(|kind| kind.as_str() == said)
    }

    fn save_mode(self) -> SaveMode {
        match self {
            Self::Replace => SaveMode::Overwrite,
            Self::Append | Self::Upsert | Self::Follow | Self::Compact => SaveMode::Append,
        }
    }
}

/// The application id under which a note is kept.
pub(crate) fn note_application(note: &str) -> String {
    format!("{APPLICATION}/{note}")
}

/// Makes a table by its first commit.
pub(crate) async fn create(key: &str, log: LogStoreRef, commit: Commit) -> Result<Table, Error> {
    let metadata = delta_schema(&commit.schema)
        .and_then(|schema| {
            new_metadata(
                &schema,
                Vec::<String>::new(),
                [("delta.checkpointInterval", CHECKPOINT_INTERVAL)],
            )
            .map_err(Into::into)
        })
        .map_err(|error| Error::of(key, error))?;
    // The oldest protocol that there is: every reader of Delta reads it, and nothing here needs a later one.
    let protocol: Protocol =
        serde_json::from_value(json!({"minReaderVersion": 1, "minWriterVersion": 2}))
            .map_err(|error| Error::because(ErrorKind::Malformed, key, error))?;
    let before = vec![Action::Protocol(protocol), Action::Metadata(metadata)];
    send(key, log, None, before, commit).await
}

/// Commits upon a table as it was read.
pub(crate) async fn commit(
    key: &str,
    delta: &DeltaTable,
    state: &DeltaTableState,
    commit: Commit,
) -> Result<Table, Error> {
    let mut before = Vec::new();
    if commit.schema != state.snapshot().arrow_schema() {
        let metadata =
            with_schema(state.metadata(), &commit.schema).map_err(|error| Error::of(key, error))?;
        before.push(Action::Metadata(metadata));
    }
    send(key, delta.log_store(), Some(state), before, commit).await
}

async fn send(
    key: &str,
    log: LogStoreRef,
    state: Option<&DeltaTableState>,
    mut actions: Vec<Action>,
    commit: Commit,
) -> Result<Table, Error> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as i64);
    let changes = commit.kind != WriteKind::Compact;
    actions.extend(commit.removed.iter().map(|file| remove(file, now, changes)));
    actions.extend(commit.added.iter().map(|file| add(file, now, changes)));
    let operation = DeltaOperation::Write {
        mode: commit.kind.save_mode(),
        partition_by: None,
        predicate: None,
    };
    let mut transactions = vec![Transaction::new_with_last_update(
        APPLICATION,
        commit.sequence.cast_signed(),
        Some(now),
    )];
    transactions.extend(
        commit
            .note
            .as_deref()
            .map(|note| Transaction::new_with_last_update(note_application(note), 1, Some(now))),
    );
    let mut metadata = vec![(KIND.to_owned(), json!(commit.kind.as_str()))];
    metadata.extend(commit.brought.map(|rows| (BROUGHT.to_owned(), json!(rows))));
    // No retries: deltalake would resolve conflicts by files, and what is committed here rests on the sequence number and
    // on the keys that were read.
    let properties = CommitProperties::default()
        .with_max_retries(0)
        .with_application_transactions(transactions)
        .with_metadata(metadata);
    let finished = CommitBuilder::from(properties)
        .with_actions(actions)
        .build(
            state.map(|state| state as &dyn TableReference),
            log.clone(),
            operation,
        )
        .await
        .map_err(|error| Error::of(key, error))?;
    let mut delta = DeltaTable::new(log);
    delta.state = Some(finished.snapshot());
    Table::new(key, delta)
}

fn delta_schema(schema: &SchemaRef) -> DeltaResult<StructType> {
    Ok(schema.as_ref().try_into_kernel()?)
}

fn with_schema(metadata: &Metadata, schema: &SchemaRef) -> DeltaResult<Metadata> {
    metadata
        .clone()
        .with_schema(&delta_schema(schema)?)
        .map_err(Into::into)
}

fn add(file: &DataFile, now: i64, changes: bool) -> Action {
    Action::Add(Add {
        path: file.path.clone(),
        size: file.size.cast_signed(),
        modification_time: now,
        data_change: changes,
        stats: file.stats.clone(),
        ..Add::default()
    })
}

fn remove(file: &DataFile, now: i64, changes: bool) -> Action {
    Action::Remove(Remove {
        path: file.path.clone(),
        data_change: changes,
        deletion_timestamp: Some(now),
        extended_file_metadata: Some(true),
        partition_values: Some(HashMap::new()),
        size: Some(file.size.cast_signed()),
        ..Remove::default()
    })
}
