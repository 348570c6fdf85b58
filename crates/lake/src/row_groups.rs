//! Batches → a Parquet file. As parquet's own asynchronous writer, but for this: the columns of a batch are encoded on two
//! cores where there are two. Encoding and compressing is most of what writing a table takes.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use object_store::buffered::BufWriter;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{
    ArrowColumnWriter, ArrowLeafColumn, ArrowRowGroupWriterFactory, compute_leaves,
};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::AsyncWriteExt;
use tokio::task::spawn_blocking;

/// How large a row group may grow: what the writer keeps in memory, and what a reader has to.
const BYTES: usize = 32 * 1024 * 1024;
/// How many rows a row group may have.
const ROWS: usize = 1024 * 1024;
/// From how many values on a batch is worth the help of another core.
const WORTH: usize = 8192;

/// Writes one file.
pub(crate) struct RowGroups {
    sink: BufWriter,
    file: SerializedFileWriter<Vec<u8>>,
    factory: ArrowRowGroupWriterFactory,
    schema: SchemaRef,
    open: Option<RowGroup>,
}

#[derive(Default)]
struct RowGroup {
    /// Those of its leaves, in their order.
    columns: Vec<ArrowColumnWriter>,
    rows: usize,
}

impl RowGroups {
    pub(crate) fn new(
        sink: BufWriter,
        schema: SchemaRef,
        properties: WriterProperties,
    ) -> Result<Self> {
        let writer = ArrowWriter::try_new(Vec::new(), schema.clone(), Some(properties))?;
        let (file, factory) = writer.into_serialized_writer()?;
        Ok(Self {
            sink,
            file,
            factory,
            schema,
            open: None,
        })
    }

    /// Writes rows of the schema.
    pub(crate) async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let mut written = 0;
        while written < batch.num_rows() {
            let mut group = match self.open.take() {
                Some(group) => group,
                None => self.begin()?,
            };
            let rows = group.room().min(batch.num_rows() - written);
            group
                .write(&self.schema, &batch.slice(written, rows))
                .await?;
            written += rows;
            let full = group.room() == 0;
            self.open = Some(group);
            if full {
                self.close_group().await?;
            }
        }
        Ok(())
    }

    /// How many bytes the file has, or will have.
    pub(crate) fn size(&self) -> usize {
        let open = self.open.as_ref().map_or(0, RowGroup::bytes);
        self.file.bytes_written() + open
    }

    /// Completes the file: its footer, and how many bytes it has.
    pub(crate) async fn finish(mut self) -> Result<(ParquetMetaData, usize)> {
        self.close_group().await?;
        let metadata = self.file.finish()?;
        self.send().await?;
        self.sink.shutdown().await?;
        Ok((metadata, self.file.bytes_written()))
    }

    fn begin(&self) -> Result<RowGroup> {
        let number = self.file.flushed_row_groups().len();
        Ok(RowGroup {
            columns: self.factory.create_column_writers(number)?,
            rows: 0,
        })
    }

    async fn close_group(&mut self) -> Result<()> {
        let Some(group) = self.open.take() else {
            return Ok(());
        };
        let mut written = self.file.next_row_group()?;
        for column in group.columns {
            column.close()?.append_to_row_group(&mut written)?;
        }
        written.close()?;
        self.send().await
    }

    async fn send(&mut self) -> Result<()> {
        let bytes = std::mem::take(self.file.inner_mut());
        self.sink.put(bytes.into()).await.map_err(external)
    }
}

impl RowGroup {
    fn bytes(&self) -> usize {
        let bytes = ArrowColumnWriter::get_estimated_total_bytes;
        self.columns.iter().map(bytes).sum()
    }

    /// How many rows it takes yet, by how large those are that it has.
    fn room(&self) -> usize {
        let rows = ROWS - self.rows;
        let (bytes, has) = (self.bytes(), self.rows);
        if bytes == 0 || has == 0 {
            return rows;
        }
        let left = BYTES.saturating_sub(bytes);
        rows.min(left.saturating_mul(has) / bytes)
    }

    async fn write(&mut self, schema: &SchemaRef, batch: &RecordBatch) -> Result<()> {
        self.rows += batch.num_rows();
        let mut leaves = Vec::with_capacity(self.columns.len());
        for (field, column) in schema.fields().iter().zip(batch.columns()) {
            leaves.extend(compute_leaves(field, column)?);
        }
        let columns = std::mem::take(&mut self.columns);
        let mut open: Vec<Column> = columns
            .into_iter()
            .zip(leaves)
            .enumerate()
            .map(|(place, (writer, leaf))| Column {
                place,
                writer,
                leaf,
            })
            .collect();
        let values = batch.num_rows() * open.len();
        let mut done = if values < WORTH || open.len() < 2 {
            encode(|| open.pop())?
        } else {
            // What takes longest is begun first.
            open.sort_by_cached_key(|column| column.writer.get_estimated_total_bytes());
            on_two_cores(open).await?
        };
        done.sort_unstable_by_key(|(place, _)| *place);
        self.columns = done.into_iter().map(|(_, writer)| writer).collect();
        Ok(())
    }
}

/// What is written of a batch into one column.
struct Column {
    place: usize,
    writer: ArrowColumnWriter,
    leaf: ArrowLeafColumn,
}

type Encoded = Vec<(usize, ArrowColumnWriter)>;

fn encode(mut next: impl FnMut() -> Option<Column>) -> Result<Encoded> {
    let mut done = Vec::new();
    while let Some(mut column) = next() {
        column.writer.write(&column.leaf)?;
        done.push((column.place, column.writer));
    }
    Ok(done)
}

/// Encodes columns, the last one first, on this thread and on another one: each takes what is next until there is none.
async fn on_two_cores(columns: Vec<Column>) -> Result<Encoded> {
    let columns = Arc::new(Mutex::new(columns));
    let next = |columns: &Mutex<Vec<Column>>| {
        let mut columns = columns.lock().unwrap_or_else(PoisonError::into_inner);
        columns.pop()
    };
    let shared = columns.clone();
    let other = spawn_blocking(move || encode(|| next(&shared)));
    let mut done = encode(|| next(&columns))?;
    // It has nothing yet where no core was free for it, and is not waited for.
    other.abort();
    match other.await {
        Ok(others) => done.extend(others?),
        Err(error) if error.is_cancelled() => {}
        Err(error) => return Err(external(error)),
    }
    Ok(done)
}

fn external(error: impl std::error::Error + Send + Sync + 'static) -> ParquetError {
    ParquetError::External(Box::new(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Int64Array, ListArray, StringArray, StructArray};
    use arrow::compute::concat_batches;
    use arrow::datatypes::Int64Type;
    use object_store::memory::InMemory;
    use object_store::path::Path;
    use object_store::{ObjectStore, ObjectStoreExt};
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use parquet::file::metadata::RowGroupMetaData;

    /// Columns of every kind, so many rows from a number on.
    fn batch(from: i64, rows: i64) -> RecordBatch {
        let numbers = from..from + rows;
        let number: ArrayRef = Arc::new(Int64Array::from_iter_values(numbers.clone()));
        let texts = numbers.clone().map(|n| (n % 7 != 0).then(|| n.to_string()));
        let text: ArrayRef = Arc::new(texts.collect::<StringArray>());
        let lists = numbers.map(|n| (n % 5 != 0).then(|| (0..n % 3).map(Some)));
        let list: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(lists));
        let inner = RecordBatch::try_from_iter_with_nullable([
            ("number", number.clone(), true),
            ("text", text.clone(), true),
        ]);
        let structs: ArrayRef = Arc::new(StructArray::from(inner.unwrap()));
        RecordBatch::try_from_iter_with_nullable([
            ("number", number, true),
            ("text", text, true),
            ("list", list, true),
            ("struct", structs, true),
        ])
        .unwrap()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_is_written_on_two_cores_reads_as_it_was() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let path = Path::from("file");
        let schema = batch(0, 1).schema();
        let sink = BufWriter::new(store.clone(), path.clone());
        let properties = WriterProperties::default();
        let mut writer = RowGroups::new(sink, schema.clone(), properties).unwrap();
        // Small ones on one core, large ones on two, and more rows than a group may have.
        let sizes = [1, 10, 20_000, 3, 8192, 700_000, 400_000, 5];
        let mut rows = 0;
        let batches = sizes.map(|size| {
            rows += size;
            batch(rows - size, size)
        });
        for batch in &batches {
            writer.write(batch).await.unwrap();
        }
        let (metadata, size) = writer.finish().await.unwrap();
        let bytes = store.get(&path).await.unwrap().bytes().await.unwrap();
        assert_eq!(bytes.len(), size);
        let groups = metadata.row_groups().iter().map(RowGroupMetaData::num_rows);
        let groups: Vec<i64> = groups.collect();
        assert_eq!(groups.iter().sum::<i64>(), rows);
        assert!(groups.len() > 1 && groups.iter().all(|rows| *rows <= ROWS as i64));
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
        let read: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
        assert_eq!(
            concat_batches(&schema, &read).unwrap(),
            concat_batches(&schema, &batches).unwrap()
        );
    }
}
