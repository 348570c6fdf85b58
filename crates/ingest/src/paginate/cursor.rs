//! Pages by a token.

use super::end::{self, Verdict};
use crate::scan::Found;
use millrace_model::definition::pipeline::End;
use millrace_model::raw::Position;

/// An empty page with a token is not the end: some sources filter behind their index.
pub(super) fn next(token: Option<&String>, end: &End, found: &Found) -> Position {
    match token {
        Some(cursor) if end::verdict(end, found, None, None) != Verdict::Over => Position::Cursor {
            cursor: cursor.clone(),
        },
        _ => Position::End,
    }
}
