//! What a resource remembers from run to run.

use crate::definition::pipeline::CursorValue;
use crate::ledger::RunId;
use serde::{Deserialize, Serialize};

/// A resource's memory: replaced only by conditional put.
///
/// A run whose raw payloads are complete gets the next sequence number. A table carries the number of the last run that
/// it holds as a Delta `txn`, so that transform knows what it still has to take, whichever run calls it, and takes
/// nothing twice.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ResourceState {
    /// Where the next run starts; none before the first one's end.
    pub cursor: Option<CursorValue>,
    /// The sequence number of the last complete run; 0 before the first one.
    pub sequence: u64,
    /// The complete runs, oldest first; of very old ones only as many as `KEPT_RUNS`.
    pub runs: Vec<CompleteRun>,
}

/// How many complete runs a resource remembers. A table that is further behind is made anew by a full refresh.
pub const KEPT_RUNS: usize = 1_000;

/// A run whose raw payloads are complete.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CompleteRun {
    /// Its place in the order of complete runs, from 1.
    pub sequence: u64,
    /// The run.
    pub run: RunId,
    /// How many segments it has.
    pub segments: u32,
    /// How many records they hold.
    pub records: u64,
}

impl ResourceState {
    /// Notes that a run is complete and moves the cursor, which never goes back. Says `false`, and changes nothing,
    /// where that was noted before.
    pub fn complete(
        &mut self,
        run: &RunId,
        segments: u32,
        records: u64,
        cursor: Option<CursorValue>,
    ) -> bool {
        if self.runs.iter().any(|complete| complete.run == *run) {
            return false;
        }
        self.sequence += 1;
        self.runs.push(CompleteRun {
            sequence: self.sequence,
            run: run.clone(),
            segments,
            records,
        });
        let surplus = self.runs.len().saturating_sub(KEPT_RUNS);
        self.runs.drain(..surplus);
        if let Some(cursor) = cursor
            && self.cursor.as_ref().is_none_or(|known| *known < cursor)
        {
            self.cursor = Some(cursor);
        }
        true
    }

    /// The complete runs behind that sequence number, oldest first.
    pub fn since(&self, sequence: u64) -> impl Iterator<Item = &CompleteRun> {
        self.runs
            .iter()
            .filter(move |complete| complete.sequence > sequence)
    }
}
