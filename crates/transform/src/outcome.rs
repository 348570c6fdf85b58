//! The tables that a step writes: as they were found, and what they become.

use crate::changes::Changes;
use crate::column::{kind_of, type_name};
use crate::decoder::{Decoder, link_key};
use crate::digest::root_digests;
use crate::family::{link_names, union};
use crate::job::Report;
use crate::plan::{Look, Plan, VALID_FROM, VALID_TO, read_schema};
use crate::sink::Sink;
use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use futures::TryStreamExt;
use millrace_lake::{Commit, Error, KeySet, Lake, Rewritten, Varied, WriteKind, Writer};
use millrace_model::definition::pipeline::{Contract, OnChange, Table, WriteMode};
use millrace_model::step::Finding;
use millrace_model::{Failure, FailureName, keys};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// What a commit notes beside the rows.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// The sequence number of what the table holds from then on; of rows that are replayed, their own.
    pub(crate) sequence: u64,
    /// How many rows each run brought.
    pub(crate) brought: Option<u64>,
    /// What is replayed, and must not be once more.
    pub(crate) note: Option<String>,
}

/// A root table and its children, as they are in the lake.
pub(crate) struct Target<'a> {
    lake: &'a Lake,
    pipeline: &'a str,
    table: &'a Table,
    /// Those that are there, by name, each with its sequence number.
    found: BTreeMap<String, (millrace_lake::Table, u64)>,
}

impl<'a> Target<'a> {
    pub(crate) async fn open(
        lake: &'a Lake,
        pipeline: &'a str,
        table: &'a Table,
    ) -> Result<Self, Failure> {
        let root = keys::table(pipeline, &table.name);
        let mut all = lake.tables(&format!("{root}__")).await?;
        all.push(root);
        let mut found = BTreeMap::new();
        for key in all {
            if let Some(table) = lake.table(&key).await? {
                let sequence = table.sequence().await?;
                let name = key.rsplit('/').next().unwrap_or(&key).to_owned();
                found.insert(name, (table, sequence));
            }
        }
        Ok(Self {
            lake,
            pipeline,
            table,
            found,
        })
    }

    /// The sequence number of what the root holds.
    pub(crate) fn sequence(&self) -> u64 {
        self.found
            .get(&self.table.name)
            .map_or(0, |(_, sequence)| *sequence)
    }

    /// How many bytes may have to be looked through for keys.
    pub(crate) fn bytes_to_search(&self) -> u64 {
        match self.table.write {
            WriteMode::Upsert | WriteMode::History => self
                .found
                .values()
                .flat_map(|(table, _)| table.files())
                .map(|file| file.size)
                .sum(),
            WriteMode::Append | WriteMode::Replace => 0,
        }
    }

    /// The columns whose types new rows have to keep to: none where all rows are replaced, unless a contract says what may
    /// change.
    pub(crate) fn schemas(&self) -> HashMap<String, SchemaRef> {
        let Contract {
            columns,
            types,
            tables,
            ..
        } = self.table.contract;
        let is_free = [columns, types, tables] == [OnChange::Evolve; 3];
        if self.table.write == WriteMode::Replace && is_free {
            return HashMap::new();
        }
        let found = self.found.iter();
        found
            .map(|(name, (table, _))| (name.clone(), table.schema()))
            .collect()
    }

    /// Whether a table holds the appended rows of a run already, from a step that ended before it came to the root.
    pub(crate) fn has_appended(&self, name: &str, sequence: u64) -> bool {
        self.table.write == WriteMode::Append
            && self
                .found
                .get(name)
                .is_some_and(|(_, holds)| *holds >= sequence)
    }

    /// Commits what was written: the children, and then the root.
    pub(crate) async fn commit(
        &self,
        mut decoder: Decoder,
        sinks: Vec<Option<Sink>>,
        step: &Step,
        report: &mut Report,
    ) -> Result<(), Failure> {
        decoder.add_declared()?;
        let declared = Arc::new(Schema::new(decoder.shape().root_fields()));
        let mut written: BTreeMap<String, Option<Sink>> = BTreeMap::new();
        for (name, sink) in decoder.shape().names().into_iter().zip(sinks) {
            written.insert(name, sink);
        }
        for name in self.found.keys() {
            written.entry(name.clone()).or_insert(None);
        }
        let changes = decoder.into_changes();
        let root = written.remove(&self.table.name).flatten();
        for (name, sink) in written {
            self.commit_one(&name, sink, None, &changes, step, report)
                .await?;
        }
        let name = &self.table.name;
        let version = self
            .commit_one(name, root, Some(&declared), &changes, step, report)
            .await?;
        if let Some(version) = version {
            report.counts.insert("version".to_owned(), version);
        }
        Ok(())
    }

    /// Shows a plan the table's rows of its keys, and has it decide.
    pub(crate) async fn settle(&self, plan: &mut Plan, decoded: &SchemaRef) -> Result<(), Failure> {
        if let Some((table, _)) = self.found.get(&self.table.name) {
            let history = self.table.write == WriteMode::History;
            let key = &self.table.key;
            let order = self.table.order.iter().filter(|_| !history).cloned();
            let only: Vec<String> = key.iter().cloned().chain(order).collect();
            let only = (!history).then_some(only.as_slice());
            let schema = read_schema(&table.schema(), decoded, only);
            let files = plan.keys().files(table, key);
            let mut rows = table.scan().files(files).schema(schema).stream();
            while let Some(batch) = rows.try_next().await? {
                self.meet(plan, &batch).map_err(|error| {
                    let message = format!(
                        "the rows of `{}` could not be compared: {error}",
                        table.key()
                    );
                    Failure::new(FailureName::Internal, message)
                })?;
            }
        }
        plan.settle().map_err(|error| {
            let message = format!(
                "the versions of `{}` could not be told apart: {error}",
                self.table.name
            );
            Failure::new(FailureName::Internal, message)
        })
    }

    fn meet(&self, plan: &mut Plan, batch: &RecordBatch) -> Result<(), ArrowError> {
        let keys = |batch: &RecordBatch| -> Vec<ArrayRef> {
            let columns = self.table.key.iter();
            columns
                .filter_map(|column| batch.column_by_name(column).cloned())
                .collect()
        };
        let held = plan.keys().contains(&keys(batch))?;
        if held.true_count() == 0 {
            return Ok(());
        }
        let batch = filter_record_batch(batch, &held)?;
        let history = self.table.write == WriteMode::History;
        let at = if history {
            Some(VALID_FROM)
        } else {
            self.table.order.as_deref()
        };
        let Some(at) = at.and_then(|at| batch.column_by_name(at)) else {
            return Ok(());
        };
        let digests = if history {
            root_digests(&batch)?
        } else {
            Vec::new()
        };
        let look = Look {
            key: &keys(&batch),
            at,
            digests: &digests,
        };
        plan.meet(&look, batch.column_by_name(VALID_TO))
    }

    /// Commits one table; `declared` are columns that the root has even where no record did.
    async fn commit_one(
        &self,
        name: &str,
        sink: Option<Sink>,
        declared: Option<&SchemaRef>,
        changes: &Changes,
        step: &Step,
        report: &mut Report,
    ) -> Result<Option<u64>, Failure> {
        let key = keys::table(self.pipeline, name);
        let is_root = declared.is_some();
        let found = self.found.get(name);
        let is_done = match (found, &step.note) {
            (Some((table, _)), Some(note)) => table.has_noted(note).await?,
            (Some((_, holds)), None) => *holds >= step.sequence,
            (None, _) => false,
        };
        if is_done {
            // A step that ended too early came this far.
            if let Some(sink) = sink {
                sink.discard(self.lake).await?;
            }
            return Ok(None);
        }
        // What is replayed came long ago: what the table holds beside it stays what it is.
        let sequence = match (&step.note, found) {
            (Some(_), Some((_, holds))) => *holds,
            _ => step.sequence,
        };
        let empty = Arc::new(Schema::empty());
        let mut schema = sink.as_ref().map_or(empty, |sink| sink.schema().clone());
        if let Some(declared) = declared {
            schema = union(Some(&schema), declared);
        }
        schema = merged(found.map(|(table, _)| table.schema()), &schema);
        let has_rows = sink.as_ref().is_some_and(|sink| sink.rows() > 0);
        let mut rewritten = Rewritten::default();
        let widened = found.is_some_and(|(table, _)| has_other_types(&table.schema(), &schema));
        let added = if self.table.write != WriteMode::Replace
            && let Some((table, _)) = found
            && (widened || !matches!(changes, Changes::None))
        {
            let mut writer = match sink {
                Some(sink) => sink.into_writer().await?,
                None => self.lake.writer(&key, schema.clone()),
            };
            writer.extend(schema.clone()).await?;
            rewritten = self
                .rewrite(table, changes, is_root, widened, &mut writer)
                .await?;
            writer.finish().await?
        } else {
            if let (WriteMode::Replace, Some((table, _))) = (self.table.write, found) {
                rewritten.removed = table.files();
            }
            match sink {
                Some(sink) => sink.into_writer().await?.finish().await?,
                None => Vec::new(),
            }
        };
        let removed = rewritten.removed;
        if schema.fields().is_empty() || (!is_root && !has_rows && removed.is_empty()) {
            return Ok(None);
        }
        *report.counts.entry("files".to_owned()).or_default() += added.len() as u64;
        let before = found.map(|(table, _)| table.schema());
        self.tell(name, before.as_ref(), &schema, report);
        let commit = Commit {
            kind: self.kind(is_root, changes),
            added,
            removed,
            schema,
            sequence,
            brought: step.brought.filter(|_| is_root),
            note: step.note.clone(),
        };
        let table = match found {
            Some((table, _)) => table.commit(commit).await?,
            None => self.lake.create(&key, commit).await?,
        };
        Ok(Some(table.version()))
    }

    /// Tells what has become of a table's columns; nothing of a table that is made with its root.
    fn tell(
        &self,
        name: &str,
        before: Option<&SchemaRef>,
        schema: &SchemaRef,
        report: &mut Report,
    ) {
        let table = name.to_owned();
        let is_told = self.found.contains_key(&self.table.name);
        let Some(before) = before else {
            let child =
                (is_told && name != self.table.name).then_some(Finding::ChildAdded { table });
            report.findings.extend(child);
            return;
        };
        for field in schema.fields() {
            let (table, column) = (table.clone(), field.name().clone());
            let is = named(field.data_type());
            let was = before.field_with_name(field.name());
            match was.map(|was| named(was.data_type())) {
                Ok(was) if was == is => {}
                Ok(from) => report.findings.push(Finding::ColumnWidened {
                    table,
                    column,
                    from,
                    to: is,
                }),
                Err(_) => report.findings.push(Finding::ColumnAdded {
                    table,
                    column,
                    kind: is,
                }),
            }
        }
    }

    /// Whether the root has taken what was noted so, and with it all that hangs on it.
    pub(crate) async fn has_noted(&self, note: &str) -> Result<bool, Failure> {
        match self.found.get(&self.table.name) {
            Some((table, _)) => Ok(table.has_noted(note).await?),
            None => Ok(false),
        }
    }

    /// How varied a table's columns are known to be.
    pub(crate) async fn varied(&self, name: &str) -> Result<Varied, Failure> {
        match self.found.get(name) {
            Some((table, _)) => Ok(table.varied().await?),
            None => Ok(Varied::default()),
        }
    }

    /// Those that it is time to look after.
    pub(crate) fn due(&self) -> Vec<String> {
        let due = self.found.iter().filter(|(_, (table, _))| table.is_due());
        due.map(|(name, _)| name.clone()).collect()
    }

    /// How many rows each of the last runs brought.
    pub(crate) async fn brought(&self) -> Result<Vec<u64>, Failure> {
        match self.found.get(&self.table.name) {
            Some((table, _)) => millrace_expect::past(table, &self.table.expect).await,
            None => Ok(Vec::new()),
        }
    }

    /// The newest values that the root has of columns that are held to their freshness.
    pub(crate) fn newest(&self) -> HashMap<String, i64> {
        match self.found.get(&self.table.name) {
            Some((table, _)) => millrace_expect::newest(table, &self.table.expect),
            None => HashMap::new(),
        }
    }

    /// Writes anew what the changes make of the table's rows, and all of them where a type has become another one.
    async fn rewrite(
        &self,
        table: &millrace_lake::Table,
        changes: &Changes,
        is_root: bool,
        everything: bool,
        writer: &mut Writer,
    ) -> Result<Rewritten, Error> {
        let key = link_key(self.table);
        let columns = if is_root {
            key.clone()
        } else {
            link_names(&key)
        };
        match changes {
            Changes::Replaced { keys, .. } => {
                keys.take_out(table, &columns, writer, everything).await
            }
            Changes::Versions(edits) if is_root => {
                let mut edit = |batch: &RecordBatch, _: &BooleanArray| edits.apply(batch, &columns);
                edits
                    .all
                    .rewrite(table, &columns, writer, everything, &mut edit)
                    .await
            }
            Changes::Versions(edits) => {
                edits
                    .children
                    .take_out(table, &columns, writer, everything)
                    .await
            }
            Changes::None => match KeySet::new(&[]) {
                Ok(none) => none.take_out(table, &[], writer, everything).await,
                Err(_) => Ok(Rewritten::default()),
            },
        }
    }

    fn kind(&self, is_root: bool, changes: &Changes) -> WriteKind {
        let deletes = matches!(changes, Changes::Replaced { deletes: true, .. });
        match self.table.write {
            WriteMode::Append => WriteKind::Append,
            WriteMode::Replace => WriteKind::Replace,
            // A version that is no more has a successor with the same key and beginning, or was deleted at its beginning.
            WriteMode::History if is_root && changes.removes_versions() => WriteKind::Follow,
            WriteMode::Upsert | WriteMode::History if is_root && !deletes => WriteKind::Upsert,
            WriteMode::Upsert | WriteMode::History => WriteKind::Follow,
        }
    }
}

/// A type's name, as an author writes it.
fn named(kind: &DataType) -> String {
    kind_of(kind).map_or_else(|| kind.to_string(), type_name)
}

/// Whether a column has become one of another type.
fn has_other_types(found: &SchemaRef, schema: &SchemaRef) -> bool {
    found.fields().iter().any(|field| {
        schema
            .field_with_name(field.name())
            .is_ok_and(|new| new.data_type() != field.data_type())
    })
}

/// The table's columns from now on: it loses none, and a type is the one that was written last, which is a wider one
/// unless all rows are replaced.
fn merged(found: Option<SchemaRef>, written: &SchemaRef) -> SchemaRef {
    let Some(found) = found else {
        return written.clone();
    };
    let field = |field: &Arc<Field>| {
        let new = written
            .fields()
            .iter()
            .find(|new| new.name() == field.name());
        new.unwrap_or(field).clone()
    };
    let kept: Vec<_> = found.fields().iter().map(field).collect();
    union(Some(&Arc::new(Schema::new(kept))), written)
}
