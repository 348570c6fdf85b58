//! SQL over the lake's tables, by DataFusion, in bounded memory. The only crate that names datafusion.
//!
//! An [`Engine`] is made once in a process: it holds the limits and what is known of files' footers. A [`Session`] is one
//! query's view of the lake: it knows the tables that it was given, each as one version has it, and no others. A
//! [`Prepared`] query is planned once and run with many values; a [`Relation`] is what is known of a version, kept. What a query
//! may say is not checked here but where it is defined (`millrace_model::query`): a session plans one SELECT, and nothing
//! that would write.

mod bounds;
mod considerate;
mod engine;
mod error;
mod held;
mod prepared;
mod rows;
mod session;
mod table;

pub use engine::{Engine, Limits};
pub use error::{Error, ErrorKind};
pub use prepared::Prepared;
pub use rows::Rows;
pub use session::{Described, Manner, Plan, Session};
pub use table::Relation;
