//! A model's rows, on their way into files.

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use futures::TryStreamExt;
use millrace_expect::{Breach, Checks, Expectations};
use millrace_lake::{DataFile, KeySet, Lake, Writer};
use millrace_model::definition::pipeline::{Model, Otherwise, WriteMode};
use millrace_model::{Failure, FailureName};
use std::sync::Arc;

/// Takes a model's rows, holds them to what is expected of them, and writes them.
pub(crate) struct Output<'a> {
    lake: &'a Lake,
    key: &'a str,
    model: &'a Model,
    writer: Writer,
    expectations: Expectations,
    /// The keys of the rows, where each row has one of its own.
    keys: Option<KeySet>,
    rows: u64,
    warned: u64,
}

/// What was written, and is in no table yet.
pub(crate) struct Written {
    pub(crate) files: Vec<DataFile>,
    pub(crate) expectations: Expectations,
    pub(crate) keys: Option<KeySet>,
    pub(crate) rows: u64,
    pub(crate) warned: u64,
}

impl<'a> Output<'a> {
    pub(crate) fn new(
        lake: &'a Lake,
        key: &'a str,
        model: &'a Model,
        schema: &SchemaRef,
    ) -> Result<Self, Failure> {
        // What is appended may well have a key that is there already.
        let is_told_apart = !model.key.is_empty() && model.write != WriteMode::Append;
        let keys = if is_told_apart {
            Some(key_set(model, schema)?)
        } else {
            None
        };
        Ok(Self {
            lake,
            key,
            model,
            writer: lake.writer(key, schema.clone()),
            expectations: Expectations::new(&model.name, &model.expect),
            keys,
            rows: 0,
            warned: 0,
        })
    }

    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    pub(crate) async fn write(&mut self, batch: &RecordBatch) -> Result<(), Failure> {
        if self.expectations.have_references() {
            self.expectations.gather(batch)?;
        }
        self.hold(batch, Checks::Alone)?;
        if let Some(keys) = &mut self.keys {
            let new = keys
                .insert(&columns(batch, &self.model.key))
                .map_err(|error| internal(&error))?;
            if new.false_count() > 0 {
                return Err(Failure::new(
                    FailureName::BadData,
                    format!(
                        "the answer of the model `{}` has several rows with one key ({}): group by the key, or name more \
                         columns in it",
                        self.model.name,
                        self.model.key.join(", ")
                    ),
                ));
            }
        }
        self.writer.write(batch).await?;
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    /// The files, once all rows are written and those held against one another that have to be.
    pub(crate) async fn finish(mut self, pipeline: &str) -> Result<Written, Failure> {
        let (lake, key) = (self.lake, self.key);
        let schema = self.writer.schema().clone();
        let writer = std::mem::replace(&mut self.writer, lake.writer(key, schema.clone()));
        let files = writer.finish().await?;
        if let Err(failure) = self.hold_together(&files, &schema, pipeline).await {
            lake.discard(key, &files).await;
            return Err(failure);
        }
        Ok(Written {
            files,
            expectations: self.expectations,
            keys: self.keys,
            rows: self.rows,
            warned: self.warned,
        })
    }

    /// Gives up what was written.
    pub(crate) async fn discard(self) -> Result<(), Failure> {
        let files = self.writer.finish().await?;
        self.lake.discard(self.key, &files).await;
        Ok(())
    }

    /// Reads once more those columns that hold a row against others.
    async fn hold_together(
        &mut self,
        files: &[DataFile],
        schema: &SchemaRef,
        pipeline: &str,
    ) -> Result<(), Failure> {
        let joint = self.model.expect.iter().filter(|held| held.rule.is_joint());
        let mut wanted: Vec<Field> = Vec::new();
        for expectation in joint {
            if let Ok(field) = schema.field_with_name(&expectation.column)
                && !wanted.contains(field)
            {
                wanted.push(field.clone());
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        millrace_expect::settle(&mut self.expectations, self.lake, pipeline).await?;
        let mut rows = self
            .lake
            .scan(self.key, Arc::new(Schema::new(wanted)), files.to_vec())
            .stream();
        while let Some(batch) = rows.try_next().await? {
            self.hold(&batch, Checks::Together)?;
        }
        Ok(())
    }

    fn hold(&mut self, batch: &RecordBatch, checks: Checks) -> Result<(), Failure> {
        let all = BooleanArray::from(vec![true; batch.num_rows()]);
        let breaches = self.expectations.check(batch, &all, checks)?;
        if let Some(breach) = breaches
            .iter()
            .find(|breach| breach.otherwise == Otherwise::Fail)
        {
            return Err(self.broken(breach, &breaches));
        }
        let mut warned: Vec<usize> = breaches.iter().map(|breach| breach.row).collect();
        warned.sort_unstable();
        warned.dedup();
        self.warned += warned.len() as u64;
        Ok(())
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
                 was written; correct the SELECT, what it reads, or the expectation, or let that say `otherwise: warn`",
                breach.column, self.model.name, breach.reason
            ),
        )
    }
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
