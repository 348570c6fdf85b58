//! A step between its two notes in the ledger: the same wherever it runs.

use millrace_model::Failure;
use millrace_model::step::{StepInput, StepKind, StepOutput};
use millrace_store::ledger::Ledger;
use tracing::Instrument;

/// Runs one invocation of a step and notes in the ledger that it began and how it ended.
pub(crate) async fn recorded(
    ledger: &Ledger,
    kind: StepKind,
    input: &StepInput,
    ran_on: &'static str,
    step: impl Future<Output = Result<StepOutput, Failure>>,
) -> Result<StepOutput, Failure> {
    let span = tracing::info_span!(
        "step",
        step = kind.as_str(),
        run = %input.run,
        pipeline = input.pipeline,
        item = input.name,
        invocation = input.invocation,
    );
    let work = async {
        ledger.step_started(kind, input, ran_on).await?;
        let outcome = step.await;
        let noted = ledger.step_ended(kind, input, outcome.as_ref()).await;
        match (outcome, noted) {
            // Tried again, the step finds its work done and notes it.
            (Ok(_), Err(failure)) => Err(failure),
            (Err(failure), Err(unnoted)) => {
                tracing::warn!(%unnoted, "the step's failure is not in the ledger");
                Err(failure)
            }
            (outcome, Ok(())) => outcome,
        }
    };
    let outcome = work.instrument(span.clone()).await;
    let _entered = span.entered();
    match &outcome {
        Ok(output) => {
            tracing::info!(next = ?output.next, counts = ?output.counts, "the step came back");
        }
        Err(failure) => {
            tracing::error!(%failure, "the step failed");
        }
    }
    outcome
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use millrace_model::FailureName;
    use millrace_model::ledger::{Run, RunId, RunStatus, Trigger};
    use millrace_model::step::{Counts, Next};
    use millrace_store::objects::Folder;
    use std::sync::Arc;

    /// A ledger with one run that is under way, and the input of one of its steps.
    pub(crate) async fn run_under_way() -> (tempfile::TempDir, Ledger, StepInput) {
        let place = tempfile::tempdir().unwrap();
        let ledger = Ledger::new(Arc::new(Folder::new(place.path())));
        let run = RunId::new("earthquakes", 0, 1);
        let input = StepInput {
            run: run.clone(),
            pipeline: "earthquakes".to_owned(),
            definition: "0123".to_owned(),
            name: "quakes".to_owned(),
            invocation: 0,
        };
        let entry = Run {
            run,
            pipeline: "earthquakes".to_owned(),
            status: RunStatus::Running,
            trigger: Trigger::Cli,
            definition: "0123".to_owned(),
            created_at: "2026-01-01T00:00:00Z".to_owned(),
            started_at: None,
            ended_at: None,
            execution: None,
            steps: std::collections::BTreeMap::new(),
            failure: None,
        };
        ledger.create(entry).await.unwrap();
        (place, ledger, input)
    }

    #[tokio::test]
    async fn a_step_stands_in_the_ledger() {
        let (_place, ledger, input) = run_under_way().await;
        let failure = Failure::new(FailureName::Transient, "503");
        let failed = recorded(&ledger, StepKind::Ingest, &input, "lambda", async {
            Err(failure.clone())
        });
        assert_eq!(failed.await.unwrap_err(), failure);
        let steps = ledger.get(&input.run).await.unwrap().unwrap().steps;
        assert_eq!(steps["ingest/quakes"].failure.as_ref(), Some(&failure));

        let done = StepOutput::new(&input, Next::Done, Counts::new());
        let step = async { Ok(done.clone()) };
        let output = recorded(&ledger, StepKind::Ingest, &input, "task", step)
            .await
            .unwrap();
        assert_eq!(output, done);
        let steps = ledger.get(&input.run).await.unwrap().unwrap().steps;
        assert!(steps["ingest/quakes"].done);
        assert_eq!(steps["ingest/quakes"].ran_on, ["lambda", "task"]);
    }
}
