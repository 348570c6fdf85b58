//! Bodies → batches of rows: decoded, without repetitions of a key, and held to what is expected of them.

use crate::column::{Origin, type_name};
use crate::expect::{Breach, Expectations};
use crate::family::Family;
use crate::load::Loaded;
use crate::shape::{Refusal, Shape, Written};
use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, StringArray, StringBuilder};
use arrow::compute::filter;
use arrow::error::ArrowError;
use millrace_lake::KeySet;
use millrace_model::definition::pipeline::{Otherwise, Table, WriteMode};
use millrace_model::step::Counts;
use millrace_model::{Failure, FailureName};
use std::fmt::Write;
use std::ops::Range;
use std::sync::Arc;

/// The most records of a batch.
const BATCH_ROWS: usize = 16_384;
/// How many bytes of records a batch has before it is closed.
const BATCH_BYTES: usize = 8 * 1024 * 1024;

/// Turns bodies into rows, one after another, in memory that depends on the batch, and on the keys where they matter.
#[derive(Debug)]
pub(crate) struct Decoder {
    table: Arc<Table>,
    shape: Shape,
    expectations: Expectations,
    /// The keys that were seen so far.
    seen: Option<KeySet>,
    /// The keys of rows that were kept out: what the table has of them stays.
    kept_out: Option<KeySet>,
    pending: Vec<Pending>,
    pending_rows: usize,
    pending_bytes: usize,
    /// Set when a type turned out too narrow for what files hold already: from there on types are gathered, and no rows.
    surveying: bool,
    counts: Counts,
}

#[derive(Debug)]
struct Pending {
    page: Arc<Loaded>,
    records: Range<usize>,
}

/// Rows that are ready to be written, of one raw run.
#[derive(Debug)]
pub(crate) struct Batch {
    /// The run's sequence number.
    pub(crate) sequence: u64,
    /// The rows of each of the shape's tables.
    pub(crate) tables: Vec<RecordBatch>,
    /// What was kept out, as JSON lines.
    pub(crate) quarantined: Vec<u8>,
}

impl Decoder {
    pub(crate) fn new(table: Arc<Table>, shape: Shape) -> Self {
        Self {
            expectations: Expectations::new(&table.name, &table.expect),
            table,
            shape,
            seen: None,
            kept_out: None,
            pending: Vec::new(),
            pending_rows: 0,
            pending_bytes: 0,
            surveying: false,
            counts: Counts::new(),
        }
    }

    /// Whether bodies have to be fed from the last one to the first: of several rows with one key the last one stays, and
    /// so it has to come first where rows are written as they come.
    pub(crate) fn backwards(table: &Table) -> bool {
        table.write == WriteMode::Upsert
    }

    /// What it did so far.
    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// What it knows of the tables.
    pub(crate) fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Adds the declared columns that no record had.
    pub(crate) fn add_declared(&mut self) -> Result<(), Failure> {
        self.shape
            .add_declared()
            .map_err(|refusal| self.failure(&refusal, ""))
    }

    /// The keys whose rows the table has to give up.
    pub(crate) fn into_keys(self) -> Option<KeySet> {
        let mut keys = self.seen?;
        if let Some(kept_out) = &self.kept_out {
            keys.subtract(kept_out);
        }
        Some(keys)
    }

    /// Whether all has to be fed again from the start, because a type turned out too narrow for what is written; ready for
    /// it, if so.
    pub(crate) fn starts_over(&mut self) -> bool {
        if !self.surveying {
            return false;
        }
        self.surveying = false;
        self.shape.set_written(false);
        self.expectations = Expectations::new(&self.table.name, &self.table.expect);
        (self.seen, self.kept_out) = (None, None);
        self.counts.clear();
        true
    }

    /// Takes some bodies, and gives the batches that are full.
    pub(crate) fn feed(&mut self, mut pages: Vec<Loaded>) -> Result<Vec<Batch>, Failure> {
        let mut ready = Vec::new();
        let backwards = Self::backwards(&self.table);
        if backwards {
            pages.reverse();
        }
        for page in pages.into_iter().map(Arc::new) {
            self.count("bytes", page.body.len());
            self.count("pages", 1);
            let other_run = self
                .pending
                .first()
                .is_some_and(|first| first.page.page.sequence != page.page.sequence);
            if other_run {
                ready.extend(self.flush()?);
            }
            let count = page.spans.len();
            let mut done = 0;
            while done < count {
                let room = BATCH_ROWS - self.pending_rows;
                let next = if backwards { count - done - 1 } else { done };
                let (mut taken, mut bytes) = (0, 0);
                while taken < room
                    && done + taken < count
                    && self.pending_bytes + bytes < BATCH_BYTES
                {
                    let at = if backwards {
                        next - taken
                    } else {
                        next + taken
                    };
                    bytes += page.spans[at].len();
                    taken += 1;
                }
                let records = if backwards {
                    next + 1 - taken..next + 1
                } else {
                    next..next + taken
                };
                self.pending.push(Pending {
                    page: page.clone(),
                    records,
                });
                done += taken;
                self.pending_rows += taken;
                self.pending_bytes += bytes;
                if self.pending_rows >= BATCH_ROWS || self.pending_bytes >= BATCH_BYTES {
                    ready.extend(self.flush()?);
                }
            }
        }
        Ok(ready)
    }

    /// The batch of what is left over.
    pub(crate) fn flush(&mut self) -> Result<Option<Batch>, Failure> {
        let pending = std::mem::take(&mut self.pending);
        (self.pending_rows, self.pending_bytes) = (0, 0);
        let Some(sequence) = pending.first().map(|first| first.page.page.sequence) else {
            return Ok(None);
        };
        self.decode(&pending)?;
        while let Some(Written(written)) = self
            .shape
            .widen()
            .map_err(|refusal| self.failure(&refusal, ""))?
        {
            self.surveying |= written;
            if self.surveying {
                break;
            }
            self.decode(&pending)?;
        }
        if self.surveying {
            self.shape.clear();
            return Ok(None);
        }
        let batch = self.batch(sequence, &pending)?;
        self.shape.set_written(true);
        Ok(Some(batch))
    }

    fn decode(&mut self, pending: &[Pending]) -> Result<(), Failure> {
        let backwards = Self::backwards(&self.table);
        for part in pending {
            let count = part.records.len();
            for step in 0..count {
                let number = part.at(step, backwards);
                let span = part.page.spans[number].clone();
                let Err(refusal) = self.shape.decode(&part.page.body[span.clone()]) else {
                    continue;
                };
                return Err(match refusal {
                    Refusal::Malformed(malformed) => part
                        .page
                        .page
                        .bad(span.start + malformed.at, &malformed.what),
                    refusal => self.failure(&refusal, &part.page.page.record(number)),
                });
            }
        }
        Ok(())
    }

    fn batch(&mut self, sequence: u64, pending: &[Pending]) -> Result<Batch, Failure> {
        self.count("rows", self.shape.rows());
        let owners = self
            .shape
            .tables()
            .iter()
            .map(|table| table.parent)
            .collect();
        let rows = self.shape.finish();
        let mut family = Family::new(rows, owners, &self.table.key, || row_ids(sequence, pending))
            .map_err(|refusal| self.failure(&refusal, ""))?;
        let mut keep = BooleanArray::from(vec![true; family.tables[0].num_rows()]);
        let key = match self.table.write {
            WriteMode::Upsert => self.key(&family.tables[0], pending)?,
            WriteMode::Append | WriteMode::Replace => Vec::new(),
        };
        if !key.is_empty() {
            let seen = match &mut self.seen {
                Some(seen) => seen,
                None => self
                    .seen
                    .insert(key_set(&key).map_err(|error| arrow(&error))?),
            };
            keep = seen.insert(&key).map_err(|error| arrow(&error))?;
        }
        let breaches = self.expectations.check(&family.tables[0], &keep)?;
        let mut quarantined = Vec::new();
        if !breaches.is_empty() {
            let kept_out = self.sort_out(&breaches, pending, &mut quarantined)?;
            if !key.is_empty() && kept_out.iter().any(|out| *out) {
                let mask = BooleanArray::from(kept_out.clone());
                let columns = key
                    .iter()
                    .map(|column| filter(column, &mask))
                    .collect::<Result<Vec<_>, _>>()
                    .map_err(|error| arrow(&error))?;
                let set = match &mut self.kept_out {
                    Some(set) => set,
                    None => self
                        .kept_out
                        .insert(key_set(&columns).map_err(|error| arrow(&error))?),
                };
                set.insert(&columns).map_err(|error| arrow(&error))?;
            }
            keep = keep
                .iter()
                .zip(kept_out)
                .map(|(keep, out)| Some(keep == Some(true) && !out))
                .collect();
        }
        if keep.true_count() < keep.len() {
            family.keep(&keep).map_err(|error| arrow(&error))?;
        }
        self.count("rows_written", family.tables[0].num_rows());
        Ok(Batch {
            sequence,
            tables: family.tables,
            quarantined,
        })
    }

    /// Fails, counts, or keeps out: says which rows are kept out.
    fn sort_out(
        &mut self,
        breaches: &[Breach],
        pending: &[Pending],
        quarantined: &mut Vec<u8>,
    ) -> Result<Vec<bool>, Failure> {
        let rows = pending.iter().map(|part| part.records.len()).sum();
        let (mut kept_out, mut warned) = (vec![false; rows], vec![false; rows]);
        for breach in breaches {
            let (page, number) = self.locate(breach.row, pending);
            match breach.otherwise {
                Otherwise::Fail => {
                    return Err(Failure::new(
                        FailureName::BadData,
                        format!(
                            "`{}.{}` of {} breaks what is expected of it: {}. Nothing was written; correct the source or \
                             the expectation, or let it say `otherwise: quarantine`",
                            self.table.name,
                            breach.column,
                            page.page.record(number),
                            breach.reason
                        ),
                    ));
                }
                Otherwise::Quarantine if !kept_out[breach.row] => {
                    kept_out[breach.row] = true;
                    let reason = serde_json::json!(breach.reason);
                    let column = serde_json::json!(breach.column);
                    let record = one_line(&page.body[page.spans[number].clone()]);
                    let line = format!(
                        "{{\"reason\":{reason},\"column\":{column},\"record\":{record}}}\n"
                    );
                    quarantined.extend_from_slice(line.as_bytes());
                }
                Otherwise::Quarantine => {}
                Otherwise::Warn => warned[breach.row] = true,
            }
        }
        let count = |marks: &[bool]| marks.iter().filter(|mark| **mark).count();
        self.count("rows_quarantined", count(&kept_out));
        self.count("rows_warned", count(&warned));
        Ok(kept_out)
    }

    /// The key's columns, each of them with a value in every row.
    fn key(&self, root: &RecordBatch, pending: &[Pending]) -> Result<Vec<ArrayRef>, Failure> {
        self.table
            .key
            .iter()
            .map(|name| {
                let column = root.column_by_name(name);
                let missing = match column {
                    None => Some(0),
                    Some(column) if column.null_count() == 0 => None,
                    Some(column) => (0..column.len()).find(|row| column.is_null(*row)),
                };
                match (missing, column) {
                    (None, Some(column)) => Ok(column.clone()),
                    (row, _) => {
                        let (page, number) = self.locate(row.unwrap_or(0), pending);
                        Err(Failure::new(
                            FailureName::BadData,
                            format!(
                                "{} has no `{name}`, which is in the key of `{}`; name another key, or another write mode \
                                 than `upsert`",
                                page.page.record(number),
                                self.table.name
                            ),
                        ))
                    }
                }
            })
            .collect()
    }

    fn locate<'p>(&self, row: usize, pending: &'p [Pending]) -> (&'p Loaded, usize) {
        let mut before = 0;
        let mut last = &pending[0];
        for part in pending {
            last = part;
            if row < before + part.records.len() {
                break;
            }
            before += part.records.len();
        }
        let step = (row - before).min(last.records.len().saturating_sub(1));
        (&last.page, last.at(step, Self::backwards(&self.table)))
    }

    fn failure(&self, refusal: &Refusal, record: &str) -> Failure {
        match refusal {
            Refusal::Malformed(malformed) => Failure::new(
                FailureName::BadData,
                format!("{record} cannot be read: {}", malformed.what),
            ),
            Refusal::Unfit {
                path,
                column,
                kind,
                origin,
            } => {
                let kind = type_name(*kind);
                let advice = match origin {
                    Origin::Declared => format!("declare another type for `{path}`, or `string`"),
                    Origin::Existing | Origin::Inferred => format!(
                        "the type was inferred from earlier records: declare a wider one for `{path}` under `columns`, with \
                         a new `name`, or remove the table to have it made anew"
                    ),
                };
                Failure::new(
                    FailureName::BadData,
                    format!(
                        "a value of {record} does not fit the column `{column}` ({kind}); {advice}"
                    ),
                )
            }
            Refusal::Definition(message) => {
                Failure::new(FailureName::BadDefinition, message.clone())
            }
            Refusal::Arrow(error) => Failure::new(
                FailureName::Internal,
                format!(
                    "rows of `{}` could not be put together: {error}",
                    self.table.name
                ),
            ),
        }
    }

    fn count(&mut self, name: &str, more: usize) {
        if more > 0 {
            *self.counts.entry(name.to_owned()).or_default() += more as u64;
        }
    }
}

impl Pending {
    /// The number of the record that is decoded as the part's so-manieth.
    fn at(&self, step: usize, backwards: bool) -> usize {
        if backwards {
            self.records.end - 1 - step
        } else {
            self.records.start + step
        }
    }
}

fn row_ids(sequence: u64, pending: &[Pending]) -> StringArray {
    let mut ids = StringBuilder::new();
    for part in pending {
        let first = part.page.page.first_record;
        for number in part.records.clone() {
            // Writing into a builder cannot fail.
            let _ = write!(ids, "{sequence}-{:06}", first + number as u64);
            ids.append_value("");
        }
    }
    ids.finish()
}

fn key_set(key: &[ArrayRef]) -> Result<KeySet, ArrowError> {
    let types: Vec<_> = key
        .iter()
        .map(|column| column.data_type().clone())
        .collect();
    KeySet::new(&types)
}

/// JSON text on one line: line breaks can only stand between its tokens, where they mean nothing.
fn one_line(json: &str) -> String {
    json.replace(['\n', '\r'], " ")
}

fn arrow(error: &ArrowError) -> Failure {
    Failure::new(
        FailureName::Internal,
        format!("rows could not be put together: {error}"),
    )
}
