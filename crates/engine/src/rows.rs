use crate::considerate::End;
use crate::error::Error;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::ExecutionPlan;
use futures::TryStreamExt;
use std::sync::Arc;

/// What a query answers, batch by batch.
pub struct Rows {
    stream: SendableRecordBatchStream,
    plan: Arc<dyn ExecutionPlan>,
    /// Ends the query, wherever it is computed.
    end: Option<End>,
}

impl Rows {
    pub(crate) fn new(stream: SendableRecordBatchStream, plan: Arc<dyn ExecutionPlan>) -> Self {
        Self {
            stream,
            plan,
            end: None,
        }
    }

    /// The same, of a query that ends when they are dropped.
    pub(crate) fn ending(mut self, end: End) -> Self {
        self.end = Some(end);
        self
    }

    /// The columns.
    pub fn schema(&self) -> SchemaRef {
        self.stream.schema()
    }

    /// The next rows; none at the end.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>, Error> {
        self.stream.try_next().await.map_err(Error::running)
    }

    /// How many bytes were put on disk so far because they did not fit into memory.
    pub fn spilled(&self) -> u64 {
        spilled(&self.plan)
    }
}

fn spilled(plan: &Arc<dyn ExecutionPlan>) -> u64 {
    let own = plan.metrics().and_then(|metrics| metrics.spilled_bytes());
    let below: u64 = plan.children().into_iter().map(spilled).sum();
    own.unwrap_or(0) as u64 + below
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Rows").finish_non_exhaustive()
    }
}
