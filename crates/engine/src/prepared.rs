//! Queries that are planned once and run with many values.

use crate::considerate::{self, End, Ended};
use crate::error::{Error, ErrorKind};
use crate::rows::Rows;
use arrow::array::{Array as _, ArrayRef};
use arrow::datatypes::{DataType, Field, SchemaRef};
use chrono::DateTime;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::execution::context::SessionState;
use datafusion::logical_expr::expr::{InList, Placeholder};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_plan::ExecutionPlan;
use jiff::Timestamp;
use std::sync::Arc;

/// A query that is understood, and runs with many values.
pub struct Prepared {
    state: SessionState,
    context: Arc<TaskContext>,
    /// With parameters open; where it is steady, all is done to it that does not depend on values.
    open: LogicalPlan,
    steady: bool,
    parameters: usize,
}

impl Prepared {
    pub(crate) fn new(
        state: SessionState,
        logical: LogicalPlan,
        kinds: &[DataType],
        steady: bool,
    ) -> Result<Self> {
        let typed = typed(logical, kinds)?;
        let open = if steady {
            state.optimize(&typed)?
        } else {
            typed
        };
        Ok(Self {
            context: state.task_ctx(),
            state,
            open,
            steady,
            parameters: kinds.len(),
        })
    }

    /// The columns of what it answers.
    pub fn schema(&self) -> SchemaRef {
        self.open.schema().inner().clone()
    }

    /// Runs it with these values, each an array of one, of the type that was said; `now()` is that moment. To drop the
    /// rows is to end it.
    pub async fn rows(&self, values: &[ArrayRef], now: Timestamp) -> Result<Rows, Error> {
        let physical = self.physical(values, now).await?;
        let ended = Ended::default();
        let stream = considerate::run(physical.clone(), self.context.clone(), &ended);
        let rows = Rows::new(stream.map_err(Error::running)?, physical);
        Ok(rows.ending(End(ended)))
    }

    /// How many bytes the files have that would be read with these values, as far as their bounds tell.
    pub async fn reads(&self, values: &[ArrayRef], now: Timestamp) -> Result<u64, Error> {
        Ok(bytes(&self.physical(values, now).await?))
    }

    async fn physical(
        &self,
        values: &[ArrayRef],
        now: Timestamp,
    ) -> Result<Arc<dyn ExecutionPlan>, Error> {
        if values.len() != self.parameters {
            let message = format!(
                "the query has {} parameters, and got {} values",
                self.parameters,
                values.len()
            );
            return Err(Error::new(ErrorKind::Internal, message));
        }
        self.bound(values, now).await.map_err(Error::planning)
    }

    async fn bound(&self, values: &[ArrayRef], now: Timestamp) -> Result<Arc<dyn ExecutionPlan>> {
        let values: Vec<ScalarValue> = values
            .iter()
            .map(|value| ScalarValue::try_from_array(value, 0))
            .collect::<Result<_>>()?;
        let bound = self.open.clone();
        let bound = bound.replace_params_with_values(&ParamValues::from(values))?;
        let bound = listed(bound)?;
        if self.steady {
            let planner = self.state.query_planner();
            return planner.create_physical_plan(&bound, &self.state).await;
        }
        let mut state = self.state.clone();
        let now = DateTime::from_timestamp_micros(now.as_microsecond());
        state.execution_props_mut().query_execution_start_time = now;
        state.create_physical_plan(&bound).await
    }
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Prepared").finish_non_exhaustive()
    }
}

/// The plan with the types that its parameters were said to have: those that DataFusion would take are those of what they
/// are compared with, and `4.5` is no whole number because a column is one.
pub(crate) fn typed(plan: LogicalPlan, kinds: &[DataType]) -> Result<LogicalPlan> {
    rewritten(plan, &|expr| {
        let Expr::Placeholder(Placeholder { id, .. }) = &expr else {
            return Transformed::no(expr);
        };
        let at = id.strip_prefix('$').and_then(|at| at.parse::<usize>().ok());
        let kind = at.and_then(|at| kinds.get(at.checked_sub(1)?));
        let field = kind.map(|kind| Arc::new(Field::new("", kind.clone(), true)));
        let id = id.clone();
        Transformed::yes(Expr::Placeholder(Placeholder::new_with_field(id, field)))
    })
}

/// The plan with `x = ANY (…)` as `x IN (…)`, of which bounds can say something once its values are known.
fn listed(plan: LogicalPlan) -> Result<LogicalPlan> {
    rewritten(plan, &|expr| match in_list(&expr) {
        Some(listed) => Transformed::yes(listed),
        None => Transformed::no(expr),
    })
}

fn in_list(expr: &Expr) -> Option<Expr> {
    let Expr::ScalarFunction(call) = expr else {
        return None;
    };
    let ("array_has", [Expr::Literal(ScalarValue::List(list), _), needle]) =
        (call.func.name(), call.args.as_slice())
    else {
        return None;
    };
    if list.is_null(0) {
        return None;
    }
    let members = list.value(0);
    let literal =
        |at| ScalarValue::try_from_array(&members, at).map(|value| Expr::Literal(value, None));
    let all: Vec<Expr> = (0..members.len())
        .map(literal)
        .collect::<Result<_>>()
        .ok()?;
    let needle = Box::new(needle.clone());
    Some(Expr::InList(InList::new(needle, all, false)))
}

/// The plan with all its expressions rewritten, under their old names.
fn rewritten(
    plan: LogicalPlan,
    rewrite: &dyn Fn(Expr) -> Transformed<Expr>,
) -> Result<LogicalPlan> {
    let rewritten = plan.transform_up_with_subqueries(|plan| {
        let names = NamePreserver::new(&plan);
        let mapped = plan.map_expressions(|expr| {
            let name = names.save(&expr);
            let expr = expr.transform_up(|expr| Ok(rewrite(expr)))?;
            Ok(expr.update_data(|expr| name.restore(expr)))
        })?;
        if mapped.transformed {
            mapped.map_data(LogicalPlan::recompute_schema)
        } else {
            Ok(mapped)
        }
    })?;
    Ok(rewritten.data)
}

/// How many bytes the files have that a plan reads.
fn bytes(plan: &Arc<dyn ExecutionPlan>) -> u64 {
    let scan = plan
        .downcast_ref::<DataSourceExec>()
        .and_then(|exec| exec.data_source().downcast_ref::<FileScanConfig>());
    let own: u64 = scan.map_or(0, |scan| {
        let files = scan.file_groups.iter().flat_map(FileGroup::iter);
        files.map(|file| file.object_meta.size).sum()
    });
    own + plan.children().into_iter().map(bytes).sum::<u64>()
}
