//! Pages that begin behind the last record of the page before.

use super::Answer;
use super::end::{self, Verdict};
use millrace_model::Failure;
use millrace_model::definition::FieldPath;
use millrace_model::definition::pipeline::End;
use millrace_model::raw::Position;

pub(super) fn next(
    position: &Position,
    field: &FieldPath,
    limit: Option<u64>,
    end: &End,
    answer: Answer<'_>,
) -> Result<Position, Failure> {
    let found = answer.found;
    let is_over = match end::verdict(end, found, None, None) {
        Verdict::Over => true,
        Verdict::More => false,
        Verdict::Silent => limit.is_some_and(|limit| found.records < limit),
    };
    if is_over || found.records == 0 {
        return Ok(Position::End);
    }
    let Some(last) = &found.last else {
        let why = format!(
            "the page's last record has no `{}`, behind which the next page begins",
            field.0
        );
        return Err(answer.refuse(&why));
    };
    match position {
        Position::Cursor { cursor } if cursor == last => {
            // A source that sends records *from* the value on sends the last one again for ever.
            if found.records == 1 {
                return Ok(Position::End);
            }
            let why = format!(
                "all of the page's {} records lie at `{}` = `{last}`, so that no page can begin behind them",
                found.records, field.0
            );
            Err(answer.refuse(&why))
        }
        _ => Ok(Position::Cursor {
            cursor: last.clone(),
        }),
    }
}
