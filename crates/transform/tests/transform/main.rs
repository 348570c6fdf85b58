//! Raw segments, written by hand as ingest writes them → Delta tables in a folder.

mod expectations;
mod faults;
mod harness;
mod model;
mod modes;
mod nesting;
mod throughput;
mod types;
