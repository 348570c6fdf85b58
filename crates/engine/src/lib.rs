//! SQL over the lake's tables, by DataFusion, in bounded memory. The only crate that names datafusion.
//!
//! An [`Engine`] is made once in a process: it holds the limits and what is known of files' footers. A [`Session`] is one
//! query's view of the lake: it knows the tables that it was given, each as one version has it, and no others. What a query
//! may say is not checked here but where it is defined (`millrace_model::query`): a session plans one SELECT, and nothing
//! that would write.

mod bounds;
mod engine;
mod error;
mod rows;
mod session;
mod table;

pub use engine::{Engine, Limits};
pub use error::{Error, ErrorKind};
pub use rows::Rows;
pub use session::{Manner, Plan, Session};
