//! Which run may start, and when; and the control API, by which any orchestrator starts, reads and cancels runs.
//!
//! A start makes several writes: the pinned definition, the run's entry in the ledger, the gate, the execution. Each is
//! idempotent and each is known by the run's name, which is derived from what asked for it. So whoever asks again, after a
//! crash between any two of them, ends where a clean start ends.

mod api;
mod event;
mod gate;
mod handler;
mod openapi;
mod problem;
mod run;
mod start;
#[cfg(test)]
mod tests;

use millrace_store::conductor::Conductor;
use millrace_store::ledger::Ledger;
use millrace_store::objects::Objects;
use millrace_store::secrets::Secrets;
use std::sync::Arc;

pub use event::{ExecutionEnded, RunStep, Scheduled};
pub use openapi::openapi;
pub use run::Plan;

/// The control of all runs.
#[derive(Clone, Debug)]
pub struct Control {
    objects: Arc<dyn Objects>,
    secrets: Arc<dyn Secrets>,
    conductor: Arc<dyn Conductor>,
    ledger: Ledger,
    operators_secret: String,
}

impl Control {
    /// The control over what lies among those objects and what that conductor carries out. `operators_secret` names the
    /// secret with the API's keys.
    pub fn new(
        objects: Arc<dyn Objects>,
        secrets: Arc<dyn Secrets>,
        conductor: Arc<dyn Conductor>,
        operators_secret: impl Into<String>,
    ) -> Self {
        Self {
            ledger: Ledger::new(Arc::clone(&objects)),
            objects,
            secrets,
            conductor,
            operators_secret: operators_secret.into(),
        }
    }
}
