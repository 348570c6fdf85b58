//! Bodies → batches of rows: decoded, without repetitions of a key, and held to what is expected of them.

mod hold;
mod planned;

use crate::changes::Changes;
use crate::family::Family;
use crate::load::{Loaded, RECORD_BYTES};
use crate::plan::{Plan, VALID_FROM};
use crate::shape::{Refusal, Shape, Written};
use crate::version;
use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, StringArray, StringBuilder};
use arrow::compute::{and, and_not};
use arrow::error::ArrowError;
use millrace_expect::{Checks, Expectations};
use millrace_lake::KeySet;
use millrace_model::definition::pipeline::{Table, WriteMode};
use millrace_model::step::{Counts, Finding};
use millrace_model::{Failure, FailureName};
use millrace_records::Malformed;
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
    /// What becomes of each record, where that has to be known before any is written.
    plan: Option<Plan>,
    planning: bool,
    /// How many records were read.
    read: u64,
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
        let expectations = Expectations::new(&table.name, &table.expect);
        Self {
            plan: None,
            planning: needs_plan(&table) || expectations.have_references(),
            expectations,
            read: 0,
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
        table.write == WriteMode::Upsert && !needs_plan(table)
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

    /// What the table's rows become.
    pub(crate) fn into_changes(self) -> Changes {
        let deletes = self.counts.contains_key("rows_deleted");
        if let Some(plan) = self.plan {
            return if self.table.write == WriteMode::History {
                Changes::Versions(Box::new(plan.into_edits()))
            } else {
                let mut keys = plan.into_replaced();
                if let Some(kept_out) = &self.kept_out {
                    keys.subtract(kept_out);
                }
                Changes::Replaced { keys, deletes }
            };
        }
        let Some(mut keys) = self.seen else {
            return Changes::None;
        };
        if let Some(kept_out) = &self.kept_out {
            keys.subtract(kept_out);
        }
        Changes::Replaced { keys, deletes }
    }

    /// The plan, while it is made.
    pub(crate) fn plan_to_settle(&mut self) -> Option<&mut Plan> {
        self.plan.as_mut().filter(|_| self.planning)
    }

    /// What the table is held to.
    pub(crate) fn expectations(&mut self) -> &mut Expectations {
        &mut self.expectations
    }

    /// What it found out: what the contract kept out, and how often each expectation did not hold.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        let spared = self.shape.spared().iter();
        let spared = spared.map(|(field, reason)| Finding::KeptOut {
            table: self.table.name.clone(),
            field: field.clone(),
            reason: reason.clone(),
        });
        spared.chain(self.expectations.findings()).collect()
    }

    /// Whether nothing is written yet, because what becomes of the records has to be known first.
    pub(crate) fn is_planning(&self) -> bool {
        self.planning
    }

    /// From now on rows are written; all is fed again from the start.
    pub(crate) fn begin_writing(&mut self) {
        self.planning = false;
        self.begin();
        self.shape.set_written(false);
    }

    fn begin(&mut self) {
        self.expectations.begin();
        (self.seen, self.kept_out) = (None, None);
        self.read = 0;
        self.counts.clear();
    }

    fn needs_plan(&self) -> bool {
        needs_plan(&self.table)
    }

    /// Whether all has to be fed again from the start, because a type turned out too narrow for what is written; ready for
    /// it, if so.
    pub(crate) fn starts_over(&mut self) -> bool {
        if !self.surveying {
            return false;
        }
        self.surveying = false;
        self.shape.set_written(false);
        self.begin();
        self.plan = None;
        self.expectations = Expectations::new(&self.table.name, &self.table.expect);
        self.planning = self.needs_plan() || self.expectations.have_references();
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
            // Of a page that comes in slices the first one counts.
            self.count("pages", usize::from(page.page.before == 0));
            let other_run = self
                .pending
                .first()
                .is_some_and(|first| first.page.page.sequence != page.page.sequence);
            if other_run {
                ready.extend(self.flush()?);
            }
            if let Some(fault) = &page.fault {
                ready.push(self.unreadable(&page, fault)?);
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
                let Err(refusal) = self.decode_record(&part.page, number) else {
                    continue;
                };
                return Err(match refusal {
                    Refusal::Malformed(malformed) => part
                        .page
                        .page
                        .bad(part.page.start(number) + malformed.at, &malformed.what),
                    refusal => self.failure(&refusal, &part.page.page.record(number)),
                });
            }
        }
        Ok(())
    }

    fn decode_record(&mut self, page: &Loaded, number: usize) -> Result<(), Refusal> {
        let decoded = if page.bytes(number) > RECORD_BYTES as u64 {
            let what = format!(
                "it is too large: it has {} MiB, and a record has at most {}",
                page.bytes(number) / (1024 * 1024),
                RECORD_BYTES / (1024 * 1024)
            );
            Err(Malformed::new(0, what).into())
        } else {
            self.shape.decode(page.text(number))
        };
        match decoded {
            Err(Refusal::Malformed(malformed)) if self.keeps_out_unreadable() => {
                let reason = format!(
                    "it cannot be read at byte {}: {}",
                    malformed.at, malformed.what
                );
                self.shape.leave_out(reason);
                Ok(())
            }
            decoded => decoded,
        }
    }

    fn batch(&mut self, sequence: u64, pending: &[Pending]) -> Result<Batch, Failure> {
        self.count("rows", self.shape.rows());
        let owners = self.shape.parents();
        let broken = self.shape.take_broken();
        let mut rows = self.shape.finish().map_err(|error| arrow(&error))?;
        let first = self.read;
        self.read += rows[0].count as u64;
        let is_history = self.table.write == WriteMode::History;
        if is_history {
            version::add_children_digest(&mut rows, &owners).map_err(|error| arrow(&error))?;
        }
        let root = version::root(&rows[0]).map_err(|error| arrow(&error))?;
        let key = if self.table.write.needs_key() {
            self.key(&root, &broken, pending)?
        } else {
            Vec::new()
        };
        let deleted = version::deleted(self.table.delete.as_ref(), &self.table.key, &rows, &owners)
            .map_err(|error| arrow(&error))?;
        if self.planning {
            self.expectations.gather(&root)?;
            if !self.needs_plan() {
                return Ok(Batch {
                    sequence,
                    tables: Vec::new(),
                    quarantined: Vec::new(),
                });
            }
        }
        let all = BooleanArray::from(vec![true; rows[0].count]);
        let whole: BooleanArray =
            mask(rows[0].count, broken.iter().map(|broken| broken.row), false);
        let deleted = and(&deleted, &whole).map_err(|error| arrow(&error))?;
        let mut keep = all.clone();
        let mut quarantined = Vec::new();
        if self.needs_plan() {
            if self.planning {
                return self.plan(sequence, &root, &key, &deleted, &broken, pending, first);
            }
            let fates = match &self.plan {
                Some(plan) => plan.fates(&key, first).map_err(|error| arrow(&error))?,
                None => vec![None; rows[0].count],
            };
            keep = fates.iter().map(|fate| Some(fate.is_some())).collect();
            self.count("rows_deleted", deleted.true_count());
            let living = and_not(&all, &deleted).map_err(|error| arrow(&error))?;
            (_, quarantined) = self.hold(&root, &living, &broken, pending, Checks::Alone)?;
            if is_history {
                version::add_validity(&mut rows[0], &fates);
            }
        } else if !key.is_empty() {
            let seen = match &mut self.seen {
                Some(seen) => seen,
                None => self
                    .seen
                    .insert(key_set(&key).map_err(|error| arrow(&error))?),
            };
            keep = seen.insert(&key).map_err(|error| arrow(&error))?;
            let gone = and(&keep, &deleted).map_err(|error| arrow(&error))?;
            self.count("rows_deleted", gone.true_count());
            keep = and_not(&keep, &deleted).map_err(|error| arrow(&error))?;
        }
        let (left, checks) = if self.needs_plan() {
            (&[][..], Checks::Together)
        } else {
            (&broken[..], Checks::All)
        };
        let (kept_out, more) = self.hold(&root, &keep, left, pending, checks)?;
        quarantined.extend(more);
        if !key.is_empty() {
            self.keep_what_is_there(&key, &kept_out)?;
        }
        keep = and_not(&keep, &kept_out).map_err(|error| arrow(&error))?;
        let links = link_key(&self.table);
        let mut family = Family::new(rows, owners, &links, || row_ids(sequence, pending))
            .map_err(|refusal| self.failure(&refusal, ""))?;
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

    fn count(&mut self, name: &str, more: usize) {
        if more > 0 {
            *self.counts.entry(name.to_owned()).or_default() += more as u64;
        }
    }
}

impl Pending {
    /// The records' texts, as they are decoded.
    fn texts(&self, backwards: bool) -> impl Iterator<Item = &str> {
        (0..self.records.len()).map(move |step| self.page.text(self.at(step, backwards)))
    }

    /// The number of the record that is decoded as the part's so-manieth.
    fn at(&self, step: usize, backwards: bool) -> usize {
        if backwards {
            self.records.end - 1 - step
        } else {
            self.records.start + step
        }
    }
}

/// So many rows, of which those have one value and the others the other.
fn mask(count: usize, rows: impl Iterator<Item = usize>, value: bool) -> BooleanArray {
    let mut mask = vec![!value; count];
    rows.for_each(|row| mask[row] = value);
    mask.into()
}

fn needs_plan(table: &Table) -> bool {
    match table.write {
        WriteMode::History => true,
        WriteMode::Upsert => table.order.is_some(),
        WriteMode::Append | WriteMode::Replace => false,
    }
}

/// The columns by which a child's rows are told to be of a root's row.
pub(crate) fn link_key(table: &Table) -> Vec<String> {
    let mut key = table.key.clone();
    if table.write == WriteMode::History {
        key.push(VALID_FROM.to_owned());
    }
    key
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

fn arrow(error: &ArrowError) -> Failure {
    Failure::new(
        FailureName::Internal,
        format!("rows could not be put together: {error}"),
    )
}
