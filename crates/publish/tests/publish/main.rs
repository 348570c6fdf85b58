//! Tables of the lake, published into PostgreSQL itself, and into Redis itself.

#![allow(clippy::unwrap_used, reason = "a test's way to fail")]
#![allow(
    clippy::from_iter_instead_of_collect,
    reason = "an array's type is the point of the line"
)]
#![allow(
    clippy::await_holding_refcell_ref,
    reason = "one thread, and one case at a time"
)]

mod recent;
mod redis;
mod rows;
mod shop;
mod support;
mod together;
mod values;
