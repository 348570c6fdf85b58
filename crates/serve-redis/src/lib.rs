//! Redis as a source of `serve`: route → keys → bytes.
//!
//! A route looks rows up under the keys that its parameters make. What publish noted of the table says as what they lie
//! there, of which types their columns are, and which version they are.

mod keys;
mod link;
mod page;
mod plan;
mod row;
mod source;

pub use source::Redis;
