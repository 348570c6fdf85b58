//! Delta → Delta, by SQL: tables made of tables.
//!
//! A model is made anew by each run of its pipeline, of the newest version of each table that it reads, and committed once
//! with the number of the run that made it: a step that is repeated finds that number and does nothing. Memory is limited,
//! and what does not fit goes to disk.

mod columns;
mod forget;
mod make;
mod output;
mod quarantine;
mod record;

pub use crate::forget::ForgottenModels;
pub use millrace_engine::Limits;
pub use millrace_lake::ForgottenKey;

use crate::make::{Make, Occasion};
use jiff::Timestamp;
use millrace_engine::Engine;
use millrace_lake::{Lake, until_committed};
use millrace_model::definition::Pipeline;
use millrace_model::ledger::RunId;
use millrace_model::step::{
    Counts, Deadline, Finding, Next, Observer, Place, StepInput, StepOutput, Unobserved,
};
use millrace_model::{Failure, FailureName};
use millrace_store::definitions;
use millrace_store::objects::Objects;
use std::sync::Arc;
use std::time::Duration;

/// What a Lambda keeps of its time for the commit.
const OVERHEAD: Duration = Duration::from_secs(5);
/// What it keeps, beyond that, for what follows upkeep: a model that is committed is not handed over.
const REPORT: Duration = Duration::from_secs(1);

/// The step: Delta → Delta.
#[derive(Debug)]
pub struct Refine {
    objects: Arc<dyn Objects>,
    lake: Lake,
    limits: Limits,
}

impl Refine {
    /// The step over a lake: `objects` for the definitions, `lake` for the tables. A query uses at most what the limits say.
    pub fn new(objects: Arc<dyn Objects>, lake: Lake, limits: Limits) -> Self {
        Self {
            objects,
            lake,
            limits,
        }
    }

    /// Makes a model; `input.name` is its name. A Lambda whose time does not suffice hands it to a task.
    pub async fn run(
        &self,
        input: &StepInput,
        deadline: Deadline,
        observer: &dyn Observer,
    ) -> Result<StepOutput, Failure> {
        let pinned = definitions::pinned(&*self.objects, &input.definition).await?;
        let model = pinned.model(&input.name)?;
        let engine = self.engine()?;
        let make = Make {
            objects: &*self.objects,
            lake: &self.lake,
            engine: &engine,
            input,
            model,
            occasion: Occasion::Run,
            deadline: deadline.earlier(OVERHEAD + REPORT),
            observer,
        };
        let commits = until_committed(&input.name, || make.attempt());
        let hands = StepOutput::new(input, Next::Task, Counts::new());
        let outcome = match deadline.place() {
            Place::Unbounded => commits.await?,
            // What a Lambda could not make in all of its time, another one cannot either.
            Place::Lambda if input.invocation > 0 => return Ok(hands),
            Place::Lambda => {
                let left = deadline.left().saturating_sub(OVERHEAD);
                match tokio::time::timeout(left, commits).await {
                    Ok(outcome) => outcome?,
                    Err(_) => return Ok(hands),
                }
            }
        };
        raise(input, &outcome.findings, observer);
        Ok(StepOutput {
            findings: outcome.findings,
            ..StepOutput::new(input, Next::Done, outcome.counts)
        })
    }

    /// What is wrong with the models of a pipeline, as far as the tables tell that are there.
    pub async fn check(&self, pipeline: &Pipeline) -> Result<Vec<Failure>, Failure> {
        let engine = self.engine()?;
        let mut failures = Vec::new();
        for model in &pipeline.models {
            let input = outside_of_runs(&pipeline.name, &model.name);
            let make = Make {
                objects: &*self.objects,
                lake: &self.lake,
                engine: &engine,
                input: &input,
                model,
                occasion: Occasion::Run,
                deadline: Deadline::NONE,
                observer: &Unobserved,
            };
            failures.extend(make.prove().await.err());
        }
        Ok(failures)
    }

    /// Made where there is a query to answer, because it wants a folder that it can write to.
    fn engine(&self) -> Result<Engine, Failure> {
        Engine::new(self.limits.clone()).map_err(|error| {
            let message = format!(
                "queries cannot be answered here: {error}; is {} a folder that can be written to?",
                self.limits.spill.display()
            );
            Failure::new(FailureName::Internal, message)
        })
    }
}

/// What the step is given for what no run asks for: it is as if a run began now.
fn outside_of_runs(pipeline: &str, model: &str) -> StepInput {
    StepInput {
        run: RunId::new(pipeline, Timestamp::now().as_second(), 0),
        pipeline: pipeline.to_owned(),
        definition: String::new(),
        name: model.to_owned(),
        invocation: 0,
    }
}

/// Lets those hear of it who listen: whoever started the step, and the log, by the event's name.
fn raise(input: &StepInput, findings: &[Finding], observer: &dyn Observer) {
    for finding in findings.iter().filter(|finding| finding.is_news()) {
        observer.note(&finding.to_string());
        let event = match finding {
            Finding::NotMade { .. } => "model_not_made",
            _ => "expectation_broken",
        };
        tracing::warn!(
            event,
            pipeline = input.pipeline,
            run = %input.run,
            table = input.name,
            "{finding}"
        );
    }
}
