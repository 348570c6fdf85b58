//! Pulls from the sample source, and from sources that are worse, into a folder.

#![allow(
    clippy::unwrap_used,
    reason = "a test that meets what it does not expect should panic"
)]

mod ahead;
mod answers;
mod auth;
mod children;
mod delta;
mod endless;
mod forms;
mod incremental;
mod modes;
mod pages;
mod paging;
mod personal;
mod plant;
mod requests;
mod resume;
mod slices;
mod speed;
mod support;
mod trouble;
