use crate::cast::cast;
use crate::error::{Error, ErrorKind};
use crate::parquet_file::ParquetFile;
use crate::table::DataFile;
use arrow::array::{
    Array, ArrayRef, AsArray, ListArray, RecordBatch, RecordBatchOptions, StructArray,
    new_null_array,
};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::error::ArrowError;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStore;
use object_store::path::Path;
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Rows, batch by batch.
pub type RowStream = BoxStream<'static, Result<RecordBatch, Error>>;

/// Which of a table's rows are read, and how.
#[derive(Clone, Debug)]
#[must_use]
pub struct Scan {
    table: String,
    store: Arc<dyn ObjectStore>,
    schema: SchemaRef,
    files: Vec<DataFile>,
    batch_rows: usize,
}

impl Scan {
    pub(crate) fn new(
        table: &str,
        store: Arc<dyn ObjectStore>,
        schema: SchemaRef,
        files: Vec<DataFile>,
    ) -> Self {
        Self {
            table: table.to_owned(),
            store,
            schema,
            files,
            batch_rows: 16_384,
        }
    }

    /// Only these files.
    pub fn files(mut self, files: Vec<DataFile>) -> Self {
        self.files = files;
        self
    }

    /// Only the columns of that name, in that order; a name that the table does not have is left out.
    pub fn columns(mut self, names: &[impl AsRef<str>]) -> Self {
        let fields = names
            .iter()
            .filter_map(|name| self.schema.field_with_name(name.as_ref()).ok().cloned())
            .collect::<Vec<_>>();
        self.schema = Arc::new(Schema::new(fields));
        self
    }

    /// As rows of that schema: columns that a file does not have are null.
    pub fn schema(mut self, schema: SchemaRef) -> Self {
        self.schema = schema;
        self
    }

    /// At most so many rows in a batch.
    pub fn batch_rows(mut self, rows: usize) -> Self {
        self.batch_rows = rows;
        self
    }

    /// The rows, file by file, in the order of the files.
    pub fn stream(self) -> RowStream {
        let Self {
            table,
            store,
            schema,
            files,
            batch_rows,
        } = self;
        stream::iter(files)
            .then(move |file| {
                open(
                    table.clone(),
                    store.clone(),
                    schema.clone(),
                    file,
                    batch_rows,
                )
            })
            .try_flatten()
            .boxed()
    }
}

/// What a task of its own makes ready while what came before is worked on.
pub(crate) type Ahead<T> = BoxStream<'static, Result<T, Error>>;

/// The same items, each of which is made ready while the one before it is worked on.
pub(crate) fn ahead<T: Send + 'static>(table: &str, mut items: Ahead<T>) -> Ahead<T> {
    let (sender, receiver) = mpsc::channel(1);
    let task = tokio::spawn(async move {
        while let Some(item) = items.next().await {
            if sender.send(item).await.is_err() {
                break;
            }
        }
    });
    let table = table.to_owned();
    stream::unfold(Some((receiver, task, table)), async |state| {
        let (mut receiver, task, table) = state?;
        if let Some(item) = receiver.recv().await {
            return Some((item, Some((receiver, task, table))));
        }
        // A task that ended before its time must not look like the last item.
        let error = task.await.err()?;
        let error = Error::because(ErrorKind::Transient, &table, error);
        Some((Err(error), None))
    })
    .boxed()
}

async fn open(
    table: String,
    store: Arc<dyn ObjectStore>,
    schema: SchemaRef,
    file: DataFile,
    batch_rows: usize,
) -> Result<RowStream, Error> {
    let path = Path::parse(&file.path)
        .map_err(|error| Error::because(ErrorKind::Malformed, &table, error))?;
    let reader = ParquetFile {
        store,
        path,
        size: file.size,
    };
    let builder = ParquetRecordBatchStreamBuilder::new(reader)
        .await
        .map_err(|error| Error::of(&table, error))?;
    let wanted: Vec<usize> = builder
        .schema()
        .fields()
        .iter()
        .enumerate()
        .filter(|(_, field)| schema.field_with_name(field.name()).is_ok())
        .map(|(position, _)| position)
        .collect();
    let mask = ProjectionMask::roots(builder.parquet_schema(), wanted);
    let stream = builder
        .with_projection(mask)
        .with_batch_size(batch_rows)
        .build()
        .map_err(|error| Error::of(&table, error))?;
    let rows = stream.map(move |batch| {
        let batch = batch.map_err(|error| Error::of(&table, error))?;
        conform(&batch, &schema)
            .map_err(|error| Error::because(ErrorKind::Malformed, &table, error))
    });
    Ok(rows.boxed())
}

/// The batch with the columns of that schema.
fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = schema
        .fields()
        .iter()
        .map(|field| match batch.column_by_name(field.name()) {
            None => Ok(new_null_array(field.data_type(), batch.num_rows())),
            Some(column) => widened(column, field.data_type()),
        })
        .collect::<Result<Vec<ArrayRef>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options)
}

/// The column as one of that type. Fields that its structs do not have are null.
fn widened(column: &ArrayRef, kind: &DataType) -> Result<ArrayRef, ArrowError> {
    match (column.data_type(), kind) {
        (found, wanted) if found == wanted => Ok(column.clone()),
        (DataType::Struct(_), DataType::Struct(fields)) => {
            let structs = column.as_struct();
            let columns = fields
                .iter()
                .map(|field| match structs.column_by_name(field.name()) {
                    None => Ok(new_null_array(field.data_type(), structs.len())),
                    Some(column) => widened(column, field.data_type()),
                });
            let columns = columns.collect::<Result<Vec<_>, _>>()?;
            let structs = StructArray::try_new(fields.clone(), columns, structs.nulls().cloned())?;
            Ok(Arc::new(structs))
        }
        (DataType::List(_), DataType::List(element)) => {
            let lists = column.as_list::<i32>();
            let values = widened(lists.values(), element.data_type())?;
            let (offsets, nulls) = (lists.offsets().clone(), lists.nulls().cloned());
            Ok(Arc::new(ListArray::try_new(
                element.clone(),
                offsets,
                values,
                nulls,
            )?))
        }
        _ => cast(column, kind),
    }
}
