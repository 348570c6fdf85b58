use crate::error::Error;
use crate::table::{DataFile, Table};
use crate::writer::Writer;
use arrow::array::{Array, ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow::compute::{filter_record_batch, not};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use futures::TryStreamExt;
use serde_json::Value;
use std::collections::HashSet;
use std::sync::Arc;

/// A set of keys, each of one or more columns. Null is a value like others.
#[derive(Debug)]
pub struct KeySet {
    converter: RowConverter,
    known: HashSet<Box<[u8]>>,
    types: Vec<DataType>,
    /// Whether a key begins with a null, which no file's bounds tell of.
    null: bool,
}

/// Makes of a file's rows, some of which have one of the keys, what is written in their place.
pub type Edit<'a> =
    dyn FnMut(&RecordBatch, &BooleanArray) -> Result<RecordBatch, ArrowError> + Send + 'a;

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
            types: types.to_vec(),
            null: false,
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
        self.null |= columns.first().is_some_and(|first| first.null_count() > 0);
        let known = &mut self.known;
        Ok(rows
            .iter()
            .map(|row| Some(!known.contains(row.as_ref()) && known.insert(row.as_ref().into())))
            .collect())
    }

    /// Puts in a key by the bytes that [`Self::bytes`] gave.
    pub fn insert_bytes(&mut self, key: Box<[u8]>) {
        // A null's bytes begin so, and nothing else's.
        self.null |= key.first() == Some(&0);
        self.known.insert(key);
    }

    /// Leaves only the keys of which that holds.
    pub fn retain(&mut self, holds: impl Fn(&[u8]) -> bool) {
        self.known.retain(|key| holds(key));
    }

    /// Takes out the keys of another set of the same types.
    pub fn subtract(&mut self, other: &Self) {
        self.known.retain(|key| !other.known.contains(key));
    }

    /// The bytes by which each of those columns' rows is known.
    pub fn bytes(&self, columns: &[ArrayRef]) -> Result<Vec<Box<[u8]>>, ArrowError> {
        let rows = self.converter.convert_columns(columns)?;
        Ok(rows.iter().map(|row| row.as_ref().into()).collect())
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
    ///
    /// `everything` writes all files anew, as the writer's columns want them: where a type has become another one.
    pub async fn take_out(
        &self,
        table: &Table,
        columns: &[String],
        writer: &mut Writer,
        everything: bool,
    ) -> Result<Rewritten, Error> {
        let mut edit =
            |batch: &RecordBatch, held: &BooleanArray| filter_record_batch(batch, &not(held)?);
        self.rewrite(table, columns, writer, everything, &mut edit)
            .await
    }

    /// As [`Self::take_out`], and `edit` says what is written in the place of the rows of the files that it comes to.
    pub async fn rewrite(
        &self,
        table: &Table,
        columns: &[String],
        writer: &mut Writer,
        everything: bool,
        edit: &mut Edit<'_>,
    ) -> Result<Rewritten, Error> {
        let mut rewritten = Rewritten::default();
        let candidates = self.files(table, columns);
        for file in table.files() {
            let candidate = candidates.contains(&file);
            let held = if candidate {
                self.count(table, &file, columns).await?
            } else {
                0
            };
            if held == 0 && !everything {
                continue;
            }
            rewritten.rows += held;
            let mut all = table
                .scan()
                .files(vec![file.clone()])
                .schema(writer.schema().clone())
                .stream();
            while let Some(batch) = all.try_next().await? {
                if held == 0 {
                    writer.write(&batch).await?;
                    continue;
                }
                let held = self.held(table, &batch, columns)?;
                let batch = edit(&batch, &held).map_err(|error| Error::of(table.key(), error))?;
                writer.write(&batch).await?;
            }
            rewritten.removed.push(file);
        }
        Ok(rewritten)
    }

    /// The table's files in which one of the keys can be: by their statistics, those between the bounds of whose first
    /// column there is a key.
    pub fn files(&self, table: &Table, columns: &[String]) -> Vec<DataFile> {
        let schema = table.schema();
        let known = |column: &String| schema.field_with_name(column).is_ok();
        // Where the key is not among the columns, no row has one.
        if self.is_empty() || !columns.iter().all(known) {
            return Vec::new();
        }
        let mut sorted: Vec<&[u8]> = self.known.iter().map(AsRef::as_ref).collect();
        sorted.sort_unstable();
        let mut files = table.files();
        if let (Some(column), Some(first), false) = (columns.first(), self.types.first(), self.null)
        {
            files.retain(|file| !misses(&sorted, first, file, column).unwrap_or(false));
        }
        files
    }

    /// How many of a file's rows have one of the keys.
    async fn count(
        &self,
        table: &Table,
        file: &DataFile,
        columns: &[String],
    ) -> Result<u64, Error> {
        let fields = columns.iter().zip(&self.types);
        let fields = fields.map(|(name, kind)| Field::new(name, kind.clone(), true));
        let mut keys = table
            .scan()
            .files(vec![file.clone()])
            .schema(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
            .stream();
        let mut held = 0;
        while let Some(batch) = keys.try_next().await? {
            held += self.held(table, &batch, columns)?.true_count() as u64;
        }
        Ok(held)
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

/// Whether a file's statistics say that none of the keys can be in it; none where they say nothing. A key's bytes order as
/// the key does, and those of its first column come first.
fn misses(sorted: &[&[u8]], first: &DataType, file: &DataFile, column: &str) -> Option<bool> {
    let stats: Value = serde_json::from_str(file.stats.as_ref()?).ok()?;
    let (least, greatest) = (&stats["minValues"][column], &stats["maxValues"][column]);
    let bounds: ArrayRef = match first {
        DataType::Int64 => Arc::new(Int64Array::from(vec![least.as_i64()?, greatest.as_i64()?])),
        DataType::Utf8 => Arc::new(StringArray::from(vec![least.as_str()?, greatest.as_str()?])),
        _ => return None,
    };
    let converter = RowConverter::new(vec![SortField::new(first.clone())]).ok()?;
    let bounds = converter.convert_columns(&[bounds]).ok()?;
    let (least, greatest) = (bounds.row(0), bounds.row(1));
    let next = sorted.partition_point(|key| *key < least.as_ref());
    let between = |key: &[u8]| key <= greatest.as_ref() || key.starts_with(greatest.as_ref());
    Some(!sorted.get(next).is_some_and(|key| between(key)))
}
