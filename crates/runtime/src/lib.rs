//! What the functions stand on: the environment, the log, the AWS clients, and the forms in which a step is called, as a
//! Lambda, as a task, or over HTTP. The mains in `functions/` wire these to the stage crates and do nothing else.

pub mod aws;
pub mod environment;
#[cfg(feature = "lambda")]
pub mod gateway;
#[cfg(feature = "lambda")]
pub mod lambda;
pub mod logging;
pub mod signals;
pub mod state_machine;
mod step;
pub mod task;

pub use aws::Aws;
pub use environment::Environment;
