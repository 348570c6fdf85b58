use crate::Commit;
use crate::commit::{APPLICATION, WriteKind, commit, note_application};
use crate::error::{Error, ErrorKind};
use crate::parquet_file::ParquetFile;
use crate::scan::Scan;
use crate::writer::Varied;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use deltalake_core::DeltaTable;
use deltalake_core::table::state::DeltaTableState;
use futures::TryStreamExt;
use object_store::ObjectStore;
use object_store::path::Path;
use parquet::arrow::async_reader::AsyncFileReader;
use serde_json::Value;
use std::collections::HashSet;
use std::sync::Arc;

/// A Delta table as one version has it.
#[derive(Clone)]
pub struct Table {
    key: String,
    delta: DeltaTable,
    state: DeltaTableState,
}

/// A file of a table's rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataFile {
    /// Its path within the table's folder.
    pub path: String,
    /// How many bytes it has.
    pub size: u64,
    /// How many rows it has, where its statistics say so.
    pub rows: Option<u64>,
    /// Its statistics, as Delta writes them.
    pub stats: Option<String>,
}

impl Table {
    pub(crate) fn new(key: &str, delta: DeltaTable) -> Result<Self, Error> {
        let state = delta
            .snapshot()
            .map_err(|error| Error::of(key, error))?
            .clone();
        // A later reader version would mean deletion vectors or column mapping, which a plain Parquet scan reads wrongly.
        if state.protocol().min_reader_version() > 1 {
            return Err(Error::new(ErrorKind::Unsupported, key));
        }
        Ok(Self {
            key: key.to_owned(),
            delta,
            state,
        })
    }

    /// The table's newest version, if there is a newer one: the log behind this one alone is looked at.
    pub async fn newer(&self) -> Result<Option<Self>, Error> {
        let mut delta = self.delta.clone();
        let updated = delta.update_state().await;
        updated.map_err(|error| Error::of(&self.key, error))?;
        let newer = Self::new(&self.key, delta)?;
        Ok((newer.version() != self.version()).then_some(newer))
    }

    /// The table as a version has it: the log between that one and this one alone is looked at, where that one is newer.
    pub async fn at_version(&self, version: u64) -> Result<Self, Error> {
        let mut delta = self.delta.clone();
        let loaded = delta.load_version(version).await;
        loaded.map_err(|error| Error::of(&self.key, error))?;
        Self::new(&self.key, delta)
    }

    /// The key under which it lies.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Its version: the number of the commit that made it so.
    pub fn version(&self) -> u64 {
        self.state.version()
    }

    /// Its columns.
    pub fn schema(&self) -> SchemaRef {
        self.state.snapshot().arrow_schema()
    }

    /// The sequence number of what it holds: 0 where no commit noted one.
    pub async fn sequence(&self) -> Result<u64, Error> {
        self.state
            .transaction_version(&self.delta.log_store(), APPLICATION)
            .await
            .map(|sequence| sequence.map_or(0, i64::cast_unsigned))
            .map_err(|error| Error::of(&self.key, error))
    }

    /// Whether a commit has made that note.
    pub async fn has_noted(&self, note: &str) -> Result<bool, Error> {
        self.state
            .transaction_version(&self.delta.log_store(), note_application(note))
            .await
            .map(|version| version.is_some())
            .map_err(|error| Error::of(&self.key, error))
    }

    /// Its files, each with its statistics.
    pub fn files(&self) -> Vec<DataFile> {
        self.state
            .log_data()
            .iter()
            .map(|file| DataFile {
                path: file.path().into_owned(),
                size: file.size().max(0).cast_unsigned(),
                rows: file.num_records().map(|rows| rows as u64),
                stats: file.stats(),
            })
            .collect()
    }

    /// How many rows it has; none where a file's statistics do not say.
    pub fn rows(&self) -> Option<u64> {
        self.files().iter().map(|file| file.rows).sum()
    }

    /// Its rows: all columns of all files, unless the scan is told otherwise.
    pub fn scan(&self) -> Scan {
        Scan::new(&self.key, self.store(), self.schema(), self.files())
    }

    /// The columns whose values vary so much in its largest file that no dictionary was of use.
    pub async fn varied(&self) -> Result<Varied, Error> {
        let files = self.files();
        let Some(largest) = files.iter().max_by_key(|file| file.size) else {
            return Ok(Varied::default());
        };
        let mut file = ParquetFile {
            store: self.store(),
            path: Path::from(largest.path.as_str()),
            size: largest.size,
        };
        let metadata = file.get_metadata(None).await;
        let metadata = metadata.map_err(|error| Error::of(&self.key, error))?;
        Ok(Varied::of(&metadata))
    }

    /// Its first rows, at most so many.
    pub async fn preview(&self, rows: usize) -> Result<Vec<RecordBatch>, Error> {
        let mut stream = self.scan().batch_rows(rows.max(1)).stream();
        let (mut batches, mut left) = (Vec::new(), rows);
        while left > 0
            && let Some(batch) = stream.try_next().await?
        {
            let batch = batch.slice(0, batch.num_rows().min(left));
            left -= batch.num_rows();
            batches.push(batch);
        }
        Ok(batches)
    }

    /// The files that hold what was written since that version: their rows, merged by the table's key into what a reader
    /// has of that version, give this version. None where that does not hold and all must be read: rows were deleted or
    /// replaced, the columns changed, or the log of that time is gone.
    ///
    /// The rows of a file that an upsert rewrote are among them, new or not.
    pub async fn changes_since(&self, version: u64) -> Result<Option<Vec<DataFile>>, Error> {
        if version > self.version() {
            return Ok(None);
        }
        let mut added: HashSet<String> = HashSet::new();
        for version in version + 1..=self.version() {
            let Some(actions) = self.actions(version).await? else {
                return Ok(None);
            };
            // Rows that were added since lie beside older ones now.
            let mut moved = paths(&actions, "remove", false);
            if moved.any(|path| added.contains(path)) {
                return Ok(None);
            }
            match added_by(&actions) {
                Some(paths) => added.extend(paths),
                None => return Ok(None),
            }
        }
        let mut files = self.files();
        files.retain(|file| added.contains(&file.path));
        Ok(Some(files))
    }

    /// The files that the last commit added.
    pub(crate) async fn added_last(&self) -> Result<HashSet<String>, Error> {
        let actions = self.actions(self.version()).await?.unwrap_or_default();
        Ok(paths(&actions, "add", true).map(str::to_owned).collect())
    }

    /// The files that were taken away since then, in milliseconds since 1970.
    pub(crate) async fn removed_since(&self, since: i64) -> Result<Vec<Path>, Error> {
        let log = self.delta.log_store();
        self.state
            .all_tombstones(&log)
            .try_filter(|removed| {
                let at = removed.deletion_timestamp().unwrap_or(i64::MAX);
                futures::future::ready(at >= since)
            })
            .map_ok(|removed| Path::from(removed.path().as_ref()))
            .try_collect()
            .await
            .map_err(|error| Error::of(&self.key, error))
    }

    /// What a version's commit says; none where the log of that time is gone.
    pub(crate) async fn actions(&self, version: u64) -> Result<Option<Vec<Value>>, Error> {
        let log = self.delta.log_store();
        let entry = log
            .read_commit_entry(version)
            .await
            .map_err(|error| Error::of(&self.key, error))?;
        let Some(entry) = entry else { return Ok(None) };
        entry
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.trim_ascii().is_empty())
            .map(serde_json::from_slice::<Value>)
            .collect::<Result<Vec<_>, _>>()
            .map(Some)
            .map_err(|error| Error::because(ErrorKind::Malformed, &self.key, error))
    }

    /// Commits upon this version. `Conflict` where the table has got another one in the meantime.
    pub async fn commit(&self, change: Commit) -> Result<Self, Error> {
        commit(&self.key, &self.delta, &self.state, change).await
    }

    pub(crate) fn delta(&self) -> &DeltaTable {
        &self.delta
    }

    /// The store of its files, whose root is the table's folder.
    pub fn store(&self) -> Arc<dyn ObjectStore> {
        self.delta.object_store()
    }
}

impl std::fmt::Debug for Table {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Table")
            .field("key", &self.key)
            .field("version", &self.version())
            .finish_non_exhaustive()
    }
}

/// The files that a commit's actions of that name are about, which change data or do not.
fn paths<'a>(
    actions: &'a [Value],
    name: &'a str,
    changes_data: bool,
) -> impl Iterator<Item = &'a str> {
    actions
        .iter()
        .filter_map(move |action| action.get(name))
        .filter(move |file| (file["dataChange"] != Value::Bool(false)) == changes_data)
        .filter_map(|file| file["path"].as_str())
}

/// The files that a commit added; none where a reader cannot follow it by merging them.
fn added_by(actions: &[Value]) -> Option<Vec<String>> {
    let kind = actions
        .iter()
        .find_map(|action| WriteKind::of_commit_info(action.get("commitInfo")?));
    let removes = paths(actions, "remove", true).next().is_some();
    let metadata = actions
        .iter()
        .any(|action| action.get("metaData").is_some());
    let followed = match kind {
        Some(WriteKind::Upsert) => true,
        // What others write, and what appends, is followed as long as it takes nothing away.
        Some(WriteKind::Append | WriteKind::Compact) | None => !removes,
        Some(WriteKind::Replace | WriteKind::Follow) => false,
    };
    if metadata || !followed {
        return None;
    }
    Some(paths(actions, "add", true).map(str::to_owned).collect())
}
