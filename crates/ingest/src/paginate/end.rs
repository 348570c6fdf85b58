//! What a body says about whether there are more pages.

use crate::scan::Found;
use millrace_model::definition::FieldPath;
use millrace_model::definition::pipeline::End;
use millrace_model::raw::Position;
use serde_json::Value;

/// What a body says about whether there are more pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    More,
    Over,
    /// It says nothing.
    Silent,
}

/// The verdict behind `taken` records and `pages` pages, where those are known.
pub(super) fn verdict(end: &End, found: &Found, taken: Option<u64>, pages: Option<u64>) -> Verdict {
    if let Some(path) = &end.has_more {
        return if found.meta.get(&path.0).is_some_and(is_yes) {
            Verdict::More
        } else {
            Verdict::Over
        };
    }
    let verdict = |path: Option<&FieldPath>, come: Option<u64>| {
        let all = found.number(&path?.0)?;
        Some(if come? < all {
            Verdict::More
        } else {
            Verdict::Over
        })
    };
    verdict(end.total.as_ref(), taken)
        .or_else(|| verdict(end.pages.as_ref(), pages))
        .unwrap_or(Verdict::Silent)
}

/// The position behind so many records and pages, by a total that a body before it told and that holds for all pages: the
/// end where there are no more, none where no total was told.
pub(super) fn foreseen(
    end: &End,
    told: &Found,
    taken: Option<u64>,
    pages: Option<u64>,
    position: Position,
) -> Option<Position> {
    if end.has_more.is_some() {
        return None;
    }
    match verdict(end, told, taken, pages) {
        Verdict::More => Some(position),
        Verdict::Over => Some(Position::End),
        Verdict::Silent => None,
    }
}

/// Whether a flag says yes.
fn is_yes(value: &Value) -> bool {
    match value {
        Value::Bool(yes) => *yes,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => {
            let text = text.trim();
            !(text.is_empty()
                || text == "0"
                || text.eq_ignore_ascii_case("false")
                || text.eq_ignore_ascii_case("no")
                || text.eq_ignore_ascii_case("n"))
        }
        _ => false,
    }
}
