//! No more requests than a connection allows.

use millrace_model::definition::connection::RateLimit;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lets at most so many requests go in any span of so long, wherever the span begins; shared by all pulls of a process
/// that use the connection.
#[derive(Debug)]
pub(crate) struct Throttle {
    limit: RateLimit,
    /// When the latest requests go, oldest first; some of them may lie ahead.
    times: Mutex<VecDeque<Instant>>,
}

impl Throttle {
    pub(crate) fn new(limit: RateLimit) -> Self {
        Self {
            limit,
            times: Mutex::default(),
        }
    }

    /// What it allows.
    pub(crate) fn limit(&self) -> RateLimit {
        self.limit
    }

    /// How long the next request has to wait. Its place is taken with this.
    pub(crate) fn take(&self, now: Instant) -> Duration {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let most = self.limit.requests.max(1) as usize;
        let free = if times.len() < most {
            None
        } else {
            times.pop_front()
        };
        let at = free.map_or(now, |oldest| (oldest + self.limit.per).max(now));
        times.push_back(at);
        at - now
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_span_has_more_requests_than_allowed(
            requests in 1_u32..8,
            pauses in proptest::collection::vec(0_u64..400, 1..60),
        ) {
            let throttle = Throttle::new(RateLimit { requests, per: Duration::from_secs(1) });
            let mut now = Instant::now();
            let mut sent = Vec::new();
            for pause in pauses {
                now += Duration::from_millis(pause);
                now += throttle.take(now);
                sent.push(now);
            }
            for span in sent.windows(requests as usize + 1) {
                prop_assert!(span[requests as usize] - span[0] >= Duration::from_secs(1));
            }
        }
    }

    #[test]
    fn a_burst_goes_at_once_and_what_is_beyond_it_waits() {
        let throttle = Throttle::new(RateLimit {
            requests: 3,
            per: Duration::from_mins(1),
        });
        let now = Instant::now();
        let waits: Vec<u64> = (0..7).map(|_| throttle.take(now).as_secs()).collect();
        assert_eq!(waits, [0, 0, 0, 60, 60, 60, 120]);
    }
}
