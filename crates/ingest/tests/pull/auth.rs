//! Each kind of credential against a source that looks closely.

mod kinds;
mod race;
mod refresh;
mod renewal;
pub mod server;
