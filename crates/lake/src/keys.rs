use crate::error::Error;
use crate::table::{DataFile, Table};
use crate::writer::Writer;
use arrow::array::AsArray;
use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::{filter_record_batch, max_string, min_string, not};
use arrow::datatypes::{DataType, Int64Type};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use futures::TryStreamExt;
use serde_json::Value;
use std::collections::HashSet;

/// A set of keys, each of one or more columns. Null is a value like others.
#[derive(Debug)]
pub struct KeySet {
    converter: RowConverter,
    known: HashSet<Box<[u8]>>,
    first: Range,
}

/// The least and the greatest value of a key's first column, as far as files can be told apart by it.
#[derive(Debug, Default)]
enum Range {
    #[default]
    Empty,
    Int(i64, i64),
    Text(String, String),
    /// A null, or a type without bounds: no file can be left out.
    All,
}

/// What [`KeySet::take_out`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewritten {
    /// The files that hold one of the keys; what remains of their rows was written anew.
    pub removed: Vec<DataFile>,
    /// How many rows had one of the keys.
    pub rows: u64,
}

impl KeySet {
    /// An empty set of keys of those types.
    pub fn new(types: &[DataType]) -> Result<Self, ArrowError> {
        let fields = types.iter().cloned().map(SortField::new).collect();
        Ok(Self {
            converter: RowConverter::new(fields)?,
            known: HashSet::new(),
            first: Range::Empty,
        })
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Puts in the keys of those columns' rows, and says of each row whether its key is new.
    pub fn insert(&mut self, columns: &[ArrayRef]) -> Result<BooleanArray, ArrowError> {
        let rows = self.converter.convert_columns(columns)?;
        if let Some(first) = columns.first() {
            self.first.widen(first);
        }
        let known = &mut self.known;
        Ok(rows
            .iter()
            .map(|row| Some(!known.contains(row.as_ref()) && known.insert(row.as_ref().into())))
            .collect())
    }

    /// Takes out the keys of another set of the same types.
    pub fn subtract(&mut self, other: &Self) {
        self.known.retain(|key| !other.known.contains(key));
    }

    /// Says of each of those columns' rows whether its key is in the set.
    pub fn contains(&self, columns: &[ArrayRef]) -> Result<BooleanArray, ArrowError> {
        let rows = self.converter.convert_columns(columns)?;
        Ok(rows
            .iter()
            .map(|row| Some(self.known.contains(row.as_ref())))
            .collect())
    }

    /// Writes anew what remains of the table's files when the rows are gone whose columns of those names have a key of the
    /// set. Files without such a row are left as they are, and of the others only the key's columns are read at first.
    pub async fn take_out(
        &self,
        table: &Table,
        columns: &[String],
        writer: &mut Writer,
    ) -> Result<Rewritten, Error> {
        let mut rewritten = Rewritten::default();
        if self.is_empty() {
            return Ok(rewritten);
        }
        let schema = table.schema();
        // Where the key is not among the columns, no row has one.
        if columns
            .iter()
            .any(|column| schema.field_with_name(column).is_err())
        {
            return Ok(rewritten);
        }
        for file in table.files() {
            if columns
                .first()
                .is_some_and(|first| self.first.misses(&file, first))
            {
                continue;
            }
            let mut keys = table
                .scan()
                .files(vec![file.clone()])
                .columns(columns)
                .stream();
            let (mut gone, mut rows) = (0, 0);
            while let Some(batch) = keys.try_next().await? {
                gone += self.held(table, &batch, columns)?.true_count();
                rows += batch.num_rows();
            }
            if gone == 0 {
                continue;
            }
            rewritten.rows += gone as u64;
            if gone < rows {
                let mut all = table
                    .scan()
                    .files(vec![file.clone()])
                    .schema(writer.schema().clone())
                    .stream();
                while let Some(batch) = all.try_next().await? {
                    let remains = self.held(table, &batch, columns).and_then(|held| {
                        not(&held).map_err(|error| Error::of(table.key(), error))
                    })?;
                    let batch = filter_record_batch(&batch, &remains)
                        .map_err(|error| Error::of(table.key(), error))?;
                    writer.write(&batch).await?;
                }
            }
            rewritten.removed.push(file);
        }
        Ok(rewritten)
    }

    fn held(
        &self,
        table: &Table,
        batch: &RecordBatch,
        columns: &[String],
    ) -> Result<BooleanArray, Error> {
        let keys: Vec<ArrayRef> = columns
            .iter()
            .filter_map(|column| batch.column_by_name(column).cloned())
            .collect();
        self.contains(&keys)
            .map_err(|error| Error::of(table.key(), error))
    }
}

impl Range {
    fn widen(&mut self, column: &ArrayRef) {
        if column.is_empty() {
            return;
        }
        let seen = match column.data_type() {
            _ if column.null_count() > 0 => Self::All,
            DataType::Int64 => {
                let column = column.as_primitive::<Int64Type>();
                let bounds = arrow::compute::min(column).zip(arrow::compute::max(column));
                bounds.map_or(Self::All, |(min, max)| Self::Int(min, max))
            }
            DataType::Utf8 => {
                let column = column.as_string::<i32>();
                min_string(column)
                    .zip(max_string(column))
                    .map_or(Self::All, |(min, max)| {
                        Self::Text(min.to_owned(), max.to_owned())
                    })
            }
            _ => Self::All,
        };
        *self = match (std::mem::take(self), seen) {
            (Self::Empty, seen) => seen,
            (Self::Int(min, max), Self::Int(least, greatest)) => {
                Self::Int(min.min(least), max.max(greatest))
            }
            (Self::Text(min, max), Self::Text(least, greatest)) => {
                Self::Text(min.min(least), max.max(greatest))
            }
            _ => Self::All,
        };
    }

    /// Whether a file's statistics say that none of the keys can be in it.
    fn misses(&self, file: &DataFile, column: &str) -> bool {
        let Some(stats) = file
            .stats
            .as_ref()
            .and_then(|stats| serde_json::from_str::<Value>(stats).ok())
        else {
            return false;
        };
        let (least, greatest) = (&stats["minValues"][column], &stats["maxValues"][column]);
        match self {
            Self::Empty => true,
            Self::Int(min, max) => match (least.as_i64(), greatest.as_i64()) {
                (Some(least), Some(greatest)) => *max < least || greatest < *min,
                _ => false,
            },
            Self::Text(min, max) => match (least.as_str(), greatest.as_str()) {
                (Some(least), Some(greatest)) => max.as_str() < least || greatest < min.as_str(),
                _ => false,
            },
            Self::All => false,
        }
    }
}
