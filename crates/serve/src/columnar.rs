//! Pages as columns, for those who compute with them: Arrow's stream and Parquet. Values keep their types: a moment is a
//! moment, a decimal number has all its digits.

mod builder;

use crate::column::{Column, Kind};
use crate::format::Format;
use arrow_array::RecordBatch;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use builder::Builder;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

/// A value as it is, for forms of answers that have types.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell<'a> {
    /// There is none.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number of 32 bits.
    Float(f32),
    /// A number of 64 bits.
    Double(f64),
    /// A decimal number as it is written, with all its digits.
    Decimal(Cow<'a, str>),
    /// Text, JSON or a UUID.
    Text(Cow<'a, str>),
    /// A day, counted from 1970.
    Date(i32),
    /// A time of day, in microseconds since midnight.
    Time(i64),
    /// A moment, in microseconds since 1970; of a moment without a time zone as if it were UTC.
    Timestamp(i64),
    /// Bytes.
    Bytes(Cow<'a, [u8]>),
    /// Several values.
    List(Vec<Cell<'a>>),
}

/// The columns of a page that is being written.
#[derive(Debug)]
pub(crate) struct Columns {
    schema: Arc<Schema>,
    builders: Vec<Builder>,
    bytes: usize,
    /// What is wrong with a value that does not fit its column.
    unfit: Option<String>,
}

impl Columns {
    /// Columns without a row.
    pub(crate) fn new<'c>(columns: impl Iterator<Item = &'c Column> + Clone) -> Self {
        let fields: Vec<Field> = columns.clone().map(field).collect();
        Self {
            schema: Arc::new(Schema::new(fields)),
            builders: columns.map(|column| Builder::new(&column.kind)).collect(),
            bytes: 0,
            unfit: None,
        }
    }

    /// Appends a value to one of them.
    pub(crate) fn push(&mut self, column: usize, cell: &Cell<'_>) {
        let Some(bytes) = self.builders[column].push(cell) else {
            let field = self.schema.field(column);
            let (name, kind) = (field.name(), field.data_type());
            self.unfit = Some(format!("`{name}` holds what is no {kind}: {cell:?}"));
            return;
        };
        self.bytes += bytes;
    }

    /// How many bytes the values take.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// All rows; where a value did not fit, what is wrong with it.
    pub(crate) fn finish(self) -> Result<RecordBatch, String> {
        if let Some(unfit) = self.unfit {
            return Err(unfit);
        }
        let columns = self.builders.into_iter().map(Builder::finish).collect();
        RecordBatch::try_new(self.schema, columns).map_err(|error| error.to_string())
    }
}

/// A file of one batch.
pub(crate) fn file(format: Format, batch: &RecordBatch) -> Result<Vec<u8>, String> {
    let mut file = File::new(format, &batch.schema())?;
    file.write(batch)?;
    file.finish()
}

/// A file that batches of one schema are written into.
pub(crate) enum File {
    /// Arrow's stream.
    Stream(StreamWriter<Vec<u8>>),
    /// Parquet.
    Parquet(ArrowWriter<Vec<u8>>),
}

impl File {
    /// A file of that form without a row.
    pub(crate) fn new(format: Format, schema: &Arc<Schema>) -> Result<Self, String> {
        if format != Format::Parquet {
            let stream = StreamWriter::try_new(Vec::new(), schema);
            return stream.map(Self::Stream).map_err(|error| error.to_string());
        }
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .build();
        let parquet = ArrowWriter::try_new(Vec::new(), schema.clone(), Some(properties));
        parquet
            .map(Self::Parquet)
            .map_err(|error| error.to_string())
    }

    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<(), String> {
        match self {
            Self::Stream(stream) => stream.write(batch).map_err(|error| error.to_string()),
            Self::Parquet(parquet) => parquet.write(batch).map_err(|error| error.to_string()),
        }
    }

    /// How many bytes it has, or will have.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Stream(stream) => stream.get_ref().len(),
            Self::Parquet(parquet) => parquet.bytes_written() + parquet.in_progress_size(),
        }
    }

    pub(crate) fn finish(self) -> Result<Vec<u8>, String> {
        match self {
            Self::Stream(stream) => stream.into_inner().map_err(|error| error.to_string()),
            Self::Parquet(parquet) => parquet.into_inner().map_err(|error| error.to_string()),
        }
    }
}

impl std::fmt::Debug for File {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let form = match self {
            Self::Stream(_) => "Stream",
            Self::Parquet(_) => "Parquet",
        };
        formatter.debug_tuple(form).field(&self.bytes()).finish()
    }
}

fn field(column: &Column) -> Field {
    let field = Field::new(&column.name, data_type(&column.kind), true);
    match column.kind {
        // A canonical extension type: who does not know it sees text.
        Kind::Json => field.with_metadata(HashMap::from([
            ("ARROW:extension:name".to_owned(), "arrow.json".to_owned()),
            ("ARROW:extension:metadata".to_owned(), String::new()),
        ])),
        _ => field,
    }
}

/// The type that holds every value of a kind. Decimal numbers whose digits nobody has counted, and UUIDs, are text.
fn data_type(kind: &Kind) -> DataType {
    match kind {
        Kind::Bool => DataType::Boolean,
        Kind::Int32 => DataType::Int32,
        Kind::Int64 => DataType::Int64,
        Kind::Float => DataType::Float32,
        Kind::Double => DataType::Float64,
        Kind::Decimal(Some(digits)) => DataType::Decimal128(digits.precision, digits.scale),
        Kind::Decimal(None) | Kind::Text | Kind::Json | Kind::Uuid => DataType::Utf8,
        Kind::Date => DataType::Date32,
        Kind::Time => DataType::Time64(TimeUnit::Microsecond),
        Kind::LocalTimestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
        Kind::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Kind::Bytes => DataType::Binary,
        Kind::List(member) => DataType::List(member_field(member)),
    }
}

fn member_field(member: &Kind) -> Arc<Field> {
    Arc::new(Field::new_list_field(data_type(member), true))
}

#[cfg(test)]
mod tests;
