use crate::error::Error;
use crate::scan::{Ahead, RowStream, ahead};
use crate::sieve::Sieve;
use crate::table::{DataFile, Table};
use crate::writer::Writer;
use arrow::array::{
    Array, ArrayRef, BooleanArray, BooleanBufferBuilder, Int64Array, RecordBatch, StringArray,
};
use arrow::compute::{filter_record_batch, not};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use futures::stream;
use futures::{StreamExt, TryStreamExt};
use serde_json::Value;
use std::collections::HashSet;
use std::sync::Arc;

/// A set of keys, each of one or more columns. Null is a value like others.
#[derive(Debug)]
pub struct KeySet {
    converter: Arc<RowConverter>,
    known: Arc<HashSet<Box<[u8]>>>,
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
            converter: Arc::new(RowConverter::new(fields)?),
            known: Arc::default(),
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
        let known = Arc::make_mut(&mut self.known);
        Ok(rows
            .iter()
            .map(|row| Some(!known.contains(row.as_ref()) && known.insert(row.as_ref().into())))
            .collect())
    }

    /// Puts in a key by the bytes that [`Self::bytes`] gave.
    pub fn insert_bytes(&mut self, key: Box<[u8]>) {
        // A null's bytes begin so, and nothing else's.
        self.null |= key.first() == Some(&0);
        Arc::make_mut(&mut self.known).insert(key);
    }

    /// Leaves only the keys of which that holds.
    pub fn retain(&mut self, holds: impl Fn(&[u8]) -> bool) {
        Arc::make_mut(&mut self.known).retain(|key| holds(key));
    }

    /// Takes out the keys of another set of the same types.
    pub fn subtract(&mut self, other: &Self) {
        Arc::make_mut(&mut self.known).retain(|key| !other.known.contains(key));
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
        let mut searched = self.search(table, columns);
        while let Some((file, held)) = searched.try_next().await? {
            if held.is_none() && !everything {
                continue;
            }
            rewritten.rows += held.as_ref().map_or(0, BooleanArray::true_count) as u64;
            let rows = table
                .scan()
                .files(vec![file.clone()])
                .schema(writer.schema().clone())
                .stream();
            // Read by another core while this one writes.
            let mut rows = ahead(table.key(), rows);
            let mut before = 0;
            while let Some(batch) = rows.try_next().await? {
                let Some(held) = &held else {
                    writer.write(&batch).await?;
                    continue;
                };
                let held = held.slice(before, batch.num_rows());
                before += batch.num_rows();
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

    /// All files of the table, each with the rows that have one of the keys. While one is written anew, the next one is
    /// searched.
    fn search(&self, table: &Table, columns: &[String]) -> Ahead<Searched> {
        let fields = columns.iter().zip(&self.types);
        let fields = fields.map(|(name, kind)| Field::new(name, kind.clone(), true));
        let search = Arc::new(Search {
            converter: self.converter.clone(),
            known: self.known.clone(),
            sieve: Sieve::of(self.known.iter().map(AsRef::as_ref)),
            table: table.key().to_owned(),
        });
        let scan = table
            .scan()
            .schema(Arc::new(Schema::new(fields.collect::<Vec<_>>())));
        let candidates = self.files(table, columns).into_iter();
        let candidates: HashSet<String> = candidates.map(|file| file.path).collect();
        let files = stream::iter(table.files()).then(move |file| {
            let keys = candidates
                .contains(&file.path)
                .then(|| scan.clone().files(vec![file.clone()]).stream());
            let search = search.clone();
            async move {
                let held = match keys {
                    Some(keys) => search.held(keys).await?,
                    None => None,
                };
                Ok((file, held))
            }
        });
        ahead(table.key(), files.boxed())
    }
}

/// A file, and which of its rows have one of the keys; none where no row has.
type Searched = (DataFile, Option<BooleanArray>);

/// What looks for keys in files.
struct Search {
    converter: Arc<RowConverter>,
    known: Arc<HashSet<Box<[u8]>>>,
    sieve: Sieve,
    table: String,
}

impl Search {
    /// Which rows have one of the keys; none where no row has.
    async fn held(&self, mut keys: RowStream) -> Result<Option<BooleanArray>, Error> {
        let (mut held, mut any) = (BooleanBufferBuilder::new(0), false);
        while let Some(batch) = keys.try_next().await? {
            let rows = self.converter.convert_columns(batch.columns());
            for row in &rows.map_err(|error| Error::of(&self.table, error))? {
                let key = row.as_ref();
                let is_held = self.sieve.may_hold(key) && self.known.contains(key);
                any |= is_held;
                held.append(is_held);
            }
        }
        Ok(any.then(|| BooleanArray::new(held.finish(), None)))
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
