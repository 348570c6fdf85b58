//! The rows' way into Redis: streamed from the lake, encoded, and written in batches.

use super::document::{self, Unfit};
use super::target::Target;
use super::turn::Turn;
use crate::{Progress, Stop};
use arrow::array::RecordBatch;
use futures::TryStreamExt as _;
use millrace_lake::Scan;
use millrace_model::definition::pipeline::DocumentForm;
use millrace_model::{Failure, FailureName};
use millrace_redis::{Layout, Pipeline, cmd, keys};

/// How many rows are read at once, and written in one transaction at most: the server does nothing else meanwhile.
const ROWS: usize = 500;
/// How many bytes are written in one transaction, beside the last row's.
const BYTES: usize = 1024 * 1024;
/// The largest row, in bytes. An answer holds five of them.
const LARGEST: usize = 1024 * 1024;

/// Writes rows, all of one publish.
pub struct Load<'a> {
    layout: &'a Layout,
    clock: u64,
    turn: &'a mut Turn,
    table: &'a str,
    /// The key of the set of keys.
    rows: String,
    /// The places of the key's columns.
    key: Vec<usize>,
}

/// Rows that are about to be written.
struct Batch {
    commands: Pipeline,
    keys: Vec<String>,
    bytes: usize,
}

impl<'a> Load<'a> {
    /// A load at that time, which is later than all before.
    pub fn new(
        target: &'a Target,
        layout: &'a Layout,
        clock: u64,
        turn: &'a mut Turn,
    ) -> Result<Self, Failure> {
        let place = |name: &str| layout.columns.iter().position(|column| column.name == name);
        let key: Option<Vec<usize>> = layout.key.columns().map(place).collect();
        let missing = || Failure::new(FailureName::Internal, "a key without its column");
        Ok(Self {
            layout,
            clock,
            turn,
            table: &target.name,
            rows: keys::rows(&target.name),
            key: key.ok_or_else(missing)?,
        })
    }

    /// Writes the rows of a scan.
    pub async fn write(&mut self, scan: Scan, progress: &mut Progress<'_>) -> Result<(), Stop> {
        let columns = self.layout.columns.iter();
        let names: Vec<&str> = columns.map(|column| column.name.as_str()).collect();
        let mut batches = scan.columns(&names).batch_rows(ROWS).stream();
        let (mut rows, mut inserted) = (0, 0);
        while let Some(rows_read) = batches.try_next().await.map_err(Failure::from)? {
            let mut batch = self.batch();
            for row in 0..rows_read.num_rows() {
                self.push(&rows_read, row, &mut batch)?;
                if batch.bytes >= BYTES {
                    let full = std::mem::replace(&mut batch, self.batch());
                    inserted += self.flush(full, progress).await?;
                }
            }
            inserted += self.flush(batch, progress).await?;
            rows += rows_read.num_rows() as u64;
            progress.rows(rows_read.num_rows())?;
        }
        let mut count = cmd("ZCOUNT");
        count.arg(&self.rows).arg(self.clock).arg(self.clock);
        let different: u64 = self.turn.connection.ask(&count).await?;
        if different != rows {
            let text = format!(
                "{}: {rows} rows have {different} different keys (`{}`): correct the table's `key`, or its `write`",
                self.table, self.layout.key
            );
            return Err(Failure::new(FailureName::BadData, text).into());
        }
        progress.set("rows_inserted", inserted);
        Ok(())
    }

    fn batch(&self) -> Batch {
        Batch {
            commands: self.turn.commands(),
            keys: Vec::with_capacity(ROWS),
            bytes: 0,
        }
    }

    fn push(&self, rows: &RecordBatch, row: usize, batch: &mut Batch) -> Result<(), Failure> {
        let bad =
            |unfit: Unfit| Failure::new(FailureName::BadData, format!("{}: {unfit}", self.table));
        let key = self.key(rows, row).map_err(bad)?;
        let ttl = self.layout.ttl.map(|seconds| seconds * 1000);
        let size = match self.layout.form {
            DocumentForm::Document => {
                let document = document::json(rows, row, &self.layout.columns).map_err(bad)?;
                let set = batch.commands.cmd("SET").arg(&key).arg(&document);
                if let Some(ttl) = ttl {
                    set.arg("PX").arg(ttl);
                }
                set.ignore();
                document.len()
            }
            DocumentForm::Hash => {
                let fields = document::fields(rows, row, &self.layout.columns).map_err(bad)?;
                batch.commands.cmd("DEL").arg(&key).ignore();
                batch.commands.cmd("HSET").arg(&key).arg(&fields).ignore();
                if let Some(ttl) = ttl {
                    batch.commands.cmd("PEXPIRE").arg(&key).arg(ttl).ignore();
                }
                fields
                    .iter()
                    .map(|(name, value)| name.len() + value.len())
                    .sum()
            }
        };
        if size > LARGEST {
            let text = format!(
                "{}: the row under `{key}` has {size} bytes, and may have {LARGEST}: leave columns out",
                self.table
            );
            return Err(Failure::new(FailureName::BadData, text));
        }
        batch.bytes += key.len() + size;
        batch.keys.push(key);
        Ok(())
    }

    /// The key of a row.
    fn key(&self, rows: &RecordBatch, row: usize) -> Result<String, Unfit> {
        let mut parts = Vec::with_capacity(self.key.len());
        for place in &self.key {
            let column = &self.layout.columns[*place];
            let value = document::plain(rows.column(*place), row, column)?;
            parts.push(
                value.ok_or_else(|| Unfit::of(column, "names rows, and has none of a value"))?,
            );
        }
        let key = self.layout.key.key(parts.iter().map(String::as_str));
        key.ok_or_else(|| {
            let column = &self.layout.columns[self.key[0]];
            Unfit::of(column, "makes a key of more than 1,024 bytes")
        })
    }

    /// Writes a batch; says how many of its rows are new.
    async fn flush(&mut self, mut batch: Batch, progress: &mut Progress<'_>) -> Result<u64, Stop> {
        if batch.keys.is_empty() {
            return Ok(0);
        }
        let add = batch.commands.cmd("ZADD").arg(&self.rows);
        for key in &batch.keys {
            add.arg(self.clock).arg(key);
        }
        let (inserted,): (u64,) = self.turn.write(&batch.commands).await?;
        progress.bytes(batch.bytes);
        Ok(inserted)
    }

    /// Removes the rows that were last written by publishes before that time.
    pub async fn remove_before(
        &mut self,
        clock: u64,
        progress: &mut Progress<'_>,
    ) -> Result<(), Stop> {
        let mut find = cmd("ZRANGEBYSCORE");
        find.arg(&self.rows).arg("-inf").arg(format!("({clock}"));
        find.arg("LIMIT").arg(0).arg(ROWS);
        let mut removed = 0;
        loop {
            let old: Vec<String> = self.turn.connection.ask(&find).await?;
            if old.is_empty() {
                break;
            }
            let mut commands = self.turn.commands();
            commands.cmd("UNLINK").arg(&old);
            commands.cmd("ZREM").arg(&self.rows).arg(&old).ignore();
            let (gone,): (u64,) = self.turn.write(&commands).await?;
            removed += gone;
            progress.set("rows_removed", removed);
        }
        Ok(())
    }
}
