//! Answers that the store and the lake give together: recent rows from the one, older ones from the other.

#![allow(clippy::unwrap_used, reason = "a test's way to fail")]

mod answers;
mod callers;
mod exports;
mod forms;
mod limits;
mod place;
mod rows;
mod walk;
