//! Who carries runs out: Step Functions, where there is one. Only the trait stands here, since those who decide which run
//! starts and those who talk to AWS do not know one another.

use async_trait::async_trait;
use millrace_model::Failure;
use millrace_model::ledger::{RecordedFailure, Run, RunId};
use std::fmt;

/// Who carries runs out. A run has one execution, which has its name.
#[async_trait]
pub trait Conductor: fmt::Debug + Send + Sync {
    /// Starts a run's execution and gives back its name; all the same where that was done before.
    async fn start(&self, run: &Run) -> Result<String, Failure>;
    /// Ends a run's execution; all the same where it has ended, or where there is none.
    async fn stop(&self, run: &RunId, reason: &str) -> Result<(), Failure>;
    /// How far a run's execution is.
    async fn status(&self, run: &RunId) -> Result<ExecutionStatus, Failure>;
}

/// How far an execution is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExecutionStatus {
    /// There is none.
    Absent,
    /// It is under way.
    Running,
    /// It ended well.
    Succeeded,
    /// Somebody ended it.
    Stopped,
    /// It ended badly.
    Failed(RecordedFailure),
}
