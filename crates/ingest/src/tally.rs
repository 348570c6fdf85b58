//! What an invocation has done so far.

use millrace_model::raw::Page;
use millrace_model::step::Counts;
use std::time::Duration;

/// What an invocation has done so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) requests: u64,
    pub(crate) pages: u64,
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    pub(crate) retries: u64,
    /// Requests that were given up, without giving up the run.
    pub(crate) skipped: u64,
    pub(crate) waited: Duration,
}

impl Tally {
    pub(crate) fn take_page(&mut self, records: u64, bytes: u64) {
        self.pages += 1;
        self.records += records;
        self.bytes += bytes;
    }

    /// Takes back pages that another writer has committed.
    pub(crate) fn drop_pages(&mut self, pages: &[Page]) {
        self.pages -= pages.len() as u64;
        self.records -= pages.iter().map(|page| page.records).sum::<u64>();
        self.bytes -= pages.iter().map(|page| page.body_length).sum::<u64>();
    }

    pub(crate) fn counts(&self) -> Counts {
        [
            ("requests", self.requests),
            ("pages", self.pages),
            ("records", self.records),
            ("bytes", self.bytes),
            ("retries", self.retries),
            ("skipped", self.skipped),
            ("waited_ms", self.waited.as_millis() as u64),
        ]
        .into_iter()
        // What should not happen is told only where it did.
        .filter(|(name, count)| *name != "skipped" || *count > 0)
        .map(|(name, count)| (name.to_owned(), count))
        .collect()
    }
}
