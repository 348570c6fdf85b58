//! What a run does beside what its pipeline says: a full refresh, the backfill of a range, a retry.
//!
//! It is pinned with the definition, so that whoever goes on with a run goes on with the same.

use crate::definition::Pinned;
use crate::definition::pipeline::CursorValue;
use crate::ledger::RunId;
use serde::{Deserialize, Serialize};

/// What a run pulls.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum RunMode {
    /// What changed since the last run; all of it where the pipeline does not say how.
    #[default]
    Regular,
    /// Everything, as the first run did; what is appended to a table takes the place of what it holds.
    FullRefresh,
    /// What changed in a range. The cursors stay where they are.
    Backfill {
        /// Where it begins.
        from: CursorValue,
        /// Where it ends; none for now.
        to: Option<CursorValue>,
    },
    /// The requests of that run that were given up. The cursors stay where they are.
    Retry {
        /// The run.
        run: RunId,
    },
}

impl RunMode {
    /// Whether it does what the pipeline says and nothing else.
    pub fn is_regular(&self) -> bool {
        *self == Self::Regular
    }

    /// The range between two values as a caller writes them: times, or whole numbers.
    pub fn backfill(from: &str, to: Option<&str>) -> Result<Self, String> {
        let (from, to) = (bound(from)?, to.map(bound).transpose()?);
        if let Some(to) = &to
            && !from.partial_cmp(to).is_some_and(std::cmp::Ordering::is_lt)
        {
            return Err("the range of a backfill begins before it ends".to_owned());
        }
        Ok(Self::Backfill { from, to })
    }
}

fn bound(text: &str) -> Result<CursorValue, String> {
    match CursorValue::parse(text)? {
        CursorValue::Text(_) => Err(format!(
            "`{text}` is no time (`2026-01-01`, `2026-01-01T00:00:00Z`) and no whole number"
        )),
        bound => Ok(bound),
    }
}

impl Pinned {
    /// The same, to be run that way; or why it cannot be.
    pub fn in_mode(mut self, mode: RunMode) -> Result<Self, String> {
        if let RunMode::Backfill { from, .. } = &mode {
            let resources = &self.pipeline.resources;
            let mut starts = resources
                .iter()
                .filter_map(|resource| {
                    Some((&resource.name, &resource.incremental.as_ref()?.start))
                })
                .peekable();
            if starts.peek().is_none() {
                let name = &self.pipeline.name;
                return Err(format!(
                    "no resource of `{name}` has an `incremental`, so that there are no ranges to fill; every run pulls all"
                ));
            }
            let other = starts
                .find(|(_, start)| std::mem::discriminant(*start) != std::mem::discriminant(from));
            if let Some((name, start)) = other {
                let kind = match start {
                    CursorValue::Timestamp(_) => "a time",
                    CursorValue::Number(_) => "a whole number",
                    CursorValue::Text(_) | CursorValue::Token(_) => "text, which has no ranges",
                };
                return Err(format!("what `{name}` is incremented by is {kind}"));
            }
        }
        self.mode = mode;
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_of_times_or_of_numbers_and_begins_before_it_ends() {
        let day = 86_400_000;
        assert_eq!(
            RunMode::backfill("1970-01-02", Some("1970-01-03T00:00:00Z")),
            Ok(RunMode::Backfill {
                from: CursorValue::Timestamp(day),
                to: Some(CursorValue::Timestamp(2 * day)),
            })
        );
        assert_eq!(
            RunMode::backfill("7", None),
            Ok(RunMode::Backfill {
                from: CursorValue::Number(7),
                to: None,
            })
        );
        for (from, to) in [
            ("2026-01-02", Some("2026-01-01")),
            ("2026-01-02", Some("2026-01-02")),
            ("7", Some("2026-01-02")),
            ("yesterday", None),
            ("2026-01-02T00:00:00", None),
        ] {
            assert!(RunMode::backfill(from, to).is_err(), "{from} {to:?}");
        }
    }

    #[test]
    fn a_regular_run_is_pinned_as_before_there_were_others() {
        let written = serde_json::to_string(&RunMode::FullRefresh).expect("JSON");
        assert_eq!(written, r#"{"kind":"full_refresh"}"#);
        assert!(RunMode::default().is_regular());
    }
}
