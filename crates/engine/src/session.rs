use crate::engine::Engine;
use crate::error::{Error, ErrorKind};
use crate::prepared::{Prepared, typed};
use crate::rows::Rows;
use crate::table::{LakeTable, Relation};
use arrow::datatypes::{DataType, SchemaRef};
use chrono::DateTime;
use datafusion::catalog::{MemorySchemaProvider, SchemaProvider, TableProvider};
use datafusion::common::TableReference;
use datafusion::config::Dialect;
use datafusion::execution::context::{SQLOptions, SessionState};
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
    /// By one core, since many are answered at once, and with filters applied while files are read.
    Direct,
}

/// One query's view of the lake.
pub struct Session {
    context: SessionContext,
    now: Timestamp,
    memory: usize,
}

/// What a query answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// The columns.
    pub schema: SchemaRef,
    /// Of each column, whether it is a table's, as it is and under its name.
    pub own: Vec<bool>,
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
            Manner::Direct => (1, MANY_ROWS),
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
        options.execution.parquet.pushdown_filters = manner == Manner::Direct;
        options.optimizer.prefer_hash_join = manner != Manner::Frugal;
        Self {
            context: SessionContext::new_with_config_rt(config, engine.runtime.clone()),
            now,
            memory: engine.limits.memory,
        }
    }

    /// Lets queries read that version of a table, as `schema.name`.
    pub fn add(&self, schema: &str, name: &str, table: &Table) -> Result<(), Error> {
        let runtime = self.context.runtime_env();
        let provider = LakeTable::new(table, &runtime).map_err(Error::running)?;
        self.register(schema, name, Arc::new(provider))
    }

    /// Lets queries read a relation, as `schema.name`.
    pub fn add_relation(&self, schema: &str, name: &str, relation: &Relation) -> Result<(), Error> {
        self.register(schema, name, relation.table())
    }

    fn register(
        &self,
        schema: &str,
        name: &str,
        provider: Arc<dyn TableProvider>,
    ) -> Result<(), Error> {
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
        self.context
            .register_table(TableReference::partial(schema, name), provider)
            .map_err(Error::running)?;
        Ok(())
    }

    /// Understands a SELECT with `$1`, `$2`, … where values are bound, to be run many times. `kinds` are the types by
    /// which they are, `$1`'s first. `steady` says that nothing in it asks for the time: then all that does not depend on
    /// values is done once.
    pub async fn prepare(
        &self,
        sql: &str,
        kinds: &[DataType],
        steady: bool,
    ) -> Result<Prepared, Error> {
        let state = self.context.state();
        let logical = understood(&state, sql).await?;
        Prepared::new(state, logical, kinds, steady).map_err(Error::planning)
    }

    /// The columns of a SELECT, whose parameters are of these types.
    pub async fn describe(&self, sql: &str, kinds: &[DataType]) -> Result<Described, Error> {
        let logical = understood(&self.context.state(), sql).await?;
        let logical = typed(logical, kinds).map_err(Error::planning)?;
        let schema = logical.schema();
        Ok(Described {
            own: schema.iter().map(|(table, _)| table.is_some()).collect(),
            schema: schema.inner().clone(),
        })
    }

    /// Understands a SELECT over the tables that were added.
    pub async fn plan(&self, sql: &str) -> Result<Plan, Error> {
        let state = self.context.state();
        let logical = understood(&state, sql).await?;
        let plan = Plan {
            context: self.context.clone(),
            now: self.now,
            memory: self.memory,
            logical,
        };
        Ok(plan)
    }
}

/// A query's plan, if it is one that reads and does nothing else.
async fn understood(state: &SessionState, sql: &str) -> Result<LogicalPlan, Error> {
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
    Ok(logical)
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
