use crate::engine::Engine;
use crate::error::{Error, ErrorKind};
use crate::rows::Rows;
use crate::table::LakeTable;
use arrow::datatypes::SchemaRef;
use chrono::DateTime;
use datafusion::catalog::{MemorySchemaProvider, SchemaProvider};
use datafusion::common::TableReference;
use datafusion::config::Dialect;
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, execute_stream};
use datafusion::prelude::{SessionConfig, SessionContext};
use jiff::Timestamp;
use millrace_lake::Table;
use std::sync::Arc;

/// The catalog in which all schemas are.
const CATALOG: &str = "lake";
/// How many partitions a query has that is to be frugal. With one alone, DataFusion would sort no side of a join.
const FEW: usize = 2;
/// How many rows a batch has, and how many in a query that is to be frugal: what was put on disk is merged a batch of each
/// file at a time.
const MANY_ROWS: usize = 8192;
const FEW_ROWS: usize = 1024;
/// Which part of the memory is kept for the merging of what was sorted and put on disk, by all sortings together. What
/// merging needs beyond that is what makes a query fail that could have been answered.
const MERGING: usize = 2;

/// How a query uses the memory that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// By all cores, which share it, and with one side of each join held in it.
    Quick,
    /// By few cores, and with both sides of joins sorted, so that both can be put on disk.
    Frugal,
}

/// One query's view of the lake.
pub struct Session {
    context: SessionContext,
    now: Timestamp,
    memory: usize,
}

/// A query that is understood, with the types of what it answers.
#[derive(Clone)]
pub struct Plan {
    context: SessionContext,
    now: Timestamp,
    memory: usize,
    logical: LogicalPlan,
}

impl Session {
    pub(crate) fn new(engine: &Engine, own: &str, now: Timestamp, manner: Manner) -> Self {
        let (threads, batch) = match manner {
            Manner::Quick => (engine.limits.threads.max(1), MANY_ROWS),
            Manner::Frugal => (FEW, FEW_ROWS),
        };
        let mut config = SessionConfig::new()
            .with_default_catalog_and_schema(CATALOG, own)
            .with_target_partitions(threads)
            .with_batch_size(batch)
            .with_information_schema(false);
        let options = config.options_mut();
        options.sql_parser.dialect = Dialect::PostgreSQL;
        options.sql_parser.collect_spans = true;
        options.execution.time_zone = Some("UTC".to_owned());
        options.execution.sort_spill_reservation_bytes = engine.limits.memory / threads / MERGING;
        options.execution.parquet.pushdown_filters = false;
        options.optimizer.prefer_hash_join = manner == Manner::Quick;
        Self {
            context: SessionContext::new_with_config_rt(config, engine.runtime.clone()),
            now,
            memory: engine.limits.memory,
        }
    }

    /// Lets queries read that version of a table, as `schema.name`.
    pub fn add(&self, schema: &str, name: &str, table: &Table) -> Result<(), Error> {
        let catalog = self
            .context
            .catalog(CATALOG)
            .ok_or_else(|| Error::new(ErrorKind::Internal, "the session has no catalog"))?;
        if catalog.schema(schema).is_none() {
            let tables: Arc<dyn SchemaProvider> = Arc::new(MemorySchemaProvider::new());
            catalog
                .register_schema(schema, tables)
                .map_err(Error::running)?;
        }
        let runtime = self.context.runtime_env();
        let provider = LakeTable::new(table, &runtime).map_err(Error::running)?;
        self.context
            .register_table(TableReference::partial(schema, name), Arc::new(provider))
            .map_err(Error::running)?;
        Ok(())
    }

    /// Understands a SELECT over the tables that were added.
    pub async fn plan(&self, sql: &str) -> Result<Plan, Error> {
        let state = self.context.state();
        let logical = state
            .create_logical_plan(sql)
            .await
            .map_err(Error::planning)?;
        SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false)
            .verify_plan(&logical)
            .map_err(Error::planning)?;
        let plan = Plan {
            context: self.context.clone(),
            now: self.now,
            memory: self.memory,
            logical,
        };
        Ok(plan)
    }
}

impl Plan {
    /// The columns of what it answers.
    pub fn schema(&self) -> SchemaRef {
        self.logical.schema().inner().clone()
    }

    /// How DataFusion would do it, without a file read: what is wrong with types shows here at the latest.
    pub async fn prove(&self) -> Result<(), Error> {
        self.physical().await.map(drop)
    }

    /// Runs it. To drop the rows is to end it.
    pub async fn rows(&self) -> Result<Rows, Error> {
        let physical = self.physical().await?;
        let mut state = self.context.state();
        let options = state.config_mut().options_mut();
        options.execution.sort_spill_reservation_bytes =
            self.memory / MERGING / sortings(&physical).max(1);
        let stream = execute_stream(physical.clone(), state.task_ctx()).map_err(Error::running)?;
        Ok(Rows::new(stream, physical))
    }

    async fn physical(&self) -> Result<Arc<dyn ExecutionPlan>, Error> {
        let mut state = self.context.state();
        let now = DateTime::from_timestamp_micros(self.now.as_microsecond());
        state.execution_props_mut().query_execution_start_time = now;
        state
            .create_physical_plan(&self.logical)
            .await
            .map_err(Error::planning)
    }
}

/// How many sortings may be under way at once.
fn sortings(plan: &Arc<dyn ExecutionPlan>) -> usize {
    let own = if plan.is::<SortExec>() {
        plan.output_partitioning().partition_count()
    } else {
        0
    };
    own + plan.children().into_iter().map(sortings).sum::<usize>()
}

impl std::fmt::Debug for Session {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Session").finish_non_exhaustive()
    }
}
