//! A Delta table as DataFusion reads it: the files of one version, as the log names them.

use crate::bounds::Bounds;
use crate::held::{Held, Zones};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use chrono::DateTime;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{DFSchema, Statistics, project_schema};
use datafusion::config::TableParquetOptions;
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::object_store::ObjectStoreUrl;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_optimizer::pruning::{
    PruningPredicate, PruningPredicateBuilder, PruningStatistics,
};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::union::UnionExec;
use millrace_lake::{DataFile, Scan, Table};
use object_store::ObjectMeta;
use object_store::path::Path;
use std::sync::Arc;

/// How many of a file's last bytes are read at first: most footers fit, which saves a request.
const FOOTER: usize = 64 * 1024;

/// One version of a table.
#[derive(Debug)]
pub(crate) struct LakeTable {
    schema: SchemaRef,
    store: ObjectStoreUrl,
    reader: Arc<CachedParquetFileReaderFactory>,
    files: Vec<File>,
    bounds: Bounds,
    holding: Option<Holding>,
}

/// How rows of a table are held in memory.
#[derive(Debug)]
struct Holding {
    held: Arc<Held>,
    table: String,
    scan: Scan,
    /// The places of the columns that name a row.
    key: Vec<usize>,
}

/// A version of a table, to be asked many times.
#[derive(Clone, Debug)]
pub struct Relation(Arc<LakeTable>);

impl Relation {
    pub(crate) fn new(
        table: &Table,
        key: &[String],
        runtime: &RuntimeEnv,
        held: &Arc<Held>,
    ) -> Result<Self> {
        let mut relation = LakeTable::new(table, runtime)?;
        let places = key.iter().map(|name| relation.schema.index_of(name).ok());
        relation.holding = Some(Holding {
            held: held.clone(),
            table: table.key().to_owned(),
            scan: table.scan(),
            key: places.collect::<Option<_>>().unwrap_or_default(),
        });
        Ok(Self(Arc::new(relation)))
    }

    /// Its columns.
    pub fn schema(&self) -> SchemaRef {
        self.0.schema.clone()
    }

    pub(crate) fn table(&self) -> Arc<LakeTable> {
        self.0.clone()
    }
}

#[derive(Debug)]
struct File {
    scanned: PartitionedFile,
    data: DataFile,
}

impl LakeTable {
    pub(crate) fn new(table: &Table, runtime: &RuntimeEnv) -> Result<Self> {
        // A store's name is a host's: the key's slashes have no place in it.
        let store = ObjectStoreUrl::parse(format!("lake://{}", table.key().replace('/', ".")))?;
        runtime.register_object_store(store.as_ref(), table.store());
        let footers = runtime.cache_manager.get_file_metadata_cache();
        let files = table.files();
        Ok(Self {
            schema: table.schema(),
            reader: Arc::new(CachedParquetFileReaderFactory::new(table.store(), footers)),
            store,
            bounds: Bounds::new(table.schema(), &files),
            holding: None,
            files: files.iter().map(file).collect::<Result<_>>()?,
        })
    }

    /// What bounds can say about filters; none where they can say nothing.
    fn pruning(
        &self,
        state: &dyn Session,
        filters: &[Expr],
    ) -> Result<Option<Arc<PruningPredicate>>> {
        let Some(filter) = conjunction(filters.iter().cloned()) else {
            return Ok(None);
        };
        let columns = DFSchema::try_from(self.schema.clone())?;
        let filter = state.create_physical_expr(filter, &columns)?;
        let pruning = PruningPredicateBuilder::new().with_file_schema(self.schema.clone());
        Ok(pruning.build(filter))
    }

    /// The rows of those files that are held, and the files that are not.
    async fn in_memory<'f>(
        &self,
        files: Vec<&'f File>,
        pruning: Option<&PruningPredicate>,
    ) -> Result<(Vec<RecordBatch>, Vec<&'f File>)> {
        let Some(holding) = &self.holding else {
            return Ok((Vec::new(), files));
        };
        let (mut batches, mut others) = (Vec::new(), Vec::new());
        // What a query reads of what is held stays for as long as it runs, whatever is let go meanwhile.
        let mut left = holding.held.room();
        for file in files {
            let rows = match left {
                0 => None,
                _ => holding.rows(&file.data, &self.schema).await?,
            };
            match rows {
                Some(zones) => {
                    left = left.saturating_sub(zones.bytes);
                    batches.extend(kept(&zones.batches, &*zones, pruning)?.cloned());
                }
                None => others.push(file),
            }
        }
        Ok((batches, others))
    }

    /// Reads files.
    fn scanning(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        files: Vec<&File>,
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let options = TableParquetOptions {
            global: state.config_options().execution.parquet.clone(),
            ..TableParquetOptions::default()
        };
        let source = ParquetSource::new(self.schema.clone())
            .with_table_parquet_options(options)
            .with_metadata_size_hint(FOOTER)
            .with_parquet_file_reader_factory(self.reader.clone());
        let statistics = known(&self.schema, &files);
        let files = files.into_iter().map(|file| file.scanned.clone());
        let groups =
            FileGroup::new(files.collect()).split_files(state.config().target_partitions());
        let scan = FileScanConfigBuilder::new(self.store.clone(), Arc::new(source))
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(scan))
    }
}

impl Holding {
    async fn rows(&self, file: &DataFile, schema: &SchemaRef) -> Result<Option<Arc<Zones>>> {
        self.held
            .rows(&self.table, file, &self.scan, schema, &self.key)
            .await
    }
}

/// The items that can hold rows for which a filter holds, as far as bounds say.
fn kept<'i, T>(
    items: &'i [T],
    bounds: &dyn PruningStatistics,
    pruning: Option<&PruningPredicate>,
) -> Result<impl Iterator<Item = &'i T> + use<'i, T>> {
    let kept = match pruning {
        Some(pruning) => pruning.prune(bounds)?,
        None => vec![true; items.len()],
    };
    let items = items.iter().zip(kept);
    Ok(items.filter(|(_, kept)| *kept).map(|(item, _)| item))
}

#[async_trait]
impl TableProvider for LakeTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        // By bounds, files are left out; which rows count is for the query to see.
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let pruning = self.pruning(state, filters)?;
        let files = kept(&self.files, &self.bounds, pruning.as_deref())?.collect();
        let (batches, others) = self.in_memory(files, pruning.as_deref()).await?;
        let mut scans: Vec<Arc<dyn ExecutionPlan>> = Vec::new();
        if !batches.is_empty() {
            let projection = projection.cloned();
            scans.push(MemorySourceConfig::try_new_exec(
                &[batches],
                self.schema.clone(),
                projection,
            )?);
        }
        if !others.is_empty() {
            scans.push(self.scanning(state, projection, others, limit)?);
        }
        match scans.pop() {
            Some(only) if scans.is_empty() => Ok(only),
            Some(last) => {
                scans.push(last);
                UnionExec::try_new(scans)
            }
            None => Ok(Arc::new(EmptyExec::new(project_schema(
                &self.schema,
                projection,
            )?))),
        }
    }
}

fn file(file: &DataFile) -> Result<File> {
    let location = Path::parse(&file.path).map_err(|error| {
        let message = format!("the log names a file `{}`: {error}", file.path);
        DataFusionError::External(message.into())
    })?;
    // A file never changes, so that what is known of its footer holds whenever it was written.
    let meta = ObjectMeta {
        location,
        last_modified: DateTime::UNIX_EPOCH,
        size: file.size,
        e_tag: None,
        version: None,
    };
    Ok(File {
        scanned: PartitionedFile::new_from_meta(meta),
        data: file.clone(),
    })
}

/// What is known of those files together.
fn known(schema: &SchemaRef, files: &[&File]) -> Statistics {
    let rows: Option<u64> = files.iter().map(|file| file.data.rows).sum();
    let bytes: u64 = files.iter().map(|file| file.scanned.object_meta.size).sum();
    let exactly = |rows| Precision::Exact(rows as usize);
    Statistics::new_unknown(schema)
        .with_num_rows(rows.map_or(Precision::Absent, exactly))
        .with_total_byte_size(Precision::Inexact(bytes as usize))
}
