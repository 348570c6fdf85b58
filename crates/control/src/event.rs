//! The events that are not requests: a schedule's, the state machine's, and EventBridge's.

use crate::Control;
use crate::run::Plan;
use millrace_model::ledger::{RecordedFailure, RunId};
use millrace_model::{Failure, FailureName};
use millrace_store::conductor::ExecutionStatus;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

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

impl Control {
    /// Handles an event that is not a request, and answers what its sender waits for.
    pub async fn handle(&self, event: Value) -> Result<Value, Failure> {
        if event.get("schedule").is_some() {
            let run = self.scheduled(&parse(event)?).await?;
            Ok(json!({"run": run.run, "status": run.status}))
        } else if event.get("step").is_some() {
            self.step(parse(event)?).await
        } else if event.get("detail-type").and_then(Value::as_str)
            == Some("Step Functions Execution Status Change")
        {
            let ended = event.get("detail").cloned().unwrap_or_default();
            self.execution_ended(parse(ended)?).await?;
            Ok(Value::Null)
        } else {
            let message = "the event is neither a schedule's, nor the state machine's, nor the end of an execution; \
                           events/trigger has one of each";
            Err(Failure::new(FailureName::Internal, message))
        }
    }

    async fn step(&self, step: RunStep) -> Result<Value, Failure> {
        match step.step {
            StepName::Plan => render(&self.plan(&step).await?),
            StepName::Record => self.record(&step.run).await.map(|()| json!({})),
            StepName::RecordFailure => {
                let error = step.error.unwrap_or_else(|| ErrorOutput {
                    error: "Internal".to_owned(),
                    cause: "the state machine does not say what went wrong; its execution does"
                        .to_owned(),
                });
                let failure = RecordedFailure {
                    name: error.error,
                    message: error.cause,
                };
                self.record_failure(&step.run, failure)
                    .await
                    .map(|()| json!({}))
            }
        }
    }
}

fn parse<T: DeserializeOwned>(event: Value) -> Result<T, Failure> {
    serde_json::from_value(event).map_err(|error| {
        let message = format!(
            "the event cannot be read: {error}; docs/architecture.md says what it looks like"
        );
        Failure::new(FailureName::Internal, message)
    })
}

fn render(plan: &Plan) -> Result<Value, Failure> {
    serde_json::to_value(plan).map_err(|error| {
        Failure::new(
            FailureName::Internal,
            format!("the plan is no JSON: {error}"),
        )
    })
}
