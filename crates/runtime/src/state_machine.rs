//! Runs as executions of the state machine.

use async_trait::async_trait;
use aws_sdk_sfn::Client;
use aws_sdk_sfn::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sfn::types::ExecutionStatus as Status;
use millrace_model::ledger::{RecordedFailure, Run, RunId};
use millrace_model::{Failure, FailureName};
use millrace_store::aws::explain;
use millrace_store::conductor::{Conductor, ExecutionStatus};
use serde_json::json;

/// The state machine, as the conductor of runs.
#[derive(Clone, Debug)]
pub struct StateMachine {
    client: Client,
    arn: String,
}

impl StateMachine {
    /// The state machine of that ARN.
    pub fn new(client: Client, arn: impl Into<String>) -> Self {
        Self {
            client,
            arn: arn.into(),
        }
    }

    /// The ARN of a run's execution, which is made of the state machine's and the run's name.
    fn execution(&self, run: &RunId) -> String {
        execution_arn(&self.arn, run)
    }
}

#[async_trait]
impl Conductor for StateMachine {
    async fn start(&self, run: &Run) -> Result<String, Failure> {
        let input = json!({"run": run.run, "pipeline": run.pipeline, "definition": run.definition});
        let request = self.client.start_execution().state_machine_arn(&self.arn);
        let request = request.name(run.run.as_str()).input(input.to_string());
        match request.send().await {
            Ok(output) => Ok(output.execution_arn),
            // It was started before, and may have ended since.
            Err(error) if error.code() == Some("ExecutionAlreadyExists") => {
                Ok(self.execution(&run.run))
            }
            Err(error) => Err(failure("started", &run.run, &error)),
        }
    }

    async fn stop(&self, run: &RunId, reason: &str) -> Result<(), Failure> {
        let request = self
            .client
            .stop_execution()
            .execution_arn(self.execution(run));
        match request.error("Cancelled").cause(reason).send().await {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some("ExecutionDoesNotExist") => Ok(()),
            // What has ended cannot be stopped, which AWS says nothing about and other services call an error.
            Err(error) => match self.status(run).await {
                Ok(ExecutionStatus::Running) | Err(_) => Err(failure("stopped", run, &error)),
                Ok(_) => Ok(()),
            },
        }
    }

    async fn status(&self, run: &RunId) -> Result<ExecutionStatus, Failure> {
        let request = self
            .client
            .describe_execution()
            .execution_arn(self.execution(run));
        match request.send().await {
            Ok(output) => Ok(match output.status {
                Status::Succeeded => ExecutionStatus::Succeeded,
                Status::Aborted => ExecutionStatus::Stopped,
                ended @ (Status::Failed | Status::TimedOut) => {
                    ExecutionStatus::Failed(RecordedFailure {
                        name: output.error.unwrap_or_else(|| ended.as_str().to_owned()),
                        message: output.cause.unwrap_or_default(),
                    })
                }
                _ => ExecutionStatus::Running,
            }),
            Err(error) if error.code() == Some("ExecutionDoesNotExist") => {
                Ok(ExecutionStatus::Absent)
            }
            Err(error) => Err(failure("looked up", run, &error)),
        }
    }
}

fn execution_arn(state_machine: &str, run: &RunId) -> String {
    format!(
        "{}:{run}",
        state_machine.replacen(":stateMachine:", ":execution:", 1)
    )
}

fn failure<E>(done: &str, run: &RunId, error: &SdkError<E>) -> Failure
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let (name, advice) = match error.code() {
        Some("AccessDeniedException" | "UnrecognizedClientException" | "ExpiredTokenException") => {
            (
                FailureName::Unauthorized,
                "; grant the role states:StartExecution, StopExecution and DescribeExecution",
            )
        }
        Some(
            "StateMachineDoesNotExist"
            | "StateMachineDeleting"
            | "InvalidArn"
            | "InvalidName"
            | "ValidationException",
        ) => (
            FailureName::Internal,
            "; compare MILLRACE_STATE_MACHINE_ARN with the state machine",
        ),
        _ => (FailureName::Transient, ""),
    };
    let error = explain(error);
    Failure::new(
        name,
        format!("the execution of run {run} could not be {done}: {error}{advice}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_execution_has_its_runs_name() {
        let arn = "arn:aws:states:eu-central-1:111122223333:stateMachine:millrace";
        assert_eq!(
            execution_arn(arn, &RunId::new("a", 0, 1)),
            "arn:aws:states:eu-central-1:111122223333:execution:millrace:a-19700101T000000Z-00000001"
        );
    }
}
