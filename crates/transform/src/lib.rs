//! Raw → Delta: the records of complete runs become typed columns, nested objects become columns of their own, lists become
//! child tables, and all of it is committed once.
//!
//! A table takes the complete runs of its resource that lie behind the sequence number which it carries, in one Delta commit
//! that notes the new number; so a step that is repeated finds nothing to take. Children are committed before their parent,
//! each with the same number: the parent's says that all is there, and what a redo finds done it does not do again.
//!
//! Types that the definition declares are taken as declared, those of columns that the table has already are kept, and all
//! others are inferred: `bool`, `int`, `double` or `string`. Values are decoded straight into columns under the types known
//! so far. Where one turns out too narrow, its batch is decoded again; where files hold values of it already, the rest is
//! read for its types alone and all is written anew, so that one column has one type whatever the order of the records.

mod changes;
mod column;
mod decoder;
mod digest;
mod family;
mod forget;
mod job;
mod load;
mod outcome;
mod plan;
mod quarantine;
mod replay;
mod shape;
mod sink;
mod source;
mod upkeep;
mod version;

pub use crate::forget::ForgottenKey;

use crate::job::{Job, Taken};
use millrace_lake::{Lake, until_committed};
use millrace_model::step::{Counts, Deadline, Next, Observer, StepInput, StepOutput};
use millrace_model::{Failure, FailureName};
use millrace_store::objects::Objects;
use millrace_store::{LakeUrl, definitions};
use std::sync::{Arc, OnceLock};

/// How many seconds pass before it is looked again whether a table that is referenced has taken its run.
const PATIENCE: u64 = 5;

/// The step: raw → Delta.
#[derive(Debug)]
pub struct Transform {
    objects: Arc<dyn Objects>,
    location: LakeUrl,
    lake: OnceLock<Lake>,
}

impl Transform {
    /// The step over a lake: `objects` for what is raw, `lake` for the tables.
    pub fn new(objects: Arc<dyn Objects>, lake: LakeUrl) -> Self {
        Self {
            objects,
            location: lake,
            lake: OnceLock::new(),
        }
    }

    /// The step over a lake of tables that lie somewhere else than its objects do.
    pub fn over(objects: Arc<dyn Objects>, location: LakeUrl, tables: Lake) -> Self {
        Self {
            objects,
            location,
            lake: OnceLock::from(tables),
        }
    }

    /// Takes what the table has not taken yet; `input.name` is the table's.
    ///
    /// A Lambda hands what would take longer than it has to a task.
    pub async fn run(
        &self,
        input: &StepInput,
        deadline: Deadline,
        observer: &dyn Observer,
    ) -> Result<StepOutput, Failure> {
        let pinned = definitions::pinned(&*self.objects, &input.definition).await?;
        let table = pinned.table(&input.name)?;
        let resource = pinned.resource(&table.from)?;
        let job = Job {
            objects: self.objects.clone(),
            lake: self.lake()?,
            input,
            pipeline: &pinned.pipeline,
            table: Arc::new(table.clone()),
            resource,
            deadline,
            observer,
        };
        Ok(
            match until_committed(&input.name, || job.attempt()).await? {
                Taken::Waits(table) => {
                    tracing::info!(
                        table = input.name,
                        behind = table,
                        "waiting for another table"
                    );
                    // The same invocation, so that waiting does not look like work that takes long.
                    StepOutput {
                        wait_seconds: PATIENCE,
                        input: input.clone(),
                        ..StepOutput::new(input, Next::Wait, Counts::new())
                    }
                }
                Taken::Hands => StepOutput::new(input, Next::Task, Counts::new()),
                Taken::All(report) => {
                    job.raise(&report.findings);
                    StepOutput {
                        findings: report.findings,
                        ..StepOutput::new(input, Next::Done, report.counts)
                    }
                }
            },
        )
    }

    fn lake(&self) -> Result<Lake, Failure> {
        if let Some(lake) = self.lake.get() {
            return Ok(lake.clone());
        }
        let url = self
            .location
            .url("")
            .map_err(|error| Failure::new(FailureName::BadDefinition, error.to_string()))?;
        let lake = Lake::at(url.as_str())?;
        Ok(self.lake.get_or_init(|| lake).clone())
    }
}
