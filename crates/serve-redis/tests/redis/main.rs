//! Lookups over a real Redis, published to as pipelines do.

#![allow(clippy::unwrap_used, reason = "a test's way to fail")]
#![allow(
    clippy::from_iter_instead_of_collect,
    reason = "an array's type is the point of the line"
)]

mod lookups;
mod same;
mod support;
