//! The tables that a step writes: as they were found, and what they become.

use crate::decoder::Decoder;
use crate::family::{link_names, union};
use crate::sink::Sink;
use arrow::datatypes::{Field, Schema, SchemaRef};
use millrace_lake::{Commit, KeySet, Lake, WriteKind};
use millrace_model::definition::pipeline::{Table, WriteMode};
use millrace_model::step::Counts;
use millrace_model::{Failure, keys};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

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
            WriteMode::Upsert => self
                .found
                .values()
                .flat_map(|(table, _)| table.files())
                .map(|file| file.size)
                .sum(),
            WriteMode::Append | WriteMode::Replace => 0,
        }
    }

    /// The columns whose types new rows have to keep to: none where all rows are replaced.
    pub(crate) fn schemas(&self) -> HashMap<String, SchemaRef> {
        match self.table.write {
            WriteMode::Replace => HashMap::new(),
            WriteMode::Append | WriteMode::Upsert => self
                .found
                .iter()
                .map(|(name, (table, _))| (name.clone(), table.schema()))
                .collect(),
        }
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
        sequence: u64,
        counts: &mut Counts,
    ) -> Result<(), Failure> {
        decoder.add_declared()?;
        let declared = Arc::new(Schema::new(decoder.shape().tables()[0].fields()));
        let mut written: BTreeMap<String, Option<Sink>> = BTreeMap::new();
        for (table, sink) in decoder.shape().tables().iter().zip(sinks) {
            written.insert(table.name.clone(), sink);
        }
        for name in self.found.keys() {
            written.entry(name.clone()).or_insert(None);
        }
        let keys = decoder.into_keys();
        let root = written.remove(&self.table.name).flatten();
        for (name, sink) in written {
            self.commit_one(&name, sink, None, keys.as_ref(), sequence, counts)
                .await?;
        }
        let version = self
            .commit_one(
                &self.table.name,
                root,
                Some(&declared),
                keys.as_ref(),
                sequence,
                counts,
            )
            .await?;
        if let Some(version) = version {
            counts.insert("version".to_owned(), version);
        }
        Ok(())
    }

    /// Commits one table; `declared` are columns that the root has even where no record did.
    async fn commit_one(
        &self,
        name: &str,
        sink: Option<Sink>,
        declared: Option<&SchemaRef>,
        keys: Option<&KeySet>,
        sequence: u64,
        counts: &mut Counts,
    ) -> Result<Option<u64>, Failure> {
        let key = keys::table(self.pipeline, name);
        let is_root = declared.is_some();
        let found = self.found.get(name);
        if let Some((_, holds)) = found
            && *holds >= sequence
        {
            // A step that ended too early came this far.
            if let Some(sink) = sink {
                sink.discard(self.lake).await?;
            }
            return Ok(None);
        }
        let empty = Arc::new(Schema::empty());
        let mut schema = sink.as_ref().map_or(empty, |sink| sink.schema().clone());
        if let Some(declared) = declared {
            schema = union(Some(&schema), declared);
        }
        schema = self.merged(found.map(|(table, _)| table.schema()), &schema);
        let (mut removed, mut taken_out) = (Vec::new(), 0);
        let mut added = Vec::new();
        let has_rows = sink.as_ref().is_some_and(|sink| sink.rows() > 0);
        if let (WriteMode::Upsert, Some((table, _)), Some(keys)) = (self.table.write, found, keys) {
            let mut writer = match sink {
                Some(sink) => sink.into_writer().await?,
                None => self.lake.writer(&key, schema.clone()),
            };
            writer.extend(schema.clone()).await?;
            let columns = if is_root {
                self.table.key.clone()
            } else {
                link_names(&self.table.key)
            };
            let rewritten = keys.take_out(table, &columns, &mut writer).await?;
            (removed, taken_out) = (rewritten.removed, rewritten.rows);
            added = writer.finish().await?;
        } else {
            if let Some(sink) = sink {
                added = sink.into_writer().await?.finish().await?;
            }
            if let (WriteMode::Replace, Some((table, _))) = (self.table.write, found) {
                removed = table.files();
            }
        }
        let changes = has_rows || taken_out > 0 || !removed.is_empty();
        if schema.fields().is_empty() || (!is_root && !changes) {
            return Ok(None);
        }
        *counts.entry("files".to_owned()).or_default() += added.len() as u64;
        let commit = Commit {
            kind: self.kind(is_root),
            added,
            removed,
            schema,
            sequence,
        };
        let table = match found {
            Some((table, _)) => table.commit(commit).await?,
            None => self.lake.create(&key, commit).await?,
        };
        Ok(Some(table.version()))
    }

    fn kind(&self, is_root: bool) -> WriteKind {
        match self.table.write {
            WriteMode::Append => WriteKind::Append,
            WriteMode::Replace => WriteKind::Replace,
            WriteMode::Upsert if is_root => WriteKind::Upsert,
            WriteMode::Upsert => WriteKind::Follow,
        }
    }

    /// The table's columns from now on: it loses none, and where its rows are replaced, types may be new.
    fn merged(&self, found: Option<SchemaRef>, written: &SchemaRef) -> SchemaRef {
        let Some(found) = found else {
            return written.clone();
        };
        if self.table.write != WriteMode::Replace {
            return union(Some(&found), written);
        }
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
}
