//! The run ledger: one document a run, which says who started it, what each step did, and how it ended.

use crate::failure::Failure;
use crate::step::{Counts, Finding, StepKind};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// A run's name: `<pipeline>-<yyyymmddThhmmssZ>-<8 hexadecimal digits>`. It sorts by time within a pipeline, tells its
/// pipeline, and is the name of the Step Functions execution.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId(String);

/// What stands behind the pipeline's name in a run's: two dashes, the time and the digits.
const SUFFIX: usize = 1 + "20260101T000000Z".len() + 1 + 8;

impl RunId {
    /// The run of a pipeline at a time, in seconds since 1970, told apart from others of that second by `discriminator`.
    pub fn new(pipeline: &str, epoch_seconds: i64, discriminator: u32) -> Self {
        let time =
            jiff::Timestamp::from_second(epoch_seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        Self(format!(
            "{pipeline}-{}-{discriminator:08x}",
            time.strftime("%Y%m%dT%H%M%SZ")
        ))
    }

    /// The run of a pipeline that begins now: its digits are the milliseconds and 20 bits of `random`, so that runs
    /// of one second sort by time as well.
    pub fn beginning(pipeline: &str, now: jiff::Timestamp, random: u32) -> Self {
        let milliseconds = now.subsec_millisecond().unsigned_abs();
        let discriminator = (milliseconds << 20) | (random & 0x000f_ffff);
        Self::new(pipeline, now.as_second(), discriminator)
    }

    /// The pipeline.
    pub fn pipeline(&self) -> &str {
        &self.0[..self.0.len() - SUFFIX]
    }

    /// A number that no other run of the pipeline has: its time, then what tells it apart within that second.
    pub fn number(&self) -> u64 {
        let discriminator = self.0.rsplit('-').next().unwrap_or_default();
        let discriminator = u64::from_str_radix(discriminator, 16).unwrap_or_default();
        (self.began().as_second().cast_unsigned() << 32) | discriminator
    }

    /// When it was started.
    pub fn began(&self) -> jiff::Timestamp {
        let at = self.0.len() - SUFFIX + 1;
        jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", &self.0[at..at + 16])
            .and_then(|began| began.to_zoned(jiff::tz::TimeZone::UTC))
            .map_or(jiff::Timestamp::UNIX_EPOCH, |began| began.timestamp())
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text that is not a run's name.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not the name of a run: <pipeline>-<yyyymmddThhmmssZ>-<8 hexadecimal digits>")]
pub struct NotARunId(String);

impl TryFrom<String> for RunId {
    type Error = NotARunId;

    fn try_from(text: String) -> Result<Self, NotARunId> {
        let split = text
            .len()
            .checked_sub(SUFFIX)
            .filter(|_| text.is_ascii())
            .map(|at| text.split_at(at));
        let Some((pipeline, suffix)) = split else {
            return Err(NotARunId(text));
        };
        let (time, discriminator) = (&suffix[1..17], &suffix[18..]);
        let shaped = suffix.starts_with('-')
            && &suffix[17..18] == "-"
            && time.bytes().enumerate().all(|(at, byte)| match at {
                8 => byte == b'T',
                15 => byte == b'Z',
                _ => byte.is_ascii_digit(),
            })
            && discriminator
                .bytes()
                .all(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase())
            && !pipeline.is_empty()
            && pipeline.bytes().all(|byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte)
            });
        if shaped {
            Ok(Self(text))
        } else {
            Err(NotARunId(text))
        }
    }
}

impl From<RunId> for String {
    fn from(run: RunId) -> Self {
        run.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A run's entry in the ledger.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The run.
    pub run: RunId,
    /// The pipeline.
    pub pipeline: String,
    /// How far it is.
    pub status: RunStatus,
    /// Who started it.
    pub trigger: Trigger,
    /// The version of the pinned definition.
    pub definition: String,
    /// When it was asked for, RFC 3339.
    pub created_at: String,
    /// When its first step began.
    pub started_at: Option<String>,
    /// When it ended.
    pub ended_at: Option<String>,
    /// The ARN of its Step Functions execution; none for a run in one process, or one that has not begun.
    pub execution: Option<String>,
    /// What each step did, by `<step>/<name>`.
    pub steps: BTreeMap<String, StepRecord>,
    /// Why it failed.
    pub failure: Option<RecordedFailure>,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// It waits for another one's end.
    Queued,
    /// It is under way.
    Running,
    /// It ended well.
    Succeeded,
    /// It ended badly.
    Failed,
    /// Somebody ended it.
    Cancelled,
    /// It was refused, because another one was under way.
    Skipped,
}

impl RunStatus {
    /// Whether nothing more will happen.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }
}

/// Who started a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Trigger {
    /// Its schedule.
    Schedule {
        /// The time that the schedule meant, RFC 3339.
        scheduled_at: String,
    },
    /// A caller of the control API.
    Api {
        /// The caller's name in the operators' secret.
        caller: String,
    },
    /// A person at the command line.
    Cli,
}

/// What one step of a run did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// The step.
    pub kind: StepKind,
    /// When its first invocation began, RFC 3339.
    pub started_at: String,
    /// When its last invocation ended; none while one is under way.
    pub ended_at: Option<String>,
    /// How many invocations there were.
    pub invocations: u32,
    /// Whether it is done.
    pub done: bool,
    /// Where its invocations ran: `lambda`, `task`, `cli`, in order, each once.
    pub ran_on: Vec<String>,
    /// What they did, added up.
    pub counts: Counts,
    /// What they found out about the table.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// The last invocation's failure, if it failed.
    pub failure: Option<Failure>,
}

/// Under which name a run keeps the record of a step: `transform/orders`.
pub fn step_name(kind: StepKind, name: &str) -> String {
    format!("{}/{name}", kind.as_str())
}

/// Why a run failed, as the state machine has it: the error's name may be the platform's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedFailure {
    /// The error's name.
    pub name: String,
    /// Its message.
    pub message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_s_name_tells_its_pipeline_and_its_time() {
        let run = RunId::new("earth-quakes", 1_767_225_600, 0x0ab1);
        assert_eq!(run.as_str(), "earth-quakes-20260101T000000Z-00000ab1");
        assert_eq!(run.pipeline(), "earth-quakes");
        assert_eq!(RunId::try_from(run.to_string()).ok(), Some(run));
    }

    #[test]
    fn runs_of_a_pipeline_sort_by_time() {
        let earlier = RunId::new("a", 999_999_999, u32::MAX);
        assert!(earlier < RunId::new("a", 1_000_000_000, 0));
    }

    #[test]
    fn runs_of_one_second_sort_by_time() {
        let at = |nanosecond| jiff::Timestamp::new(1_767_225_600, nanosecond).unwrap();
        let earlier = RunId::beginning("a", at(998_000_000), u32::MAX);
        assert_eq!(earlier.as_str(), "a-20260101T000000Z-3e6fffff");
        assert!(earlier < RunId::beginning("a", at(999_000_000), 0));
    }

    #[test]
    fn what_is_not_a_run_s_name_is_refused() {
        for text in [
            "",
            "quakes",
            "-20260101T000000Z-00000ab1",
            "quakes-20260101T000000Z-00000AB1",
            "quakes-20260101T000000Z-0000ab1",
            "quakes-2026-101T000000Z-00000ab1",
            "quakes-20260101 000000Z-00000ab1",
            "qua/kes-20260101T000000Z-00000ab1",
            "../../x-20260101T000000Z-00000ab1",
            "quäkes-20260101T000000Z-00000ab1",
        ] {
            assert!(RunId::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    #[test]
    fn only_runs_that_ended_are_final() {
        let open = [RunStatus::Queued, RunStatus::Running];
        let ended = [
            RunStatus::Succeeded,
            RunStatus::Failed,
            RunStatus::Cancelled,
            RunStatus::Skipped,
        ];
        assert!(!open.into_iter().any(RunStatus::is_final));
        assert!(ended.into_iter().all(RunStatus::is_final));
    }
}
