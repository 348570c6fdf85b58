//! Rows that are held in memory: of files that are asked again and again, and are small enough.
//!
//! A file never changes, so that what was read of it holds for as long as there is room. Its rows are cut into zones, in
//! the order of the table's key where it has one; a query looks at those zones alone between whose bounds there can be a
//! row that it asks for.

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, UInt64Array};
use arrow::compute::{
    SortColumn, SortOptions, concat_batches, lexsort_to_indices, take_record_batch,
};
use arrow::datatypes::SchemaRef;
use datafusion::common::{Column, ScalarValue};
use datafusion::error::{DataFusionError, Result};
use datafusion::functions_aggregate::min_max::{MaxAccumulator, MinAccumulator};
use datafusion::logical_expr::Accumulator;
use datafusion::physical_optimizer::pruning::PruningStatistics;
use futures::TryStreamExt;
use millrace_lake::{DataFile, Scan};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OnceCell, Semaphore};

/// How many rows a zone has.
const ZONE: usize = 2048;
/// The part of the room that a file may take.
const LARGEST_SHARE: usize = 4;
/// By how many times rows are larger in memory than in their file, at least: what is too large by this is not even tried.
const UNPACKED: usize = 2;

/// The files whose rows are held, by table and path.
#[derive(Debug)]
pub(crate) struct Held {
    room: usize,
    files: Mutex<Files>,
    /// One file is read at a time: what is being read is no part of the room.
    reading: Semaphore,
}

#[derive(Debug, Default)]
struct Files {
    by_path: HashMap<String, Kept>,
    /// Counts what is asked for, so that what was not for the longest time can be told.
    clock: u64,
}

/// A file's rows; none inside where they would take too much room.
type Cell = Arc<OnceCell<Option<Arc<Zones>>>>;

#[derive(Clone, Debug)]
struct Kept {
    rows: Cell,
    asked: u64,
}

impl Kept {
    fn bytes(&self) -> usize {
        match self.rows.get() {
            Some(Some(zones)) => zones.bytes,
            _ => 0,
        }
    }
}

impl Held {
    pub(crate) fn new(room: usize) -> Self {
        Self {
            room,
            files: Mutex::default(),
            reading: Semaphore::new(1),
        }
    }

    /// How many bytes there are for rows.
    pub(crate) fn room(&self) -> usize {
        self.room
    }

    /// The rows of a table's file, read by `scan` now where they are not there; none where they would take too much room.
    pub(crate) async fn rows(
        &self,
        table: &str,
        file: &DataFile,
        scan: &Scan,
        schema: &SchemaRef,
        key: &[usize],
    ) -> Result<Option<Arc<Zones>>> {
        let most = self.room / LARGEST_SHARE;
        if file.size as usize * UNPACKED > most {
            return Ok(None);
        }
        let cell = self.cell(format!("{table}/{}", file.path));
        if let Some(rows) = cell.get() {
            return Ok(of_schema(rows.clone(), schema));
        }
        let read = async || {
            let closed = |error| DataFusionError::External(Box::new(error));
            let _turn = self.reading.acquire().await.map_err(closed)?;
            let scan = scan.clone().files(vec![file.clone()]).batch_rows(ZONE);
            read(scan, schema, key, most).await
        };
        let rows = cell.get_or_try_init(read).await?.clone();
        self.make_room();
        Ok(of_schema(rows, schema))
    }

    fn cell(&self, path: String) -> Cell {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.clock += 1;
        let asked = files.clock;
        let kept = files.by_path.entry(path).or_insert_with(|| Kept {
            rows: Cell::default(),
            asked,
        });
        kept.asked = asked;
        kept.rows.clone()
    }

    /// Lets go of what was not asked for for the longest time, until the rest fits.
    fn make_room(&self) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken: usize = files.by_path.values().map(Kept::bytes).sum();
        while taken > self.room {
            let held = files.by_path.iter().filter(|(_, kept)| kept.bytes() > 0);
            let oldest = held.min_by_key(|(_, kept)| kept.asked);
            let Some(path) = oldest.map(|(path, _)| path.clone()) else {
                break;
            };
            taken -= files.by_path.remove(&path).map_or(0, |kept| kept.bytes());
        }
    }
}

/// Rows of another schema are those of another version of the table, whose columns were others.
fn of_schema(rows: Option<Arc<Zones>>, schema: &SchemaRef) -> Option<Arc<Zones>> {
    rows.filter(|rows| rows.schema == *schema)
}

/// Reads a file's rows; none where they take more than `most` bytes.
async fn read(
    scan: Scan,
    schema: &SchemaRef,
    key: &[usize],
    most: usize,
) -> Result<Option<Arc<Zones>>> {
    let outside = |error| DataFusionError::External(Box::new(error));
    let (mut rows, mut batches, mut bytes) = (scan.stream(), Vec::new(), 0);
    while let Some(batch) = rows.try_next().await.map_err(outside)? {
        bytes += batch.get_array_memory_size();
        if bytes > most {
            return Ok(None);
        }
        batches.push(batch);
    }
    let batches = if key.is_empty() {
        batches
    } else {
        sorted(schema, batches, key)?
    };
    Ok(Some(Arc::new(Zones::new(schema.clone(), batches))))
}

/// The rows in the order of these columns. Each batch has its values to itself: who buffers one that is a slice of all rows
/// is charged for all of them.
fn sorted(
    schema: &SchemaRef,
    batches: Vec<RecordBatch>,
    key: &[usize],
) -> Result<Vec<RecordBatch>> {
    let all = concat_batches(schema, &batches)?;
    drop(batches);
    let column = |at: &usize| SortColumn {
        values: all.column(*at).clone(),
        options: Some(SortOptions::default()),
    };
    let columns: Vec<SortColumn> = key.iter().map(column).collect();
    let order = lexsort_to_indices(&columns, None)?;
    let zones = (0..order.len()).step_by(ZONE);
    let cut = |from: usize| {
        let rows = order.slice(from, ZONE.min(order.len() - from));
        Ok(take_record_batch(&all, &rows)?)
    };
    zones.map(cut).collect()
}

/// The rows of a file, in zones.
#[derive(Debug)]
pub(crate) struct Zones {
    schema: SchemaRef,
    pub(crate) batches: Vec<RecordBatch>,
    least: Vec<Option<ArrayRef>>,
    greatest: Vec<Option<ArrayRef>>,
    /// How much memory they take.
    pub(crate) bytes: usize,
}

impl Zones {
    fn new(schema: SchemaRef, batches: Vec<RecordBatch>) -> Self {
        let of_all = |bound: Bound| {
            let columns = 0..schema.fields().len();
            columns.map(|at| bounds(&batches, at, bound)).collect()
        };
        Self {
            least: of_all(least),
            greatest: of_all(greatest),
            bytes: batches.iter().map(RecordBatch::get_array_memory_size).sum(),
            schema,
            batches,
        }
    }
}

type Bound = fn(&ArrayRef) -> Result<ScalarValue>;

/// The bound of each zone's values of a column; none for what has no order.
fn bounds(batches: &[RecordBatch], column: usize, bound: Bound) -> Option<ArrayRef> {
    if batches.first()?.column(column).data_type().is_nested() {
        return None;
    }
    let values = batches.iter().map(|batch| bound(batch.column(column)));
    let values: Vec<ScalarValue> = values.collect::<Result<_>>().ok()?;
    ScalarValue::iter_to_array(values).ok()
}

fn least(values: &ArrayRef) -> Result<ScalarValue> {
    let mut bound = MinAccumulator::try_new(values.data_type())?;
    bound.update_batch(std::slice::from_ref(values))?;
    bound.evaluate()
}

fn greatest(values: &ArrayRef) -> Result<ScalarValue> {
    let mut bound = MaxAccumulator::try_new(values.data_type())?;
    bound.update_batch(std::slice::from_ref(values))?;
    bound.evaluate()
}

impl PruningStatistics for Zones {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.least[self.schema.index_of(&column.name).ok()?].clone()
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.greatest[self.schema.index_of(&column.name).ok()?].clone()
    }

    fn num_containers(&self) -> usize {
        self.batches.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let at = self.schema.index_of(&column.name).ok()?;
        let nulls = self
            .batches
            .iter()
            .map(|batch| batch.column(at).null_count() as u64);
        Some(Arc::new(UInt64Array::from_iter_values(nulls)))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        let rows = self.batches.iter().map(|batch| batch.num_rows() as u64);
        Some(Arc::new(UInt64Array::from_iter_values(rows)))
    }

    fn contained(&self, _: &Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
