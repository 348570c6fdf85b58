//! The events that are not requests: a schedule's, the state machine's, and EventBridge's.

use millrace_model::ledger::{RecordedFailure, RunId};
use millrace_store::conductor::ExecutionStatus;
use serde::Deserialize;
use serde_json::Value;

/// A schedule's event.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Scheduled {
    /// The schedule's ARN.
    pub schedule: String,
    /// The pipeline that it starts.
    pub pipeline: String,
    /// The time that it meant.
    pub scheduled_at: jiff::Timestamp,
}

/// What the state machine asks.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct RunStep {
    /// What is asked.
    pub step: StepName,
    /// The run.
    pub run: RunId,
    /// The pipeline.
    pub pipeline: String,
    /// The version of the pinned definition.
    pub definition: String,
    /// What went wrong, with `record_failure`.
    pub error: Option<ErrorOutput>,
}

/// What the state machine may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepName {
    /// What there is to do.
    Plan,
    /// To note that it is done.
    Record,
    /// To note that it failed.
    RecordFailure,
}

/// An error as Step Functions has it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ErrorOutput {
    /// Its name.
    pub error: String,
    /// Its cause.
    #[serde(default)]
    pub cause: String,
}

/// How an execution ended, as EventBridge tells it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ExecutionEnded {
    /// The execution's name, which is the run's.
    pub name: String,
    /// `RUNNING`, `SUCCEEDED`, `FAILED`, `TIMED_OUT` or `ABORTED`.
    status: String,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    cause: Option<String>,
}

impl ExecutionEnded {
    /// How far the execution is.
    pub fn status(&self) -> ExecutionStatus {
        match self.status.as_str() {
            "SUCCEEDED" => ExecutionStatus::Succeeded,
            "ABORTED" => ExecutionStatus::Stopped,
            "FAILED" | "TIMED_OUT" => ExecutionStatus::Failed(RecordedFailure {
                name: self.error.clone().unwrap_or_else(|| self.status.clone()),
                message: self
                    .cause
                    .clone()
                    .unwrap_or_else(|| "its execution took too long".to_owned()),
            }),
            _ => ExecutionStatus::Running,
        }
    }
}

/// A failure as a person reads it: Step Functions gives what a Lambda said as JSON.
pub(crate) fn readable(failure: RecordedFailure) -> RecordedFailure {
    let cause: Option<Value> = serde_json::from_str(&failure.message).ok();
    let message = cause
        .as_ref()
        .and_then(|cause| cause.get("errorMessage"))
        .and_then(Value::as_str);
    match message {
        Some(message) => RecordedFailure {
            message: message.to_owned(),
            ..failure
        },
        None => failure,
    }
}
