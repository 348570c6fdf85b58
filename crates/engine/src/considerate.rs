//! Queries that let others go on, and that end when they are told to. A stream that is always ready keeps its thread: while
//! it does, no time limit is looked at, no caller is seen to leave, and nobody else on that thread is answered. DataFusion's
//! own pauses count batches; one that is joined with a whole table may take minutes.

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{
    HashJoinExec, NestedLoopJoinExec, NestedLoopJoinExecBuilder,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, execute_stream,
};
use futures::{Stream, StreamExt as _};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

/// How long a query keeps its thread to itself, as far as the steps of its operators allow.
const TURN: Duration = Duration::from_millis(10);

/// Whether nobody wants a query's rows any more.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ended(Arc<AtomicBool>);

impl Ended {
    fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) {
            let message = "nobody wants the rows any more".to_owned();
            return Err(DataFusionError::Execution(message));
        }
        Ok(())
    }
}

/// Ends a query when it is dropped.
#[derive(Debug)]
pub(crate) struct End(pub(crate) Ended);

impl Drop for End {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

/// Runs a plan with pauses where its rows are read and where they become more than were read. One that joins runs on a
/// thread of its own: between two pauses lies as much as there is to join with a batch.
pub(crate) fn run(
    plan: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
    ended: &Ended,
) -> Result<SendableRecordBatchStream> {
    let mut joins = false;
    let paused = plan.transform_up(|plan| {
        if plan.children().len() == 1 {
            return Ok(Transformed::no(plan));
        }
        joins |= !plan.children().is_empty();
        let plan = watched(plan, ended)?;
        Ok(Transformed::yes(Arc::new(Considerate {
            plan,
            ended: ended.clone(),
        }) as Arc<dyn ExecutionPlan>))
    });
    let rows = execute_stream(paused?.data, context)?;
    Ok(if joins { aside(rows) } else { rows })
}

/// A join that looks whether it has ended with each step of its filter: it may compare for minutes and find no row.
fn watched(plan: Arc<dyn ExecutionPlan>, ended: &Ended) -> Result<Arc<dyn ExecutionPlan>> {
    let watch = |filter: &JoinFilter| {
        let expression: Arc<dyn PhysicalExpr> = Arc::new(Watched {
            expression: filter.expression().clone(),
            ended: ended.clone(),
        });
        let columns = filter.column_indices().to_vec();
        JoinFilter::new(expression, columns, filter.schema().clone())
    };
    if let Some(join) = plan.downcast_ref::<HashJoinExec>()
        && let Some(filter) = join.filter()
    {
        return join.builder().with_filter(Some(watch(filter))).build_exec();
    }
    if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>()
        && let Some(filter) = join.filter()
    {
        let join = NestedLoopJoinExecBuilder::from(join).with_filter(Some(watch(filter)));
        return Ok(Arc::new(join.build()?));
    }
    Ok(plan)
}

/// The same rows, computed on a thread of their own.
fn aside(mut rows: SendableRecordBatchStream) -> SendableRecordBatchStream {
    let schema = rows.schema();
    let (send, mut receive) = mpsc::channel(1);
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || {
        runtime.block_on(async {
            loop {
                tokio::select! {
                    biased;
                    () = send.closed() => break,
                    batch = rows.next() => match batch {
                        Some(batch) => drop(send.send(batch).await),
                        None => break,
                    },
                }
            }
        });
    });
    let received = futures::stream::poll_fn(move |context| receive.poll_recv(context));
    Box::pin(RecordBatchStreamAdapter::new(schema, received))
}

/// What another plan answers, with pauses.
#[derive(Debug)]
struct Considerate {
    plan: Arc<dyn ExecutionPlan>,
    ended: Ended,
}

impl DisplayAs for Considerate {
    fn fmt_as(&self, _: DisplayFormatType, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Considerate")
    }
}

impl ExecutionPlan for Considerate {
    fn name(&self) -> &'static str {
        "Considerate"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.plan.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.plan]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let only = children.pop().filter(|_| children.is_empty());
        let wanted = || DataFusionError::Internal("one child is wanted".to_owned());
        Ok(Arc::new(Self {
            plan: only.ok_or_else(wanted)?,
            ended: self.ended.clone(),
        }))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        Ok(Box::pin(Pausing {
            rows: self.plan.execute(partition, context)?,
            since: None,
            ended: self.ended.clone(),
        }))
    }
}

struct Pausing {
    rows: SendableRecordBatchStream,
    /// Since when it has been asked without a pause.
    since: Option<Instant>,
    ended: Ended,
}

impl Stream for Pausing {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.ended.check()?;
        let since = *self.since.get_or_insert_with(Instant::now);
        if since.elapsed() >= TURN {
            self.since = None;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let polled = self.rows.as_mut().poll_next(context);
        if polled.is_pending() {
            self.since = None;
        }
        polled
    }
}

impl RecordBatchStream for Pausing {
    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }
}

/// An expression that is an error once its query has ended.
#[derive(Debug)]
struct Watched {
    expression: Arc<dyn PhysicalExpr>,
    ended: Ended,
}

impl fmt::Display for Watched {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.expression.fmt(formatter)
    }
}

impl PartialEq for Watched {
    fn eq(&self, other: &Self) -> bool {
        self.expression.eq(&other.expression)
    }
}

impl Eq for Watched {}

impl Hash for Watched {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.expression.hash(state);
    }
}

impl PhysicalExpr for Watched {
    fn data_type(&self, schema: &Schema) -> Result<DataType> {
        self.expression.data_type(schema)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.expression.nullable(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        self.ended.check()?;
        self.expression.evaluate(batch)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.expression]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let only = children.pop().filter(|_| children.is_empty());
        let wanted = || DataFusionError::Internal("one child is wanted".to_owned());
        Ok(Arc::new(Self {
            expression: only.ok_or_else(wanted)?,
            ended: self.ended.clone(),
        }))
    }

    fn fmt_sql(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.expression.fmt_sql(formatter)
    }
}
