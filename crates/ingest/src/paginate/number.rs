//! Pages by number.

use super::end::{self, Verdict};
use crate::scan::Found;
use millrace_model::definition::pipeline::End;
use millrace_model::raw::Position;

/// The page of a position.
pub(super) fn at(position: &Position, first: u64) -> u64 {
    match position {
        Position::Page { page } => *page,
        _ => first,
    }
}

pub(super) fn next(
    position: &Position,
    size: Option<u64>,
    first: u64,
    end: &End,
    found: &Found,
) -> Position {
    let page = at(position, first).saturating_add(1);
    let pages = page.saturating_sub(first);
    let taken = size.map(|size| pages.saturating_mul(size));
    let is_over = match end::verdict(end, found, taken, Some(pages)) {
        Verdict::Over => true,
        Verdict::More => false,
        Verdict::Silent => size.is_some_and(|size| found.records < size),
    };
    if is_over || found.records == 0 || page == u64::MAX {
        Position::End
    } else {
        Position::Page { page }
    }
}

/// Where a full page at the position leads, by the total that a page before it told.
pub(super) fn foreseen(
    position: &Position,
    size: Option<u64>,
    first: u64,
    end: &End,
    told: &Found,
) -> Option<Position> {
    let page = at(position, first).checked_add(1)?;
    let pages = page.saturating_sub(first);
    let taken = size.and_then(|size| pages.checked_mul(size));
    end::foreseen(end, told, taken, Some(pages), Position::Page { page })
}
