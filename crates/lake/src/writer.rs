use crate::error::Error;
use crate::row_groups::RowGroups;
use crate::stats::stats;
use crate::table::DataFile;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use object_store::ObjectStore;
use object_store::buffered::BufWriter;
use object_store::path::Path;
use parquet::basic::{Compression, Encoding, PageType, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use std::sync::Arc;
use uuid::Uuid;

/// How large a file may grow before the next one is begun.
const FILE_BYTES: usize = 128 * 1024 * 1024;
/// How much of a file is sent at once.
const UPLOAD_BYTES: usize = 8 * 1024 * 1024;

/// Writes the files of a table: Parquet, compressed with zstd, with statistics. Nothing of it is in the table before a
/// commit says so.
pub struct Writer {
    table: String,
    store: Arc<dyn ObjectStore>,
    schema: SchemaRef,
    varied: Varied,
    open: Option<OpenFile>,
    written: Vec<DataFile>,
}

/// The columns whose values are too varied for a dictionary: to look for each value among all those before it is most of
/// what writing them takes, and in vain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Varied(Vec<ColumnPath>);

impl Varied {
    /// Those of a file, in each of whose row groups the dictionary was given up.
    pub(crate) fn of(metadata: &ParquetMetaData) -> Self {
        let columns = metadata.file_metadata().schema_descr().columns();
        let given_up = |position: &usize| {
            let mut groups = metadata.row_groups().iter();
            groups.all(|group| has_plain_pages(group.column(*position)))
        };
        let varied = (0..columns.len()).filter(given_up);
        Self(
            varied
                .map(|position| columns[position].path().clone())
                .collect(),
        )
    }
}

fn has_plain_pages(chunk: &ColumnChunkMetaData) -> bool {
    if let Some(mask) = chunk.page_encoding_stats_mask() {
        return mask.is_set(Encoding::PLAIN);
    }
    chunk.page_encoding_stats().is_some_and(|pages| {
        pages.iter().any(|page| {
            page.encoding == Encoding::PLAIN && page.page_type != PageType::DICTIONARY_PAGE
        })
    })
}

struct OpenFile {
    path: String,
    parquet: RowGroups,
}

impl Writer {
    pub(crate) fn new(table: &str, store: Arc<dyn ObjectStore>, schema: SchemaRef) -> Self {
        Self {
            table: table.to_owned(),
            store,
            schema,
            varied: Varied::default(),
            open: None,
            written: Vec::new(),
        }
    }

    /// Writes those columns without looking for values that are there already.
    #[must_use]
    pub fn varied(mut self, varied: Varied) -> Self {
        self.varied = varied;
        self
    }

    /// The columns that it writes.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// From now on writes these columns: the ones it had so far, and more.
    pub async fn extend(&mut self, schema: SchemaRef) -> Result<(), Error> {
        if schema != self.schema {
            self.close_file().await?;
            self.schema = schema;
        }
        Ok(())
    }

    /// Writes rows of the writer's schema.
    pub async fn write(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        if self.open.is_none() {
            self.open = Some(self.open_file().map_err(|error| self.error(error))?);
        }
        let Some(file) = &mut self.open else {
            return Ok(());
        };
        let full = match file.parquet.write(batch).await {
            Ok(()) => file.parquet.size() >= FILE_BYTES,
            Err(error) => return Err(self.error(error)),
        };
        if full {
            self.close_file().await?;
        }
        Ok(())
    }

    /// The files, all of them complete.
    pub async fn finish(mut self) -> Result<Vec<DataFile>, Error> {
        self.close_file().await?;
        Ok(self.written)
    }

    fn open_file(&self) -> Result<OpenFile, ParquetError> {
        let path = format!(
            "part-{:05}-{}.zstd.parquet",
            self.written.len(),
            Uuid::new_v4()
        );
        let sink =
            BufWriter::with_capacity(self.store.clone(), Path::from(path.as_str()), UPLOAD_BYTES)
                .with_max_concurrency(2);
        let mut properties = WriterProperties::builder();
        for column in &self.varied.0 {
            properties = properties.set_column_dictionary_enabled(column.clone(), false);
        }
        let properties = properties
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .build();
        let parquet = RowGroups::new(sink, self.schema.clone(), properties)?;
        Ok(OpenFile { path, parquet })
    }

    async fn close_file(&mut self) -> Result<(), Error> {
        let Some(file) = self.open.take() else {
            return Ok(());
        };
        let finished = file.parquet.finish().await;
        let (metadata, size) = finished.map_err(|error| self.error(error))?;
        self.written.push(DataFile {
            path: file.path,
            size: size as u64,
            rows: Some(metadata.file_metadata().num_rows().max(0).cast_unsigned()),
            stats: Some(stats(&metadata)),
        });
        Ok(())
    }

    fn error(&self, error: ParquetError) -> Error {
        Error::of(&self.table, error)
    }
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Writer")
            .field("table", &self.table)
            .field("written", &self.written.len())
            .finish_non_exhaustive()
    }
}
