//! How much may be asked of a system, and how long its answers may take.

use super::value;
use crate::definition::connection::{Politeness, RateLimit, Timeouts};
use crate::definition::problem::{Path, Review};
use crate::definition::wire::connection::{ConnectionFile, RateText};
use crate::definition::wire::form::{DurationText, OneOrMany};
use std::collections::BTreeMap;
use std::time::Duration;

/// The most requests at once that a connection may allow.
const MOST_AT_ONCE: u32 = 1_000;

/// The longest time that a limit may count over.
const LONGEST_WINDOW: Duration = Duration::from_hours(31 * 24);

pub(super) fn politeness(wire: &ConnectionFile, review: &mut Review<'_, '_>) -> Option<Politeness> {
    let root = Path::default();
    let defaults = Politeness::default();
    let whole = match &wire.rate_limit {
        None => Some(Vec::new()),
        Some(form) => rates(form, &root.field("rate_limit"), review),
    };
    let mut scopes = BTreeMap::new();
    for (name, form) in &wire.rate_scopes {
        let at = root.field("rate_scopes").field(name);
        review.accept(&at, value::part_name(name));
        scopes.insert(name.clone(), rates(form, &at, review)?);
    }
    if let Some(concurrency) = wire.concurrency {
        review.require(
            (1..=MOST_AT_ONCE).contains(&concurrency),
            &root.field("concurrency"),
            || format!("this lies between 1 and {MOST_AT_ONCE}"),
        );
    }
    let wait_limit = duration(
        wire.wait_limit.as_ref(),
        defaults.wait_limit,
        (Duration::ZERO, Duration::from_mins(10)),
        &root.field("wait_limit"),
        review,
    );
    Some(Politeness {
        rates: whole?,
        scopes,
        concurrency: wire.concurrency,
        wait_limit: wait_limit?,
    })
}

pub(super) fn timeouts(wire: &ConnectionFile, review: &mut Review<'_, '_>) -> Option<Timeouts> {
    let root = Path::default();
    let bounds = (Duration::from_millis(100), Duration::from_mins(10));
    let defaults = Timeouts::default();
    let mut read = |name: &str, form: Option<&DurationText>, default: Duration| {
        duration(form, default, bounds, &root.field(name), review)
    };
    let whole = read("timeout", wire.timeout.as_ref(), defaults.whole)?;
    Some(Timeouts {
        connect: read(
            "connect_timeout",
            wire.connect_timeout.as_ref(),
            defaults.connect.min(whole),
        )?,
        first_byte: read(
            "first_byte_timeout",
            wire.first_byte_timeout.as_ref(),
            defaults.first_byte.min(whole),
        )?,
        whole,
    })
}

fn duration(
    form: Option<&DurationText>,
    default: Duration,
    (least, most): (Duration, Duration),
    at: &Path,
    review: &mut Review<'_, '_>,
) -> Option<Duration> {
    match form {
        None => Some(default),
        Some(text) => review.accept(at, value::duration(&text.0, least, most)),
    }
}

fn rates(
    form: &OneOrMany<RateText>,
    at: &Path,
    review: &mut Review<'_, '_>,
) -> Option<Vec<RateLimit>> {
    review.require(!form.0.is_empty(), at, || {
        "a list of limits has at least one; leave the field out where there is no limit".to_owned()
    });
    let read = form.0.iter().enumerate().map(|(index, text)| {
        let at = if form.0.len() == 1 {
            at.clone()
        } else {
            at.index(index)
        };
        review.accept(&at, rate(&text.0))
    });
    read.collect()
}

/// `5/s`, `100/10s`, `1000/h`.
fn rate(text: &str) -> Result<RateLimit, String> {
    let malformed = || {
        "a rate limit is a number, `/`, and a time in `s`, `m`, `h` or `d`: `5/s`, `100/10s`"
            .to_owned()
    };
    let (requests, time) = text.split_once('/').ok_or_else(malformed)?;
    let requests: u32 = requests.parse().map_err(|_| malformed())?;
    if requests == 0 {
        return Err("at least one request must be allowed".to_owned());
    }
    let time = if time.starts_with(|first: char| first.is_ascii_digit()) {
        time.to_owned()
    } else {
        format!("1{time}")
    };
    if time.ends_with("ms") {
        return Err(malformed());
    }
    let per =
        value::duration(&time, Duration::from_secs(1), LONGEST_WINDOW).map_err(|_| malformed())?;
    Ok(RateLimit { requests, per })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_and_a_time() {
        for (text, requests, seconds) in [
            ("5/s", 5, 1),
            ("100/10s", 100, 10),
            ("1000/h", 1_000, 3_600),
            ("50000/d", 50_000, 86_400),
        ] {
            let per = Duration::from_secs(seconds);
            assert_eq!(rate(text), Ok(RateLimit { requests, per }), "{text}");
        }
        for text in [
            "",
            "5",
            "/s",
            "0/s",
            "5/",
            "5/0s",
            "5/100ms",
            "5/y",
            "-1/s",
            "5/99999999999999999999s",
            "1/32d",
        ] {
            assert!(rate(text).is_err(), "{text}");
        }
    }
}
