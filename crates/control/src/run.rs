//! What the state machine asks of the control while a run is under way.

use crate::Control;
use crate::event::{ExecutionEnded, RunStep, Scheduled, readable};
use crate::start::{Defined, scheduled_run};
use millrace_model::ledger::{RecordedFailure, Run, RunId, RunStatus, Trigger};
use millrace_model::step::StepInput;
use millrace_model::{Failure, FailureName};
use millrace_store::definitions;
use serde::{Deserialize, Serialize};

/// The items of the state machine's four maps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// One for each resource.
    pub ingest: Vec<StepInput>,
    /// One for each table.
    pub transform: Vec<StepInput>,
    /// One for each model, in levels: none reads one of its own level or of a later one.
    pub refine: Vec<Vec<StepInput>>,
    /// One for each target.
    pub publish: Vec<StepInput>,
}

impl Control {
    /// Starts the run that a schedule means. A pipeline that cannot run gets a failed entry in the ledger.
    pub async fn scheduled(&self, event: &Scheduled) -> Result<Run, Failure> {
        let run = scheduled_run(&event.schedule, &event.pipeline, event.scheduled_at);
        let run = RunId::try_from(String::from(run)).map_err(|error| {
            let message = format!(
                "a schedule names the pipeline `{}`: {error}",
                event.pipeline
            );
            Failure::new(FailureName::BadDefinition, message)
        })?;
        if let Some(entry) = self.ledger.get(&run).await? {
            return self.admit(entry).await;
        }
        let trigger = Trigger::Schedule {
            scheduled_at: event.scheduled_at.to_string(),
        };
        match self.defined(&event.pipeline).await? {
            Defined::Sound(pinned) => self.start(run, trigger, &pinned).await,
            Defined::Broken(problems) | Defined::Absent(problems) => {
                self.refuse(run, trigger, &problems).await
            }
        }
    }

    /// What a run has to do, by the definition that it pinned. From here on it is under way.
    pub async fn plan(&self, step: &RunStep) -> Result<Plan, Failure> {
        let pinned = definitions::pinned(self.objects.as_ref(), &step.definition).await?;
        match self.ledger.running(&step.run, None).await? {
            Some(entry) if !entry.status.is_final() => {}
            Some(_) => {
                let message = format!(
                    "the run {} has ended before its execution began; start another run",
                    step.run
                );
                return Err(Failure::new(FailureName::Internal, message));
            }
            None => {
                let message = format!(
                    "the run {} is not in the ledger; start runs through the control API or the schedule, which enter them",
                    step.run
                );
                return Err(Failure::new(FailureName::Internal, message));
            }
        }
        let input = |name: &str| StepInput {
            run: step.run.clone(),
            pipeline: step.pipeline.clone(),
            definition: step.definition.clone(),
            name: name.to_owned(),
            invocation: 0,
        };
        let pipeline = &pinned.pipeline;
        Ok(Plan {
            ingest: pipeline
                .resources
                .iter()
                .map(|resource| input(&resource.name))
                .collect(),
            transform: pipeline
                .tables
                .iter()
                .map(|table| input(&table.name))
                .collect(),
            refine: pipeline
                .levels()
                .iter()
                .map(|level| level.iter().map(|model| input(&model.name)).collect())
                .collect(),
            publish: pipeline
                .copied()
                .map(|publish| input(&publish.step()))
                .collect(),
        })
    }

    /// Notes that a run ended well, and lets the next one start.
    pub async fn record(&self, run: &RunId) -> Result<(), Failure> {
        self.ledger.finish(run, RunStatus::Succeeded, None).await?;
        self.release(run).await
    }

    /// Notes how a run failed, and lets the next one start.
    pub async fn record_failure(
        &self,
        run: &RunId,
        failure: RecordedFailure,
    ) -> Result<(), Failure> {
        self.ledger
            .finish(run, RunStatus::Failed, Some(readable(failure)))
            .await?;
        self.release(run).await
    }

    /// Notes how an execution ended that ended without a word: it was stopped, or took too long. Executions that are not
    /// runs, and those that are under way, are passed over.
    pub async fn execution_ended(&self, event: ExecutionEnded) -> Result<(), Failure> {
        let Ok(run) = RunId::try_from(event.name.clone()) else {
            return Ok(());
        };
        if self.note_end(&run, event.status()).await? {
            self.release(&run).await?;
        }
        Ok(())
    }
}
