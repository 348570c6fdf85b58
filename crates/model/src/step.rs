//! What the steps are given and what they give back. Ingest, transform and publish share one form, so that the state
//! machine passes it on without looking inside.

use crate::definition::pipeline::Otherwise;
use crate::ledger::RunId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The steps of a run that do work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// REST → raw.
    Ingest,
    /// Raw → Delta.
    Transform,
    /// Delta → Delta, by SQL.
    Refine,
    /// Delta → store.
    Publish,
}

impl StepKind {
    /// Its name, which is the Lambda's and the crate's as well.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Transform => "transform",
            Self::Refine => "refine",
            Self::Publish => "publish",
        }
    }
}

/// What a step is given: names, never rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepInput {
    /// The run.
    pub run: RunId,
    /// The pipeline.
    pub pipeline: String,
    /// The version of the pinned definition.
    pub definition: String,
    /// The resource to pull, the table to write, the model to make, or the `schema.table` to publish.
    pub name: String,
    /// How many invocations of this step went before.
    #[serde(default)]
    pub invocation: u32,
}

/// What a step gives back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepOutput {
    /// What the conductor does next.
    pub next: Next,
    /// How long to wait first, in seconds; 0 unless `next` is `wait`.
    pub wait_seconds: u64,
    /// What to invoke the step with again: the input, one invocation older.
    pub input: StepInput,
    /// What this invocation did.
    pub counts: Counts,
    /// What it found out about its table.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
}

/// What the conductor does after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Next {
    /// Nothing: it is done.
    Done,
    /// Invokes it again: it came to its deadline and left a checkpoint.
    More,
    /// Waits, then invokes it again: the source asked for patience.
    Wait,
    /// Hands it to a Fargate task: it would take many more invocations.
    Task,
}

/// What an invocation did, by name: `requests`, `pages`, `records`, `bytes`, `rows`, `files`, `rows_quarantined`, ….
pub type Counts = BTreeMap<String, u64>;

impl StepOutput {
    /// The output of an invocation with that input.
    pub fn new(input: &StepInput, next: Next, counts: Counts) -> Self {
        let input = StepInput {
            invocation: input.invocation + 1,
            ..input.clone()
        };
        Self {
            next,
            wait_seconds: 0,
            input,
            counts,
            findings: Vec::new(),
        }
    }
}

/// What a step found out about a table: for the ledger, and for whoever owns the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "finding", rename_all = "snake_case")]
pub enum Finding {
    /// The table, which was there, has got a column.
    ColumnAdded {
        /// The table, which may be a child.
        table: String,
        /// The column.
        column: String,
        /// Its type.
        #[serde(rename = "type")]
        kind: String,
    },
    /// A column's type has become a wider one.
    ColumnWidened {
        /// The table, which may be a child.
        table: String,
        /// The column.
        column: String,
        /// The type that it had.
        from: String,
        /// The type that it has.
        to: String,
    },
    /// A table, which was there, has got a child table.
    ChildAdded {
        /// The child.
        table: String,
    },
    /// The contract kept something out that the table does not know.
    KeptOut {
        /// The table.
        table: String,
        /// The field.
        field: String,
        /// Why.
        reason: String,
    },
    /// A model was not made.
    NotMade {
        /// The model.
        table: String,
        /// Why.
        reason: String,
    },
    /// How often an expectation did not hold.
    Expectation {
        /// The table.
        table: String,
        /// The expectation, in words.
        expectation: String,
        /// How many rows broke it; of what is expected of a run, 1 where that does not hold.
        broken: u64,
        /// What became of those.
        otherwise: Otherwise,
    },
}

impl Finding {
    /// Whether somebody should hear of it.
    pub fn is_news(&self) -> bool {
        !matches!(self, Self::Expectation { broken: 0, .. })
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ColumnAdded {
                table,
                column,
                kind,
            } => write!(formatter, "`{table}` has a new column `{column}` ({kind})"),
            Self::ColumnWidened {
                table,
                column,
                from,
                to,
            } => write!(
                formatter,
                "the column `{column}` of `{table}` was {from} and is {to}"
            ),
            Self::ChildAdded { table } => write!(formatter, "there is a new child table `{table}`"),
            Self::KeptOut {
                table,
                field,
                reason,
            } => write!(
                formatter,
                "`{table}` was spared the field `{field}`: {reason}"
            ),
            Self::NotMade { table, reason } => {
                write!(formatter, "`{table}` was not made: {reason}")
            }
            Self::Expectation {
                table,
                expectation,
                broken,
                ..
            } => write!(formatter, "`{table}`: {expectation}: broken {broken} times"),
        }
    }
}

/// The sum of the two, name by name.
pub fn add_counts(into: &mut Counts, from: &Counts) {
    for (name, count) in from {
        *into.entry(name.clone()).or_default() += count;
    }
}

/// Where a step runs, which it is told because its patience depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A Lambda, which ends at its deadline and may hand over to a task.
    Lambda,
    /// A Fargate task, or the command line: no deadline, nobody to hand over to.
    Unbounded,
}

/// By when a step must have come back.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    at: Option<Instant>,
}

impl Deadline {
    /// None: a task or the command line.
    pub const NONE: Self = Self { at: None };

    /// So much later than now.
    pub fn after(time: Duration) -> Self {
        Self {
            at: Some(Instant::now() + time),
        }
    }

    /// The deadline of a part of the work, behind which something is left to do that takes so long.
    #[must_use]
    pub fn earlier(self, time: Duration) -> Self {
        Self {
            at: self.at.map(|at| at.checked_sub(time).unwrap_or(at)),
        }
    }

    /// How much time is left; `Duration::MAX` where there is no deadline.
    pub fn left(&self) -> Duration {
        self.at.map_or(Duration::MAX, |at| {
            at.saturating_duration_since(Instant::now())
        })
    }

    /// Where the step runs.
    pub fn place(&self) -> Place {
        if self.at.is_some() {
            Place::Lambda
        } else {
            Place::Unbounded
        }
    }
}

/// How far a step is, told while it runs; for a progress bar or a heartbeat.
pub trait Observer: Send + Sync {
    /// What the step has done so far in this invocation.
    fn progress(&self, counts: &Counts);

    /// What whoever started the step should know, in a sentence.
    fn note(&self, _text: &str) {}
}

/// An observer that looks away.
pub struct Unobserved;

impl Observer for Unobserved {
    fn progress(&self, _: &Counts) {}
}
