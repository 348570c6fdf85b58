//! When a request that failed is sent again.

use crate::limits::Limits;
use std::time::Duration;

/// What a source's answer means for a puller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// There is a body, or there is nothing.
    Good,
    /// The credential is refused.
    Unauthorized,
    /// The source says `later`: 429, or 503 with a `Retry-After`.
    Later,
    /// It may go better the next time.
    Transient,
    /// It will not.
    Refused,
}

/// What that status means.
pub(crate) fn classify(status: u16, has_retry_after: bool) -> Class {
    match status {
        200..=299 => Class::Good,
        401 | 403 => Class::Unauthorized,
        429 => Class::Later,
        503 if has_retry_after => Class::Later,
        408 | 425 | 500..=599 => Class::Transient,
        _ => Class::Refused,
    }
}

/// The retries of one page.
#[derive(Debug, Default)]
pub(crate) struct Retries {
    count: u32,
    spent: Duration,
}

impl Retries {
    /// How many there were.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Whether there is time to wait so long for a source that is down; it is spent with this.
    pub(crate) fn has_time_for(&mut self, wait: Duration, limits: &Limits) -> bool {
        self.spent += wait;
        self.spent <= limits.retry_for
    }

    /// How long to wait before the next one, after a request that took `took`: as long as the source asks, else a random
    /// time below a ceiling that doubles (full jitter). None where it has been tried long enough.
    pub(crate) fn next(
        &mut self,
        asked: Option<Duration>,
        took: Duration,
        limits: &Limits,
    ) -> Option<Duration> {
        let ceiling = limits
            .backoff_first
            .saturating_mul(2_u32.saturating_pow(self.count.min(16)));
        let wait =
            asked.unwrap_or_else(|| ceiling.min(limits.backoff_most).mul_f64(rand::random()));
        self.spent += took;
        if asked.is_none() {
            self.spent += wait;
        }
        self.count += 1;
        (self.count <= limits.retries && self.spent <= limits.retry_for).then_some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_stays_below_a_ceiling_that_doubles() {
        let limits = Limits::default();
        let mut longest = [Duration::ZERO; 8];
        for _ in 0..200 {
            let mut retries = Retries::default();
            for longest in &mut longest {
                let Some(wait) = retries.next(None, Duration::ZERO, &limits) else {
                    break;
                };
                *longest = (*longest).max(wait);
            }
        }
        for (count, longest) in longest.into_iter().enumerate() {
            let ceiling = Duration::from_millis(500 << count).min(Duration::from_secs(30));
            assert!(longest <= ceiling, "{count}: {longest:?}");
            assert!(
                longest >= ceiling.mul_f64(0.8),
                "{count}: {longest:?} is no full jitter"
            );
        }
    }

    #[test]
    fn a_wait_that_the_source_asks_for_is_kept_and_does_not_count() {
        let limits = Limits::default();
        let mut retries = Retries::default();
        for _ in 0..limits.retries {
            let asked = Some(Duration::from_hours(1));
            assert_eq!(retries.next(asked, Duration::ZERO, &limits), asked);
        }
        assert_eq!(
            retries.next(Some(Duration::ZERO), Duration::ZERO, &limits),
            None
        );
    }

    #[test]
    fn retries_end_when_their_time_is_spent() {
        let limits = Limits::default();
        let mut retries = Retries::default();
        assert!(
            retries
                .next(None, Duration::from_mins(1), &limits)
                .is_some()
        );
        assert!(
            retries
                .next(None, Duration::from_secs(61), &limits)
                .is_none()
        );
    }

    #[test]
    fn statuses_mean_what_they_say() {
        for (status, class) in [
            (200, Class::Good),
            (204, Class::Good),
            (301, Class::Refused),
            (400, Class::Refused),
            (401, Class::Unauthorized),
            (403, Class::Unauthorized),
            (404, Class::Refused),
            (408, Class::Transient),
            (425, Class::Transient),
            (429, Class::Later),
            (500, Class::Transient),
            (503, Class::Transient),
            (599, Class::Transient),
        ] {
            assert_eq!(classify(status, false), class, "{status}");
        }
        assert_eq!(classify(503, true), Class::Later);
    }
}
