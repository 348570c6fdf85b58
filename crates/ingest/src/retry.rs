//! When a request that failed is sent again.

use crate::limits::Limits;
use http::{HeaderMap, header};
use std::time::{Duration, SystemTime};

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

/// How long the source asks to wait. A date is taken relative to the source's own clock where it tells that; parts of a
/// second are rounded up, since a wait is never shortened.
pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds.ceil()).ok();
    }
    let until = httpdate::parse_http_date(text).ok()?;
    let sources_clock = headers
        .get(header::DATE)
        .and_then(|date| date.to_str().ok())
        .and_then(|date| httpdate::parse_http_date(date).ok());
    let wait = until
        .duration_since(sources_clock.unwrap_or(now))
        .unwrap_or_default();
    Some(Duration::from_secs(
        wait.as_secs() + u64::from(wait.subsec_nanos() > 0),
    ))
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

    fn asked(retry_after_header: &str, date: Option<&str>) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, retry_after_header.parse().unwrap());
        if let Some(date) = date {
            headers.insert(header::DATE, date.parse().unwrap());
        }
        let now = httpdate::parse_http_date("Wed, 07 Feb 2018 02:00:00 GMT").unwrap();
        retry_after(&headers, now)
    }

    #[test]
    fn retry_after_is_read_as_seconds() {
        assert_eq!(asked("0", None), Some(Duration::ZERO));
        assert_eq!(asked("120", None), Some(Duration::from_mins(2)));
        assert_eq!(asked("1.2", None), Some(Duration::from_secs(2)));
        for nonsense in ["", "-5", "soon", "nan", "1e300"] {
            assert_eq!(asked(nonsense, None), None, "{nonsense}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), SystemTime::now()), None);
    }

    #[test]
    fn retry_after_is_read_as_a_date_by_the_sources_clock() {
        let until = "Wed, 07 Feb 2018 02:01:30 GMT";
        assert_eq!(asked(until, None), Some(Duration::from_secs(90)));
        let an_hour_slow = Some("Wed, 07 Feb 2018 01:01:00 GMT");
        assert_eq!(asked(until, an_hour_slow), Some(Duration::from_secs(3630)));
        let past = Some("Wed, 07 Feb 2018 03:00:00 GMT");
        assert_eq!(asked(until, past), Some(Duration::ZERO));
        assert_eq!(
            asked(until, Some("nonsense")),
            Some(Duration::from_secs(90))
        );
    }

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
