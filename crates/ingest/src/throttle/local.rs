//! What one process holds and knows, and the requests that it has under way.

use super::budget::{Breaker, Grant};
use super::{ARRIVAL_MS, Throttle, now};
use http::HeaderMap;
use millrace_model::Failure;
use std::sync::Arc;

/// What this process holds and knows.
#[derive(Debug, Default)]
pub(super) struct Local {
    /// How many requests may be sent until `until`.
    pub(super) permits: u32,
    pub(super) until: i64,
    /// How many may be under way until `places_until`.
    pub(super) places: u32,
    pub(super) places_until: i64,
    /// When the requests that are under way were sent, by number; none once it is known that they count.
    pub(super) under_way: Vec<(u64, Option<i64>)>,
    pub(super) last_number: u64,
    /// Until when somebody whose turn it is may wait for leave.
    pub(super) awaited_until: i64,
    /// When requests counted that the document has not been told of.
    pub(super) spent: Vec<i64>,
    pub(super) paused_until: i64,
    /// When the next request may go, where the source says that little is left.
    pub(super) next_at: i64,
    pub(super) spacing_ms: i64,
    pub(super) senders: u32,
    /// When the document was read last.
    pub(super) read_at: i64,
    pub(super) breaker: Breaker,
    /// How many requests failed one after the other.
    pub(super) failures: u32,
}

impl Local {
    /// When requests counted, or will have counted, of which the document is to be told; and how many are under way.
    /// What is left of the lease is given up with this: the document does not know it any more once it is told.
    pub(super) fn settle(&mut self, counts: bool) -> (Vec<i64>, u32) {
        self.permits = 0;
        for (_, sent) in &mut self.under_way {
            if let Some(sent) = sent.take() {
                self.spent.push(sent + ARRIVAL_MS);
            }
        }
        if !counts {
            self.spent.clear();
        }
        (self.spent.clone(), self.under_way.len() as u32)
    }

    pub(super) fn take(&mut self, grant: &Grant, told: usize) {
        self.forget(told);
        self.senders = grant.senders;
        self.permits = grant.permits;
        self.until = grant.until;
        self.places = grant.places;
        self.places_until = if grant.places > 0 {
            grant.places_until
        } else {
            0
        };
    }

    /// Forgets the spent requests of which the document was told: the first ones.
    pub(super) fn forget(&mut self, told: usize) {
        self.spent.drain(..told.min(self.spent.len()));
    }

    /// Notes that a request counts, at the latest now.
    pub(super) fn counted(&mut self, number: u64, now: i64) {
        let under_way = self
            .under_way
            .iter_mut()
            .find(|(known, _)| *known == number);
        if let Some(sent) = under_way.and_then(|(_, sent)| sent.take()) {
            self.spent.push(now.min(sent + ARRIVAL_MS));
        }
    }
}

/// Leave to send one request.
#[derive(Debug)]
pub(crate) struct Pass {
    pub(super) throttle: Arc<Throttle>,
    pub(super) number: u64,
}

impl Pass {
    /// Notes that the answer has come: the request counts at the source from now on at the latest.
    pub(crate) fn answered(&self) {
        self.throttle.local().counted(self.number, now());
    }

    /// Notes what the source says of its limits in the answer.
    pub(crate) async fn told(&self, headers: &HeaderMap) -> Result<(), Failure> {
        self.throttle.told(headers).await
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut local = self.throttle.local();
        local.counted(self.number, now());
        local.under_way.retain(|(number, _)| *number != self.number);
        if self.throttle.terms.rates.is_empty() {
            // Nobody asks how many there were.
            local.spent.clear();
        }
    }
}
