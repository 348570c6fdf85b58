//! A report that the source makes while one waits: asked for, polled, and then downloaded.

use crate::answer;
use crate::request::{Request, Requests};
use crate::scan::Found;
use millrace_model::definition::pipeline::Report as Definition;
use millrace_model::raw::{Position, Report};
use millrace_model::{Failure, FailureName};
use serde_json::Value;
use std::time::Duration;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Records.
    Records,
    /// A report, to be made.
    Create,
    /// How far a report is.
    Poll,
}

impl Purpose {
    /// What the request at that position is for.
    pub(crate) fn at(position: &Position, definition: Option<&Definition>) -> Self {
        match (definition, report(position)) {
            (None, _) => Self::Records,
            (Some(_), None) => Self::Create,
            (Some(_), Some(report)) if report.is_ready => Self::Records,
            (Some(_), Some(_)) => Self::Poll,
        }
    }
}

/// The report of the slice in which a position is.
pub(crate) fn report(position: &Position) -> Option<&Report> {
    match position {
        Position::Slice { report, .. } => report.as_ref(),
        _ => None,
    }
}

/// The request for or about a report.
pub(crate) fn request(
    definition: &Definition,
    purpose: Purpose,
    requests: &Requests,
    scope: &Value,
) -> Result<Request, Failure> {
    let side = match purpose {
        Purpose::Create => &definition.create,
        Purpose::Poll | Purpose::Records => &definition.poll,
    };
    requests.side(side, scope)
}

/// The report as the source's last answer has it, or why there will be none.
pub(crate) fn judge(
    definition: &Definition,
    before: Option<&Report>,
    found: &Found,
    requests: &Requests,
    scope: &Value,
) -> Result<Report, Failure> {
    // What asking for the report brought, such as its `Location`, is needed for every poll.
    let known = before.map(|report| report.answer.clone());
    let answer = answer::values_over(known, found);
    let mut scope = scope.clone();
    scope["job"] = answer.clone();
    let holds = |expression: &str| requests.holds(expression, &scope);
    if let Some(failed) = &definition.failed
        && holds(failed)?
    {
        let answer: String = answer.to_string().chars().take(300).collect();
        let message = format!("the source says that there will be no report: {answer}");
        return Err(Failure::new(FailureName::BadAnswer, message));
    }
    let now = jiff::Timestamp::now();
    let asked_at = before.map_or_else(|| now.to_string(), |report| report.asked_at.clone());
    let is_ready = before.is_some() && holds(&definition.done)?;
    let waited = asked_at
        .parse::<jiff::Timestamp>()
        .map_or(Duration::ZERO, |asked| {
            Duration::try_from(now.duration_since(asked)).unwrap_or_default()
        });
    if !is_ready && waited > definition.within {
        let answer: String = answer.to_string().chars().take(300).collect();
        let message = format!(
            "the report that was asked for at {asked_at} is not ready yet, which is longer than the definition's \
             `within`; the source's last answer: {answer}"
        );
        return Err(Failure::new(FailureName::BadAnswer, message));
    }
    Ok(Report {
        asked_at,
        is_ready,
        answer,
    })
}
