//! Raw segments, written by hand as ingest writes them → Delta tables in a folder.

#![allow(clippy::unwrap_used, reason = "a test's way to fail")]

mod contract;
mod expectations;
mod faults;
mod forget;
mod forms;
mod harness;
mod kept;
mod killed;
mod malformed;
mod model;
mod modes;
mod mortal;
mod nesting;
mod quality;
mod replay;
mod types;
mod upkeep;
