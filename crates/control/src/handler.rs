//! The door for events that are not requests: each to the one that it means.

use crate::Control;
use crate::event::{ErrorOutput, RunStep, StepName};
use crate::run::Plan;
use millrace_model::ledger::RecordedFailure;
use millrace_model::{Failure, FailureName};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

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
