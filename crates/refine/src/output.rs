//! A model's rows, on their way into files.

use crate::quarantine::Quarantine;
use crate::record::records;
use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::{filter_record_batch, not};
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use futures::TryStreamExt;
use millrace_expect::{Breach, Checks, Expectations, check_room};
use millrace_lake::{DataFile, KeySet, Lake, Writer};
use millrace_model::definition::pipeline::{Model, Otherwise, WriteMode};
use millrace_model::{Failure, FailureName};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Takes a model's rows, holds them to what is expected of them, and writes them.
pub(crate) struct Output<'a> {
    lake: &'a Lake,
    key: &'a str,
    model: &'a Model,
    writer: Writer,
    expectations: Expectations,
    kept: Kept,
    quarantine: Quarantine,
    warned: u64,
}

/// The rows that are written.
#[derive(Default)]
struct Kept {
    /// Their keys, where each row has one of its own.
    keys: Option<KeySet>,
    rows: u64,
}

/// What was written, and is in no table yet.
pub(crate) struct Written {
    pub(crate) files: Vec<DataFile>,
    pub(crate) expectations: Expectations,
    pub(crate) keys: Option<KeySet>,
    pub(crate) rows: u64,
    pub(crate) quarantine: Quarantine,
    pub(crate) warned: u64,
}

impl<'a> Output<'a> {
    pub(crate) fn new(
        lake: &'a Lake,
        key: &'a str,
        model: &'a Model,
        schema: &SchemaRef,
    ) -> Result<Self, Failure> {
        Ok(Self {
            lake,
            key,
            model,
            writer: lake.writer(key, schema.clone()),
            expectations: Expectations::new(&model.name, &model.expect),
            kept: Kept::new(model, schema)?,
            quarantine: Quarantine::default(),
            warned: 0,
        })
    }

    pub(crate) fn rows(&self) -> u64 {
        self.kept.rows
    }

    pub(crate) async fn write(&mut self, batch: &RecordBatch) -> Result<(), Failure> {
        let breaches = self.breaches(batch, Checks::Alone)?;
        let batch = self.keep_out(batch, &breaches)?;
        if self.expectations.have_references() {
            self.expectations.gather(&batch)?;
        }
        self.kept.add(self.model, &batch)?;
        self.writer.write(&batch).await?;
        Ok(())
    }

    /// The files, once all rows are written and those held against one another that have to be.
    pub(crate) async fn finish(mut self, pipeline: &str) -> Result<Written, Failure> {
        let (lake, key) = (self.lake, self.key);
        let schema = self.writer.schema().clone();
        let writer = std::mem::replace(&mut self.writer, lake.writer(key, schema.clone()));
        let mut files = writer.finish().await?;
        match self.hold_together(&files, &schema, pipeline).await {
            Ok(None) => {}
            Ok(Some(fewer)) => {
                lake.discard(key, &files).await;
                files = fewer;
            }
            Err(failure) => {
                lake.discard(key, &files).await;
                return Err(failure);
            }
        }
        Ok(Written {
            files,
            expectations: self.expectations,
            keys: self.kept.keys,
            rows: self.kept.rows,
            quarantine: self.quarantine,
            warned: self.warned,
        })
    }

    /// Gives up what was written.
    pub(crate) async fn discard(self) -> Result<(), Failure> {
        let files = self.writer.finish().await?;
        self.lake.discard(self.key, &files).await;
        Ok(())
    }

    /// Reads once more those columns that hold a row against others. Gives files in the place of those where rows have to
    /// be kept out.
    async fn hold_together(
        &mut self,
        files: &[DataFile],
        schema: &SchemaRef,
        pipeline: &str,
    ) -> Result<Option<Vec<DataFile>>, Failure> {
        let wanted = self.joint_columns(schema);
        if wanted.is_empty() {
            return Ok(None);
        }
        millrace_expect::settle(&mut self.expectations, self.lake, pipeline).await?;
        let scan = self
            .lake
            .scan(self.key, Arc::new(Schema::new(wanted)), files.to_vec());
        let (mut rows, mut before, mut bytes) = (scan.stream(), 0, 0);
        let mut kept_out: VecDeque<Breach> = VecDeque::new();
        while let Some(batch) = rows.try_next().await? {
            for mut breach in first_of_each_row(self.breaches(&batch, Checks::Together)?) {
                bytes += breach.reason.len() + breach.column.len();
                check_room(&self.model.name, bytes)?;
                breach.row += before;
                kept_out.push_back(breach);
            }
            before += batch.num_rows();
        }
        if kept_out.is_empty() {
            return Ok(None);
        }
        self.write_again(files, schema, kept_out).await.map(Some)
    }

    /// The columns of expectations that hold a row against others.
    fn joint_columns(&self, schema: &SchemaRef) -> Vec<Field> {
        let joint = self.model.expect.iter().filter(|held| held.rule.is_joint());
        let mut wanted: Vec<Field> = Vec::new();
        for expectation in joint {
            if let Ok(field) = schema.field_with_name(&expectation.column)
                && !wanted.contains(field)
            {
                wanted.push(field.clone());
            }
        }
        wanted
    }

    /// Writes the rows of those files anew, but for some, whose numbers the breaches have as their rows, in order.
    async fn write_again(
        &mut self,
        files: &[DataFile],
        schema: &SchemaRef,
        mut kept_out: VecDeque<Breach>,
    ) -> Result<Vec<DataFile>, Failure> {
        self.kept = Kept::new(self.model, schema)?;
        let scan = self.lake.scan(self.key, schema.clone(), files.to_vec());
        let (mut rows, mut before) = (scan.stream(), 0);
        let mut writer = self.lake.writer(self.key, schema.clone());
        let written = async {
            while let Some(batch) = rows.try_next().await? {
                let end = before + batch.num_rows();
                let mut here = Vec::new();
                while let Some(mut breach) = kept_out.pop_front_if(|breach| breach.row < end) {
                    breach.row -= before;
                    here.push(breach);
                }
                before = end;
                let batch = self.keep_out(&batch, &here)?;
                self.kept.add(self.model, &batch)?;
                writer.write(&batch).await?;
            }
            Ok(())
        };
        let written: Result<(), Failure> = written.await;
        let files = writer.finish().await?;
        if let Err(failure) = written {
            self.lake.discard(self.key, &files).await;
            return Err(failure);
        }
        Ok(files)
    }

    /// The rows that are to be kept out, each with the reason; those that are only warned of are counted. `BadData` where
    /// one is to fail the step.
    fn breaches(&mut self, batch: &RecordBatch, checks: Checks) -> Result<Vec<Breach>, Failure> {
        let all = BooleanArray::from(vec![true; batch.num_rows()]);
        let mut breaches = self.expectations.check(batch, &all, checks)?;
        if checks == Checks::Alone && self.expectations.have_schemas() {
            let records = records(batch).map_err(|error| internal(&error))?;
            let records = records.iter().map(String::as_str);
            breaches.extend(self.expectations.check_records(records, &all));
        }
        let fails = |breach: &&Breach| breach.otherwise == Otherwise::Fail;
        if let Some(breach) = breaches.iter().find(fails) {
            return Err(self.broken(breach, &breaches));
        }
        let warns = |breach: &&Breach| breach.otherwise == Otherwise::Warn;
        let warned: BTreeSet<usize> = breaches
            .iter()
            .filter(warns)
            .map(|breach| breach.row)
            .collect();
        self.warned += warned.len() as u64;
        breaches.retain(|breach| breach.otherwise == Otherwise::Quarantine);
        Ok(breaches)
    }

    /// Puts the rows of those breaches into quarantine, and gives the others.
    fn keep_out(
        &mut self,
        batch: &RecordBatch,
        breaches: &[Breach],
    ) -> Result<RecordBatch, Failure> {
        if breaches.is_empty() {
            return Ok(batch.clone());
        }
        let mut first: Vec<Option<&Breach>> = vec![None; batch.num_rows()];
        for breach in breaches {
            first[breach.row].get_or_insert(breach);
        }
        let is_out: BooleanArray = first.iter().map(|breach| Some(breach.is_some())).collect();
        let out = filter_record_batch(batch, &is_out).map_err(|error| internal(&error))?;
        let reasons: Vec<&Breach> = first.into_iter().flatten().collect();
        self.quarantine.add(self.model, &out, &reasons)?;
        let kept = not(&is_out).and_then(|kept| filter_record_batch(batch, &kept));
        kept.map_err(|error| internal(&error))
    }

    fn broken(&self, breach: &Breach, all: &[Breach]) -> Failure {
        let alike = all
            .iter()
            .filter(|other| other.column == breach.column && other.reason == breach.reason)
            .count();
        Failure::new(
            FailureName::BadData,
            format!(
                "`{}` of the model `{}` breaks what is expected of it: {} (in {alike} of the rows that were looked at). Nothing \
                 was written; correct the SELECT, what it reads, or the expectation, or let that say `otherwise: warn` or \
                 `quarantine`",
                breach.column, self.model.name, breach.reason
            ),
        )
    }
}

impl Kept {
    fn new(model: &Model, schema: &SchemaRef) -> Result<Self, Failure> {
        // What is appended may well have a key that is there already.
        let is_told_apart = !model.key.is_empty() && model.write != WriteMode::Append;
        let keys = is_told_apart.then(|| key_set(model, schema)).transpose()?;
        Ok(Self { keys, rows: 0 })
    }

    fn add(&mut self, model: &Model, batch: &RecordBatch) -> Result<(), Failure> {
        self.rows += batch.num_rows() as u64;
        let Some(keys) = &mut self.keys else {
            return Ok(());
        };
        let new = keys
            .insert(&columns(batch, &model.key))
            .map_err(|error| internal(&error))?;
        if new.false_count() > 0 {
            return Err(Failure::new(
                FailureName::BadData,
                format!(
                    "the answer of the model `{}` has several rows with one key ({}): group by the key, or name more columns \
                     in it",
                    model.name,
                    model.key.join(", ")
                ),
            ));
        }
        Ok(())
    }
}

/// Of several breaches of one row the first.
fn first_of_each_row(breaches: Vec<Breach>) -> impl Iterator<Item = Breach> {
    let mut first: BTreeMap<usize, Breach> = BTreeMap::new();
    for breach in breaches {
        first.entry(breach.row).or_insert(breach);
    }
    first.into_values()
}

fn key_set(model: &Model, schema: &SchemaRef) -> Result<KeySet, Failure> {
    let kinds = model
        .key
        .iter()
        .filter_map(|name| schema.field_with_name(name).ok())
        .map(|field| field.data_type().clone());
    KeySet::new(&kinds.collect::<Vec<_>>()).map_err(|error| internal(&error))
}

fn columns(batch: &RecordBatch, names: &[String]) -> Vec<ArrayRef> {
    names
        .iter()
        .filter_map(|name| batch.column_by_name(name).cloned())
        .collect()
}

fn internal(error: &ArrowError) -> Failure {
    Failure::new(
        FailureName::Internal,
        format!("a model's rows could not be compared: {error}"),
    )
}
