//! The lake as a source of `serve`: route → bound SQL over Delta tables → bytes.
//!
//! What routes may read is what pipelines publish `to: lake`; nothing is copied. A version of a table never changes, so
//! that what is known of it, and how a query is run over it, is kept until there is a newer one, which is looked for at
//! most once a second.

mod bind;
mod encode;
mod half;
mod page;
mod plan;
mod published;
mod source;
mod versions;

pub use source::{LakeSource, Room};
