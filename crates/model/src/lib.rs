//! What Millrace is about, without any I/O: the three kinds of definitions, the payloads that the steps exchange, the
//! documents that lie in the lake, the keys under which they lie, and the names of failures.
//!
//! Every other crate imports this one; this one imports none of them.

pub mod dead;
pub mod definition;
pub mod digest;
pub mod failure;
pub mod keys;
pub mod ledger;
pub mod login;
pub mod mode;
pub mod moment;
pub mod query;
pub mod raw;
pub mod recent;
pub mod schema;
pub mod state;
pub mod step;
pub mod template;

pub use failure::{Failure, FailureName};
