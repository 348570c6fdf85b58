//! How many requests a caller has left. Counted in this process alone: with several of them, each counts its own.

use crate::problem::Problem;
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use millrace_model::definition::endpoint::Rate;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How many callers are kept count of; beyond that, those whose window is over are forgotten.
const CALLERS: usize = 10_000;

/// What callers have sent so far.
#[derive(Debug, Default)]
pub struct Limits {
    windows: Mutex<HashMap<(String, String, Duration), Window>>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    /// When it ends, from 1970 on.
    ends: Duration,
    sent: u32,
}

/// Where a caller stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    limit: u32,
    remaining: u32,
    /// Seconds until the count begins anew.
    reset: u32,
    over: bool,
}

impl Limits {
    /// Counts a request of a caller's on a route.
    pub fn count(&self, route: &str, caller: &str, rate: Rate) -> Count {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        self.count_at(route, caller, rate, now.unwrap_or_default())
    }

    fn count_at(&self, route: &str, caller: &str, rate: Rate, now: Duration) -> Count {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if windows.len() >= CALLERS {
            windows.retain(|_, window| window.ends > now);
        }
        // Windows begin at whole multiples of their length, so that callers and several processes agree on them.
        let length = rate.window.as_secs().max(1);
        let fresh = Window {
            ends: Duration::from_secs((now.as_secs() / length + 1) * length),
            sent: 0,
        };
        let key = (route.to_owned(), caller.to_owned(), rate.window);
        let window = windows.entry(key).or_insert(fresh);
        if window.ends <= now {
            *window = fresh;
        }
        let over = window.sent >= rate.requests;
        window.sent = window.sent.saturating_add(u32::from(!over));
        let left = window.ends.saturating_sub(now);
        Count::new(rate.requests, rate.requests - window.sent, left, over)
    }
}

impl Count {
    /// Of so many requests so many remain, for so long; whether this one was one too many.
    pub(super) fn new(limit: u32, remaining: u32, left: Duration, over: bool) -> Self {
        Self {
            limit,
            remaining,
            reset: (left.as_secs_f64().ceil() as u32).max(1),
            over,
        }
    }

    #[cfg(test)]
    pub(super) fn remaining(self) -> u32 {
        self.remaining
    }

    /// Of two, the one that leaves less.
    pub fn stricter(self, other: Self) -> Self {
        let left = |count: &Self| (!count.over, count.remaining);
        if left(&other) < left(&self) {
            other
        } else {
            self
        }
    }

    /// The refusal, where there were too many.
    pub fn refusal(self) -> Option<Problem> {
        self.over.then(|| Problem::too_many(self.limit, self.reset))
    }

    /// Says it in an answer: `RateLimit-Limit`, `-Remaining` and `-Reset`.
    pub fn write(self, headers: &mut HeaderMap) {
        for (name, value) in [
            ("ratelimit-limit", self.limit),
            ("ratelimit-remaining", self.remaining),
            ("ratelimit-reset", self.reset),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_are_counted_by_themselves_and_begin_anew() {
        let limits = Limits::default();
        let rate = Rate {
            requests: 2,
            window: Duration::from_mins(1),
        };
        let at =
            |caller, seconds| limits.count_at("/a", caller, rate, Duration::from_secs(seconds));
        assert_eq!((at("x", 61).remaining, at("x", 62).remaining), (1, 0));
        let over = at("x", 100);
        assert_eq!((over.remaining, over.reset, over.over), (0, 20, true));
        assert_eq!(over.refusal().unwrap().retry_after, Some(20));
        assert!(!at("y", 100).over);
        assert!(!at("x", 120).over);
    }
}
