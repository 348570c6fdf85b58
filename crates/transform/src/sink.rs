//! Batches → files: one writer a table, each in a task of its own, so that rows are decoded while others are encoded.

use crate::family::union;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use millrace_lake::{Error, Lake, Varied, Writer};
use millrace_model::{Failure, FailureName};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// How many batches may wait for a writer.
const WAITING: usize = 2;

/// Writes one table's files.
#[derive(Debug)]
pub(crate) struct Sink {
    key: String,
    sender: Option<mpsc::Sender<RecordBatch>>,
    task: JoinHandle<Result<Writer, Error>>,
    schema: SchemaRef,
    rows: u64,
}

impl Sink {
    pub(crate) fn new(lake: &Lake, key: &str, schema: SchemaRef, varied: Varied) -> Self {
        let (sender, batches) = mpsc::channel(WAITING);
        let writer = lake.writer(key, schema.clone()).varied(varied);
        Self {
            key: key.to_owned(),
            sender: Some(sender),
            task: tokio::spawn(write(writer, batches)),
            schema,
            rows: 0,
        }
    }

    /// The columns of all that was written.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// How many rows were written.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    pub(crate) async fn write(&mut self, batch: RecordBatch) -> Result<(), Failure> {
        if self.schema != batch.schema() {
            self.check_types(&batch)?;
            self.schema = union(Some(&self.schema), &batch.schema());
        }
        self.rows += batch.num_rows() as u64;
        let sent = match &self.sender {
            Some(sender) => sender.send(batch).await.is_ok(),
            None => false,
        };
        if sent {
            return Ok(());
        }
        // The task ends before its time only because it failed.
        self.sender = None;
        match (&mut self.task).await {
            Ok(Err(error)) => Err(error.into()),
            _ => Err(lost(&self.key)),
        }
    }

    /// Fails where a column is of another type than what was written of it: files that disagree would be read wrongly.
    fn check_types(&self, batch: &RecordBatch) -> Result<(), Failure> {
        for field in batch.schema_ref().fields() {
            let Ok(known) = self.schema.field_with_name(field.name()) else {
                continue;
            };
            if known.data_type() != field.data_type() {
                let message = format!(
                    "the column `{}` of `{}` was written as {}, and has become {}; nothing is committed",
                    field.name(),
                    self.key,
                    known.data_type(),
                    field.data_type()
                );
                return Err(Failure::new(FailureName::Internal, message));
            }
        }
        Ok(())
    }

    /// The writer, which has written all of it and can write more.
    pub(crate) async fn into_writer(mut self) -> Result<Writer, Failure> {
        drop(self.sender.take());
        match self.task.await {
            Ok(writer) => Ok(writer?),
            Err(_) => Err(lost(&self.key)),
        }
    }

    /// Gives up what was written.
    pub(crate) async fn discard(self, lake: &Lake) -> Result<(), Failure> {
        let key = self.key.clone();
        let files = self.into_writer().await?.finish().await?;
        lake.discard(&key, &files).await;
        Ok(())
    }
}

async fn write(
    mut writer: Writer,
    mut batches: mpsc::Receiver<RecordBatch>,
) -> Result<Writer, Error> {
    while let Some(batch) = batches.recv().await {
        writer.extend(batch.schema()).await?;
        writer.write(&batch).await?;
    }
    Ok(writer)
}

fn lost(key: &str) -> Failure {
    Failure::new(
        FailureName::Internal,
        format!("the writer of `{key}` ended before its time; try again"),
    )
}
