//! The definitions as an author writes them: from text to the messages and the domain types.

#![allow(clippy::unwrap_used)] // A test that can't go on has failed.

mod definitions;
mod docs;
mod models;
mod properties;
mod queries;
mod sets;
mod shipped;
