//! Pages by the number of records to skip.

use super::end::{self, Verdict};
use crate::scan::Found;
use millrace_model::definition::pipeline::End;
use millrace_model::raw::Position;

/// The offset of a position.
pub(super) fn at(position: &Position, first: u64) -> u64 {
    match position {
        Position::Offset { offset } => *offset,
        _ => first,
    }
}

pub(super) fn next(
    position: &Position,
    limit: u64,
    first: u64,
    end: &End,
    found: &Found,
) -> Position {
    let offset = at(position, first).saturating_add(found.records);
    let is_over = match end::verdict(end, found, Some(offset.saturating_sub(first)), None) {
        Verdict::Over => true,
        Verdict::More => false,
        Verdict::Silent => found.records < limit,
    };
    if is_over || found.records == 0 || offset == u64::MAX {
        Position::End
    } else {
        Position::Offset { offset }
    }
}

/// Where a full page at the position leads, by the total that a page before it told.
pub(super) fn foreseen(
    position: &Position,
    limit: u64,
    first: u64,
    end: &End,
    told: &Found,
) -> Option<Position> {
    let offset = at(position, first).checked_add(limit)?;
    let taken = Some(offset.saturating_sub(first));
    end::foreseen(end, told, taken, None, Position::Offset { offset })
}
