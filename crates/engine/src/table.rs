//! A Delta table as DataFusion reads it: the files of one version, as the log names them.

use crate::bounds::Bounds;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use chrono::DateTime;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{DFSchema, Statistics, project_schema};
use datafusion::config::TableParquetOptions;
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::object_store::ObjectStoreUrl;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use millrace_lake::{DataFile, Table};
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
}

#[derive(Debug)]
struct File {
    scanned: PartitionedFile,
    /// How many rows it has, where the log says so.
    rows: Option<u64>,
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
            files: files.iter().map(file).collect::<Result<_>>()?,
        })
    }

    /// The files that can hold rows for which the filters hold.
    fn wanted(&self, state: &dyn Session, filters: &[Expr]) -> Result<Vec<&File>> {
        let Some(filter) = conjunction(filters.iter().cloned()) else {
            return Ok(self.files.iter().collect());
        };
        let columns = DFSchema::try_from(self.schema.clone())?;
        let filter = state.create_physical_expr(filter, &columns)?;
        let pruning = PruningPredicateBuilder::new().with_file_schema(self.schema.clone());
        // A filter of which bounds can say nothing prunes nothing.
        let Some(pruning) = pruning.build(filter) else {
            return Ok(self.files.iter().collect());
        };
        let kept = pruning.prune(&self.bounds)?;
        let files = self.files.iter().zip(kept);
        Ok(files
            .filter(|(_, kept)| *kept)
            .map(|(file, _)| file)
            .collect())
    }
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
        let files = self.wanted(state, filters)?;
        if files.is_empty() {
            return Ok(Arc::new(EmptyExec::new(project_schema(
                &self.schema,
                projection,
            )?)));
        }
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
        rows: file.rows,
    })
}

/// What is known of those files together.
fn known(schema: &SchemaRef, files: &[&File]) -> Statistics {
    let rows: Option<u64> = files.iter().map(|file| file.rows).sum();
    let bytes: u64 = files.iter().map(|file| file.scanned.object_meta.size).sum();
    let exactly = |rows| Precision::Exact(rows as usize);
    Statistics::new_unknown(schema)
        .with_num_rows(rows.map_or(Precision::Absent, exactly))
        .with_total_byte_size(Precision::Inexact(bytes as usize))
}
