//! Pulls from the sample source, and from sources that are worse, into a folder.

mod endless;
mod incremental;
mod pages;
mod resume;
mod support;
mod trouble;
