//! What becomes of each record where that cannot be told as it is read: because a later one may come before it in the
//! order that a column tells, or because a version of its row is compared with the one before.
//!
//! All records are read twice. The first time only keys, moments and digests are kept; then the table's rows of those keys
//! are met; the second time each record's fate is known. Memory grows with the keys of what is taken, not with the table.

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, TimestampMicrosecondArray,
};
use arrow::compute::{filter, filter_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use millrace_lake::KeySet;
use std::collections::HashMap;
use std::sync::Arc;

/// When a version of a row began to hold.
pub(crate) const VALID_FROM: &str = "valid_from";
/// When it ceased to; null while it holds.
pub(crate) const VALID_TO: &str = "valid_to";
/// Whether it holds.
pub(crate) const CURRENT: &str = "current";

/// The type of `valid_from` and `valid_to`.
pub(crate) fn moment_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// Records by their keys, and what becomes of them.
#[derive(Debug)]
pub(crate) struct Plan {
    history: bool,
    /// Knows the keys of all records.
    all: KeySet,
    order: RowConverter,
    known: HashMap<Box<[u8]>, Key>,
    /// History: the keys and beginnings of the table's versions that are closed, and when; or that are no more.
    edits: KeySet,
    removed: KeySet,
    /// History: the versions whose children are not those that the table has.
    children: KeySet,
    closings: HashMap<Box<[u8]>, i64>,
}

/// A key's records, and the table's last version of its row.
#[derive(Debug, Default)]
struct Key {
    records: Vec<Record>,
    last: Option<Last>,
    /// When the last one of the table's versions ended that did.
    ended: Option<i64>,
}

#[derive(Debug)]
struct Record {
    number: u64,
    run: u64,
    at: Box<[u8]>,
    moment: i64,
    digest: u128,
    deletes: bool,
    fate: Option<Fate>,
}

#[derive(Debug)]
struct Last {
    from: i64,
    to: Option<i64>,
    digest: u128,
    key: Box<[u8]>,
}

/// What becomes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fate {
    /// When its version begins.
    pub(crate) from: i64,
    /// When it ends; none while it holds.
    pub(crate) to: Option<i64>,
}

/// Some rows, as a plan looks at them.
#[derive(Debug)]
pub(crate) struct Look<'a> {
    /// The key's columns.
    pub(crate) key: &'a [ArrayRef],
    /// What tells the rows' order.
    pub(crate) at: &'a ArrayRef,
    /// Each row's content.
    pub(crate) digests: &'a [u128],
}

impl Plan {
    pub(crate) fn new(history: bool, key: &[ArrayRef], at: &ArrayRef) -> Result<Self, ArrowError> {
        let types: Vec<DataType> = key
            .iter()
            .map(|column| column.data_type().clone())
            .collect();
        let mut versions = types.clone();
        versions.push(moment_type());
        Ok(Self {
            history,
            all: KeySet::new(&types)?,
            order: RowConverter::new(vec![SortField::new(at.data_type().clone())])?,
            known: HashMap::new(),
            edits: KeySet::new(&versions)?,
            removed: KeySet::new(&versions)?,
            children: KeySet::new(&versions)?,
            closings: HashMap::new(),
        })
    }

    /// Notes records, of which those count that `counts` says; `first` is the first one's number,
    /// `run` their run's.
    pub(crate) fn add(
        &mut self,
        look: &Look<'_>,
        deletes: &BooleanArray,
        counts: &BooleanArray,
        first: u64,
        run: u64,
    ) -> Result<(), ArrowError> {
        let counted: Vec<ArrayRef> = look
            .key
            .iter()
            .map(|column| filter(column, counts))
            .collect::<Result<_, _>>()?;
        self.all.insert(&counted)?;
        let keys = self.all.bytes(look.key)?;
        let order = self.order.convert_columns(std::slice::from_ref(look.at))?;
        for (row, key) in keys.into_iter().enumerate() {
            if !counts.value(row) {
                continue;
            }
            let record = Record {
                number: first + row as u64,
                run,
                at: order.row(row).as_ref().into(),
                moment: moment(look.at, row).unwrap_or_default(),
                digest: look.digests.get(row).copied().unwrap_or_default(),
                deletes: deletes.value(row),
                fate: None,
            };
            let known = self.known.entry(key).or_default();
            // Of an upsert's records only the last one matters.
            if !self.history && known.records.last().is_none_or(|last| last.at <= record.at) {
                known.records.clear();
            }
            if self.history || known.records.is_empty() {
                known.records.push(record);
            }
        }
        Ok(())
    }

    /// The keys of all records.
    pub(crate) fn keys(&self) -> &KeySet {
        &self.all
    }

    /// Meets rows of the table that have a key of the plan; `to` says when a version ceased to hold.
    pub(crate) fn meet(
        &mut self,
        look: &Look<'_>,
        to: Option<&ArrayRef>,
    ) -> Result<(), ArrowError> {
        let keys = self.all.bytes(look.key)?;
        if !self.history {
            let order = self.order.convert_columns(std::slice::from_ref(look.at))?;
            for (row, key) in keys.iter().enumerate() {
                let Some(known) = self.known.get_mut(key) else {
                    continue;
                };
                // What the table has is later than all that came.
                known
                    .records
                    .retain(|record| order.row(row).as_ref() <= record.at.as_ref());
            }
            return Ok(());
        }
        let mut version = look.key.to_vec();
        version.push(look.at.clone());
        let versions = self.edits.bytes(&version)?;
        for ((row, key), version) in keys.iter().enumerate().zip(versions) {
            let Some(known) = self.known.get_mut(key) else {
                continue;
            };
            let from = moment(look.at, row).unwrap_or_default();
            let ended = to.and_then(|to| moment(to, row));
            known.ended = known.ended.max(ended);
            if known.last.as_ref().is_none_or(|last| last.from < from) {
                known.last = Some(Last {
                    from,
                    to: ended,
                    digest: look.digests.get(row).copied().unwrap_or_default(),
                    key: version,
                });
            }
        }
        Ok(())
    }

    /// Decides, once all rows are met.
    pub(crate) fn settle(&mut self) -> Result<(), ArrowError> {
        if !self.history {
            return Ok(());
        }
        let moments = RowConverter::new(vec![SortField::new(moment_type())])?;
        for (bytes, key) in &mut self.known {
            let Key {
                records,
                last,
                ended,
            } = key;
            let mut chain = Chain::new(last.as_ref(), *ended);
            // Of a run's records the order in which they came does not matter, but among those of one moment.
            records.sort_by(|one, other| (one.run, &one.at).cmp(&(other.run, &other.at)));
            for index in 0..records.len() {
                chain.take(records, index);
            }
            chain.end(records);
            if let (Some(last), Some(change)) = (last.as_ref(), chain.change) {
                match change {
                    Change::Closed(at) => {
                        self.closings.insert(last.key.clone(), at);
                        self.edits.insert_bytes(last.key.clone());
                    }
                    Change::Removed => {
                        self.removed.insert_bytes(last.key.clone());
                        self.children.insert_bytes(last.key.clone());
                        self.edits.insert_bytes(last.key.clone());
                    }
                }
            }
            records.retain(|record| record.fate.is_some());
            // A step that ended too early may have written children of versions that are written now.
            let begins = records.iter().map(|record| record.moment);
            let begins = TimestampMicrosecondArray::from_iter_values(begins).with_timezone("UTC");
            let begins = moments.convert_columns(&[Arc::new(begins) as ArrayRef])?;
            for begin in &begins {
                self.children
                    .insert_bytes([bytes, begin.as_ref()].concat().into());
            }
        }
        Ok(())
    }

    /// What becomes of records: none where a record is not written.
    pub(crate) fn fates(
        &self,
        key: &[ArrayRef],
        first: u64,
    ) -> Result<Vec<Option<Fate>>, ArrowError> {
        let keys = self.all.bytes(key)?;
        let fates = keys.iter().enumerate().map(|(row, key)| {
            let number = first + row as u64;
            let records = &self.known.get(key)?.records;
            let record = records.iter().find(|record| record.number == number)?;
            if self.history {
                record.fate
            } else {
                (!record.deletes).then_some(Fate { from: 0, to: None })
            }
        });
        Ok(fates.collect())
    }

    /// An upsert's keys whose rows the table gives up.
    pub(crate) fn into_replaced(self) -> KeySet {
        let mut keys = self.all;
        let known = self.known;
        keys.retain(|key| {
            known
                .get(key)
                .is_some_and(|known| !known.records.is_empty())
        });
        keys
    }

    /// A history's versions that are written anew: those that are closed, and those that are no more.
    pub(crate) fn into_edits(self) -> Edits {
        Edits {
            all: self.edits,
            removed: self.removed,
            children: self.children,
            closings: self.closings,
        }
    }
}

/// The versions of a history that are written anew, by key and beginning.
#[derive(Debug)]
pub(crate) struct Edits {
    /// All of them.
    pub(crate) all: KeySet,
    /// Those that are no more.
    pub(crate) removed: KeySet,
    /// Those whose children go.
    pub(crate) children: KeySet,
    closings: HashMap<Box<[u8]>, i64>,
}

impl Edits {
    /// The rows that are written in the place of those.
    pub(crate) fn apply(
        &self,
        batch: &RecordBatch,
        columns: &[String],
    ) -> Result<RecordBatch, ArrowError> {
        let key: Vec<ArrayRef> = columns
            .iter()
            .filter_map(|column| batch.column_by_name(column).cloned())
            .collect();
        let keep = arrow::compute::not(&self.removed.contains(&key)?)?;
        let closings: Vec<Option<i64>> = self
            .all
            .bytes(&key)?
            .iter()
            .map(|version| self.closings.get(version).copied())
            .collect();
        let schema = batch.schema();
        let columns = schema.fields().iter().zip(batch.columns());
        let columns = columns.map(|(field, column)| match field.name().as_str() {
            VALID_TO => {
                let old = column.as_primitive::<TimestampMicrosecondType>();
                let new = old
                    .iter()
                    .zip(&closings)
                    .map(|(old, closing)| closing.or(old));
                Arc::new(
                    new.collect::<TimestampMicrosecondArray>()
                        .with_timezone("UTC"),
                ) as ArrayRef
            }
            CURRENT => {
                let old = column.as_boolean().iter().zip(&closings);
                let new =
                    old.map(|(old, closing)| if closing.is_some() { Some(false) } else { old });
                Arc::new(new.collect::<BooleanArray>()) as ArrayRef
            }
            _ => column.clone(),
        });
        let edited = RecordBatch::try_new(schema.clone(), columns.collect())?;
        filter_record_batch(&edited, &keep)
    }
}

/// What becomes of the table's last version of a row.
#[derive(Clone, Copy, Debug)]
enum Change {
    Closed(i64),
    Removed,
}

/// The versions of one row, while records are added to them.
struct Chain {
    /// The current version's beginning and content, if there is one, and the record that it comes from, if it is new.
    current: Option<(i64, u128, Option<usize>)>,
    /// Before that moment all is settled.
    settled: Option<i64>,
    /// When the last version ended that did.
    ended: Option<i64>,
    change: Option<Change>,
}

impl Chain {
    fn new(last: Option<&Last>, ended: Option<i64>) -> Self {
        Self {
            ended,
            current: last
                .filter(|last| last.to.is_none())
                .map(|last| (last.from, last.digest, None)),
            settled: last.map(|last| last.to.unwrap_or(last.from)),
            change: None,
        }
    }

    fn take(&mut self, records: &mut [Record], index: usize) {
        let record = &records[index];
        let (at, digest, deletes) = (record.moment, record.digest, record.deletes);
        let late = self.settled.is_some_and(|settled| at < settled);
        let same = self
            .current
            .is_some_and(|(_, current, _)| current == digest);
        if late || (same && !deletes) || (deletes && self.current.is_none()) {
            return;
        }
        if let Some((from, _, number)) = self.current.take() {
            // A version that ended as it began has never been.
            let never = from == at;
            match number {
                Some(number) => {
                    let ended = Fate { from, to: Some(at) };
                    records[number].fate = (!never).then_some(ended);
                }
                None if never => self.change = Some(Change::Removed),
                None => self.change = Some(Change::Closed(at)),
            }
            if !never {
                self.ended = Some(at);
            }
        }
        self.settled = if deletes { self.ended } else { Some(at) };
        if !deletes {
            self.current = Some((at, digest, Some(index)));
        }
    }

    fn end(&self, records: &mut [Record]) {
        if let Some((from, _, Some(number))) = self.current {
            records[number].fate = Some(Fate { from, to: None });
        }
    }
}

fn moment(column: &ArrayRef, row: usize) -> Option<i64> {
    let moments = column.as_primitive_opt::<TimestampMicrosecondType>()?;
    moments.is_valid(row).then(|| moments.value(row))
}

/// The columns in which a plan reads a table's rows: the key, what tells their order, and in a history all else.
pub(crate) fn read_schema(
    table: &SchemaRef,
    decoded: &SchemaRef,
    only: Option<&[String]>,
) -> SchemaRef {
    let wanted = |name: &str| only.is_none_or(|only| only.iter().any(|column| column == name));
    let fields = table
        .fields()
        .iter()
        .filter(|field| wanted(field.name()))
        .map(|field| match decoded.field_with_name(field.name()) {
            Ok(field) => Arc::new(field.clone()),
            Err(_) => field.clone(),
        });
    Arc::new(Schema::new(fields.collect::<Vec<Arc<Field>>>()))
}
