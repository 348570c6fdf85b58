//! A step as an ECS task: without a deadline, reporting by its task token.

use crate::environment::TaskStep;
use crate::signals::told_to_stop;
use crate::step::recorded;
use async_trait::async_trait;
use aws_sdk_sfn::Client;
use aws_sdk_sfn::error::{ProvideErrorMetadata, SdkError};
use millrace_model::step::{Observer, StepInput, StepKind, StepOutput, Unobserved};
use millrace_model::{Failure, FailureName};
use millrace_store::aws::explain;
use millrace_store::ledger::Ledger;
use std::time::Duration;

/// How often a task says that it is alive; the state machine gives up after 90 s of silence.
const HEARTBEAT: Duration = Duration::from_secs(20);
/// The longest cause that Step Functions takes, in characters.
const LONGEST_CAUSE: usize = 32_768;

/// Who waits for a task's result.
#[async_trait]
pub trait Waiting: Send + Sync {
    /// Says that the task is alive.
    async fn heartbeat(&self) -> Result<(), ReportError>;
    /// Says what the task's step gave back.
    async fn succeed(&self, output: &StepOutput) -> Result<(), ReportError>;
    /// Says how the task's step failed.
    async fn fail(&self, failure: &Failure) -> Result<(), ReportError>;
}

/// Why a report did not arrive.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// Nobody waits any more: the run has ended, or another attempt was started in this one's place.
    #[error(
        "nobody waits for this task any more: its run has ended, or another task was started in its place"
    )]
    Abandoned,
    /// It may go better the next time.
    #[error("Step Functions did not take the task's report: {0}")]
    Unreachable(String),
}

/// Carries a step out, and reports it to whoever waits. Ends early where nobody waits any more, and, with a failure that is
/// retried, where the task is told to stop.
pub async fn run(
    waiting: &dyn Waiting,
    ledger: &Ledger,
    step: &TaskStep,
    work: impl AsyncFn(StepKind, &StepInput, &dyn Observer) -> Result<StepOutput, Failure>,
) -> Result<(), ReportError> {
    let done = recorded(
        ledger,
        step.step,
        &step.input,
        "task",
        unless_stopped(
            Box::pin(work(step.step, &step.input, &Unobserved)),
            told_to_stop(),
        ),
    );
    tokio::select! {
        abandoned = heartbeats(waiting) => Err(abandoned),
        outcome = done => match outcome {
            Ok(output) => waiting.succeed(&output).await,
            Err(failure) => waiting.fail(&failure).await,
        },
    }
}

/// Sends heartbeats until nobody wants them.
async fn heartbeats(waiting: &dyn Waiting) -> ReportError {
    loop {
        match waiting.heartbeat().await {
            Ok(()) => {}
            Err(error @ ReportError::Abandoned) => return error,
            Err(error) => tracing::warn!(%error, "a heartbeat was lost"),
        }
        tokio::time::sleep(HEARTBEAT).await;
    }
}

/// The work, unless the stop comes first.
async fn unless_stopped(
    work: impl Future<Output = Result<StepOutput, Failure>>,
    stop: impl Future<Output = ()>,
) -> Result<StepOutput, Failure> {
    tokio::select! {
        outcome = work => outcome,
        () = stop => {
            let message = "the task was told to stop before it was done; another one goes on from its checkpoint";
            Err(Failure::new(FailureName::Transient, message))
        }
    }
}

/// A state of the state machine, which waits with a task token.
pub struct TaskToken {
    client: Client,
    token: String,
}

impl TaskToken {
    /// Whoever waits with that token.
    pub fn new(client: Client, token: impl Into<String>) -> Self {
        Self {
            client,
            token: token.into(),
        }
    }
}

#[async_trait]
impl Waiting for TaskToken {
    async fn heartbeat(&self) -> Result<(), ReportError> {
        let request = self.client.send_task_heartbeat().task_token(&self.token);
        request
            .send()
            .await
            .map(drop)
            .map_err(|error| report_error(&error))
    }

    async fn succeed(&self, output: &StepOutput) -> Result<(), ReportError> {
        let json = serde_json::to_string(output)
            .map_err(|error| ReportError::Unreachable(error.to_string()))?;
        let request = self.client.send_task_success().task_token(&self.token);
        request
            .output(json)
            .send()
            .await
            .map(drop)
            .map_err(|error| report_error(&error))
    }

    async fn fail(&self, failure: &Failure) -> Result<(), ReportError> {
        let cause: String = failure.message.chars().take(LONGEST_CAUSE).collect();
        let request = self.client.send_task_failure().task_token(&self.token);
        let request = request.error(failure.name.as_str()).cause(cause);
        request
            .send()
            .await
            .map(drop)
            .map_err(|error| report_error(&error))
    }
}

fn report_error<E>(error: &SdkError<E>) -> ReportError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match error.code() {
        Some("TaskTimedOut" | "TaskDoesNotExist" | "InvalidToken") => ReportError::Abandoned,
        _ => ReportError::Unreachable(explain(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::tests::run_under_way;
    use millrace_model::step::{Counts, Next};
    use std::sync::Mutex;

    /// Notes what it is told, and has no patience where it is told so.
    #[derive(Default)]
    struct Notes {
        told: Mutex<Vec<String>>,
        gone: bool,
    }

    impl Notes {
        fn note(&self, text: String) -> Result<(), ReportError> {
            self.told.lock().unwrap().push(text);
            if self.gone {
                Err(ReportError::Abandoned)
            } else {
                Ok(())
            }
        }
    }

    #[async_trait]
    impl Waiting for Notes {
        async fn heartbeat(&self) -> Result<(), ReportError> {
            self.note("alive".to_owned())
        }

        async fn succeed(&self, output: &StepOutput) -> Result<(), ReportError> {
            self.note(format!("{:?} {:?}", output.next, output.counts))
        }

        async fn fail(&self, failure: &Failure) -> Result<(), ReportError> {
            self.note(failure.to_string())
        }
    }

    #[tokio::test]
    async fn reports_how_the_step_ended() {
        let (_place, ledger, input) = run_under_way().await;
        let step = TaskStep {
            step: StepKind::Ingest,
            input,
        };
        let waiting = Notes::default();
        let work = async |_: StepKind, input: &StepInput, _: &dyn Observer| {
            tokio::time::sleep(Duration::from_millis(10)).await;
            Ok(StepOutput::new(
                input,
                Next::Done,
                Counts::from([("records".to_owned(), 3)]),
            ))
        };
        run(&waiting, &ledger, &step, work).await.unwrap();
        let work = async |_: StepKind, _: &StepInput, _: &dyn Observer| {
            tokio::time::sleep(Duration::from_millis(10)).await;
            Err(Failure::new(FailureName::BadAnswer, "404"))
        };
        run(&waiting, &ledger, &step, work).await.unwrap();
        let told = waiting.told.into_inner().unwrap();
        assert_eq!(
            told,
            ["alive", r#"Done {"records": 3}"#, "alive", "BadAnswer: 404"]
        );
    }

    #[tokio::test]
    async fn ends_where_nobody_waits() {
        let (_place, ledger, input) = run_under_way().await;
        let step = TaskStep {
            step: StepKind::Ingest,
            input,
        };
        let waiting = Notes {
            gone: true,
            ..Notes::default()
        };
        let work =
            async |_: StepKind, _: &StepInput, _: &dyn Observer| std::future::pending().await;
        let ended = run(&waiting, &ledger, &step, work).await;
        assert!(matches!(ended, Err(ReportError::Abandoned)));
    }

    #[tokio::test]
    async fn is_retried_when_told_to_stop() {
        let failure = unless_stopped(std::future::pending(), std::future::ready(()))
            .await
            .unwrap_err();
        assert_eq!(failure.name, FailureName::Transient);
    }
}
