//! What a resource remembers from run to run.

use crate::definition::pipeline::CursorValue;
use crate::ledger::RunId;
use crate::mode::RunMode;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Values of the incremental field, each partition's own: one tells nothing of how far another one has come. A partition
/// is known by the JSON of its values.
pub type PartitionCursors = BTreeMap<String, CursorValue>;

/// A resource's memory: replaced only by conditional put.
///
/// A run whose raw payloads are complete gets the next sequence number. A table carries the number of the last run that
/// it holds as a Delta `txn`, so that transform knows what it still has to take, whichever run calls it, and takes
/// nothing twice.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ResourceState {
    /// Where the next run starts; none before the first one's end.
    pub cursor: Option<CursorValue>,
    /// Where it starts in each partition; empty where the resource has none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cursors: PartitionCursors,
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
    /// How much of the resource it pulled.
    #[serde(default, skip_serializing_if = "Extent::is_usual")]
    pub extent: Extent,
}

/// How much of a resource a run pulled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Extent {
    /// What its definition says: all, or what changed.
    #[default]
    Usual,
    /// Everything anew: what came before it does not count.
    Everything,
    /// A range, or requests that failed before: what a table that is replaced by each run cannot be made of.
    Part,
}

impl Extent {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "the form that serde wants"
    )]
    fn is_usual(&self) -> bool {
        *self == Self::Usual
    }

    /// How much a run in that mode pulls.
    pub fn of(mode: &RunMode) -> Self {
        match mode {
            RunMode::Regular => Self::Usual,
            RunMode::FullRefresh => Self::Everything,
            RunMode::Backfill { .. } | RunMode::Retry { .. } => Self::Part,
        }
    }
}

impl ResourceState {
    /// Notes that a run is complete and moves the cursor, which goes back only where it is a token or everything was pulled
    /// anew, and stays where a part was. Says `false`, and changes nothing, where that was noted before.
    pub fn complete(
        &mut self,
        run: &RunId,
        segments: u32,
        records: u64,
        cursor: Option<CursorValue>,
        extent: Extent,
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
            extent,
        });
        let surplus = self.runs.len().saturating_sub(KEPT_RUNS);
        self.runs.drain(..surplus);
        match (extent, cursor) {
            (Extent::Everything, cursor) => self.cursor = cursor,
            (Extent::Usual, Some(cursor)) if self.is_behind(&cursor) => {
                self.cursor = Some(cursor);
            }
            (Extent::Usual | Extent::Part, _) => {}
        }
        true
    }

    /// Moves the partitions' cursors as [`Self::complete`] moves the one of all, for a run that it says is new.
    pub fn complete_partitions(&mut self, cursors: PartitionCursors, extent: Extent) {
        match extent {
            Extent::Everything => self.cursors = cursors,
            Extent::Usual => advance(&mut self.cursors, cursors),
            Extent::Part => {}
        }
    }

    /// Whether the cursor moves on to that one. Tokens have no order: the last one counts.
    fn is_behind(&self, cursor: &CursorValue) -> bool {
        let is_token = matches!(cursor, CursorValue::Token(_));
        is_token || self.cursor.as_ref().is_none_or(|known| known < cursor)
    }

    /// The complete runs behind that sequence number, oldest first.
    pub fn since(&self, sequence: u64) -> impl Iterator<Item = &CompleteRun> {
        self.runs
            .iter()
            .filter(move |complete| complete.sequence > sequence)
    }
}

/// Moves cursors on, where they are behind.
pub fn advance(cursors: &mut PartitionCursors, to: PartitionCursors) {
    for (partition, cursor) in to {
        let known = cursors.entry(partition).or_insert_with(|| cursor.clone());
        if *known < cursor {
            *known = cursor;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(second: i64) -> RunId {
        RunId::new("orders", second, 0)
    }

    #[test]
    fn a_run_that_is_noted_twice_counts_once() {
        let mut state = ResourceState::default();
        assert!(state.complete(&run(1), 1, 10, Some(CursorValue::Number(5)), Extent::Usual));
        assert!(!state.complete(&run(1), 1, 10, Some(CursorValue::Number(9)), Extent::Usual));
        assert_eq!((state.sequence, state.runs.len()), (1, 1));
        assert_eq!(state.cursor, Some(CursorValue::Number(5)));
    }

    #[test]
    fn the_cursor_never_goes_back() {
        let mut state = ResourceState::default();
        for (second, cursor) in [(1, Some(7)), (2, Some(3)), (3, None), (4, Some(8))] {
            state.complete(
                &run(second),
                1,
                1,
                cursor.map(CursorValue::Timestamp),
                Extent::Usual,
            );
            assert!(state.cursor >= Some(CursorValue::Timestamp(7)));
        }
        assert_eq!(state.cursor, Some(CursorValue::Timestamp(8)));
    }

    #[test]
    fn a_token_takes_the_place_of_the_one_before() {
        let mut state = ResourceState::default();
        for (second, token) in [(1, "z"), (2, "a")] {
            state.complete(
                &run(second),
                1,
                1,
                Some(CursorValue::Token(token.into())),
                Extent::Usual,
            );
            assert_eq!(state.cursor, Some(CursorValue::Token(token.into())));
        }
    }

    #[test]
    fn a_part_leaves_the_cursor_and_everything_sets_it() {
        let mut state = ResourceState::default();
        let cursor = |number| Some(CursorValue::Number(number));
        state.complete(&run(1), 1, 1, cursor(5), Extent::Usual);
        state.complete(&run(2), 1, 1, cursor(9), Extent::Part);
        assert_eq!(state.cursor, cursor(5));
        state.complete(&run(3), 1, 1, cursor(3), Extent::Everything);
        assert_eq!(state.cursor, cursor(3));
        state.complete(&run(4), 0, 0, None, Extent::Everything);
        assert_eq!(state.cursor, None);
    }

    #[test]
    fn each_partition_has_a_cursor_of_its_own() {
        let mut state = ResourceState::default();
        let cursors = |pairs: &[(&str, i64)]| -> PartitionCursors {
            let cursor =
                |(name, value): &(&str, i64)| (String::from(*name), CursorValue::Number(*value));
            pairs.iter().map(cursor).collect()
        };
        state.complete_partitions(cursors(&[("eu", 900), ("us", 5)]), Extent::Usual);
        state.complete_partitions(cursors(&[("eu", 3), ("us", 8)]), Extent::Usual);
        state.complete_partitions(cursors(&[("us", 99)]), Extent::Part);
        assert_eq!(state.cursors, cursors(&[("eu", 900), ("us", 8)]));
        state.complete_partitions(cursors(&[("us", 1)]), Extent::Everything);
        assert_eq!(state.cursors, cursors(&[("us", 1)]));
    }

    #[test]
    fn what_a_table_still_has_to_take_is_what_came_behind_it() {
        let mut state = ResourceState::default();
        for second in 1..=4 {
            state.complete(&run(second), 1, 1, None, Extent::Usual);
        }
        let sequences: Vec<u64> = state.since(2).map(|complete| complete.sequence).collect();
        assert_eq!(sequences, [3, 4]);
    }

    #[test]
    fn of_very_old_runs_only_the_numbers_go_on() {
        let mut state = ResourceState::default();
        for second in 0..=KEPT_RUNS as i64 {
            state.complete(&run(second), 1, 1, None, Extent::Usual);
        }
        assert_eq!(state.runs.len(), KEPT_RUNS);
        assert_eq!(state.runs[0].sequence, 2);
        assert_eq!(state.sequence, KEPT_RUNS as u64 + 1);
    }
}
