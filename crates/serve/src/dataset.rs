//! What the tables of a route hold now.

use crate::united::Snapshot;
use jiff::Timestamp;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long what was read counts as now: as long as a new version may stay unseen.
const FRESH: Duration = Duration::from_secs(1);

/// The version of what a route reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    /// What tells this version from all others.
    pub identity: [u8; 32],
    /// When the table that was published longest ago was: nothing in the answer is older than its source was then.
    pub as_of: Timestamp,
    /// The run that published that table, where that is known.
    pub run: Option<String>,
    /// Which rows a source has that has the recent ones alone; none of a source that has all.
    pub snapshot: Option<Snapshot>,
}

/// What is known of a route's dataset.
#[derive(Debug, Default)]
pub struct Known(Mutex<Option<(Instant, Option<Arc<Dataset>>)>>);

impl Known {
    /// The dataset, if it was looked at just now: inside none where Millrace published nothing of it.
    #[allow(clippy::option_option)] // Outside: whether it is known.
    pub fn fresh(&self) -> Option<Option<Arc<Dataset>>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = known.as_ref().filter(|(at, _)| at.elapsed() < FRESH);
        fresh.map(|(_, dataset)| dataset.clone())
    }

    /// What was found last, however long ago.
    pub fn last(&self) -> Option<Arc<Dataset>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().and_then(|(_, dataset)| dataset.clone())
    }

    /// Remembers what was found by who asked then: what was published while the answer was on its way may not be in it.
    pub fn set(&self, asked: Instant, dataset: Option<Arc<Dataset>>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Some((asked, dataset));
    }
}
