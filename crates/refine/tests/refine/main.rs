//! Models in a folder: made of tables, once for each run, by each write mode, and held to what is expected of them.

#![allow(clippy::unwrap_used, reason = "a test's way to fail")]

mod forgotten;
mod ground;
mod handed_over;
mod kept_out;
mod made;
mod refused;
