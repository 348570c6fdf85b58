//! What an answer's headers say about limits: how long to wait, how much is left, and until when.
//!
//! `Retry-After`; `RateLimit` and `RateLimit-Policy` as in the IETF's drafts, the older and the newer ones; and the
//! `X-RateLimit-…` headers in the spellings that APIs have given them. What cannot be read is as if it were not there.

use http::{HeaderMap, header};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// Numbers from here on are moments, in seconds since 1970 (2001 and later), not spans.
const LEAST_EPOCH: f64 = 1e9;
/// The same in milliseconds.
const LEAST_EPOCH_MS: f64 = 1e12;

/// The longest time for which a count of what is left is believed; a `Retry-After` is kept however long it is.
const LONGEST_BELIEVED: Duration = Duration::from_hours(24);

/// How long a window is taken for where nothing says when it ends.
const UNKNOWN_WINDOW: Duration = Duration::from_mins(1);

/// What may still be asked of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    /// How many requests may still be sent.
    pub(crate) requests: u64,
    /// How many may be sent in the whole window, where that is told.
    pub(crate) limit: Option<u64>,
    /// When the window ends, from the answer on.
    pub(crate) reset: Duration,
}

impl Left {
    /// How far apart the requests of one sender are to be, of `senders`, so that what is left lasts until there is more.
    /// Nothing while much is left.
    pub(crate) fn spacing(&self, senders: u32) -> Duration {
        let is_scarce = match self.limit {
            Some(limit) => self.requests.saturating_mul(5) <= limit,
            None => self.requests <= 10,
        };
        if self.requests == 0 {
            return self.reset;
        }
        if !is_scarce {
            return Duration::ZERO;
        }
        let shares = (self.requests + 1) as f64 / f64::from(senders.max(1));
        self.reset.div_f64(shares.max(1.0))
    }
}

/// How long the source asks to wait, from the answer on. A moment is taken relative to the source's own clock where it
/// tells that; parts of a second are rounded up, since a wait is never shortened.
pub(crate) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = span(text, clock(headers, now))?;
    Some(Duration::from_secs(
        wait.as_secs()
            .saturating_add(u64::from(wait.subsec_nanos() > 0)),
    ))
}

/// What the source says is left; of several counts the one that is to be kept to most.
pub(crate) fn left(headers: &HeaderMap, now: Timestamp) -> Option<Left> {
    let clock = clock(headers, now);
    let mut counts = standard(headers);
    counts.extend(families(headers, clock));
    counts
        .into_iter()
        .filter(|left| left.reset <= LONGEST_BELIEVED)
        .max_by(|one, other| {
            let key = |left: &Left| (left.spacing(1), u64::MAX - left.requests);
            key(one).cmp(&key(other))
        })
}

/// How far apart the headers want the requests of one of so many senders to be.
#[cfg(test)]
pub(crate) fn spacing(headers: &HeaderMap, now: Timestamp, senders: u32) -> Option<Duration> {
    left(headers, now).map(|left| left.spacing(senders))
}

/// The time by the source's clock where it tells that, else by this one.
fn clock(headers: &HeaderMap, now: Timestamp) -> Timestamp {
    headers
        .get(header::DATE)
        .and_then(|date| date.to_str().ok())
        .and_then(http_date)
        .unwrap_or(now)
}

fn http_date(text: &str) -> Option<Timestamp> {
    Timestamp::try_from(httpdate::parse_http_date(text.trim()).ok()?).ok()
}

/// A span of time, or the time until a moment: seconds, `1m30s`, an HTTP date, ISO 8601, seconds or milliseconds since
/// 1970. A moment that has passed is no time at all.
fn span(text: &str, clock: Timestamp) -> Option<Duration> {
    let text = text.trim();
    if let Ok(number) = text.parse::<f64>() {
        let seconds = if number >= LEAST_EPOCH_MS {
            (number - clock.as_millisecond() as f64) / 1e3
        } else if number >= LEAST_EPOCH {
            number - clock.as_millisecond() as f64 / 1e3
        } else if number >= 0.0 {
            return Duration::try_from_secs_f64(number).ok();
        } else {
            return None;
        };
        return Duration::try_from_secs_f64(seconds.max(0.0)).ok();
    }
    let moment = http_date(text).or_else(|| text.parse::<Timestamp>().ok());
    match moment {
        Some(moment) => Some(Duration::try_from(moment.duration_since(clock)).unwrap_or_default()),
        None => spelled(text),
    }
}

/// `6m0s`, `1.5s`, `20ms`: a span as Go writes it.
fn spelled(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest
            .find(|letter: char| !(letter.is_ascii_digit() || letter == '.'))
            .filter(|digits| *digits > 0)?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest
            .find(|letter: char| letter.is_ascii_digit())
            .unwrap_or(rest.len());
        seconds += number
            * match &rest[..letters] {
                "ms" => 0.001,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3_600.0,
                "d" => 86_400.0,
                _ => return None,
            };
        rest = &rest[letters..];
    }
    if text.is_empty() {
        return None;
    }
    Duration::try_from_secs_f64(seconds).ok()
}

/// `RateLimit: limit=100, remaining=50, reset=5` of the older drafts, and `RateLimit: "burst";r=50;t=30` with
/// `RateLimit-Policy: "burst";q=100;w=60` of the newer ones.
fn standard(headers: &HeaderMap) -> Vec<Left> {
    let policies: BTreeMap<String, u64> = items(headers, "ratelimit-policy")
        .filter_map(|item| Some((item.name.clone(), item.number("q")?)))
        .collect();
    let mut found = Vec::new();
    let mut old = Item::default();
    for item in items(headers, "ratelimit") {
        if let Some((name, value)) = item.name.split_once('=') {
            old.fields
                .insert(name.trim().to_owned(), value.trim().to_owned());
        } else if let Some(requests) = item.number("r") {
            found.push(Left {
                requests,
                limit: policies.get(&item.name).copied(),
                reset: item.number("t").map_or(UNKNOWN_WINDOW, Duration::from_secs),
            });
        }
    }
    if let Some(requests) = old.number("remaining") {
        found.push(Left {
            requests,
            limit: old.number("limit"),
            reset: old
                .number("reset")
                .map_or(UNKNOWN_WINDOW, Duration::from_secs),
        });
    }
    found
}

/// A member of a structured header: `"name";field=value`.
#[derive(Default)]
struct Item {
    name: String,
    fields: BTreeMap<String, String>,
}

impl Item {
    fn number(&self, field: &str) -> Option<u64> {
        self.fields.get(field)?.trim_matches('"').parse().ok()
    }
}

fn items<'h>(headers: &'h HeaderMap, name: &'h str) -> impl Iterator<Item = Item> + 'h {
    let texts = headers.get_all(name).into_iter();
    texts
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .map(|member| {
            let mut parts = member.split(';').map(str::trim);
            Item {
                name: parts
                    .next()
                    .unwrap_or_default()
                    .trim_matches('"')
                    .to_owned(),
                fields: parts
                    .filter_map(|part| part.split_once('='))
                    .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
                    .collect(),
            }
        })
}

/// What a header tells of a count, by a word in its name. Longer words first: `reset-after` is no `reset`.
const WORDS: [(&str, Told); 5] = [
    ("reset-after", Told::Reset),
    ("remaining", Told::Remaining),
    ("available", Told::Remaining),
    ("reset", Told::Reset),
    ("limit", Told::Limit),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Remaining,
    Reset,
    Limit,
}

#[derive(Default)]
struct Family {
    remaining: Option<u64>,
    limit: Option<u64>,
    reset: Option<Duration>,
}

/// The counts of headers such as `X-RateLimit-Remaining` and `X-RateLimit-Reset`. Those whose names are the same but for
/// the word belong together: `x-ratelimit-remaining-requests` and `x-ratelimit-reset-requests`.
fn families(headers: &HeaderMap, clock: Timestamp) -> Vec<Left> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    for (name, value) in headers {
        let name = name
            .as_str()
            .replace("rate-limit", "ratelimit")
            .replace('_', "-");
        let Some((before, after)) = name.split_once("ratelimit") else {
            continue;
        };
        let Ok(text) = value.to_str() else { continue };
        let Some((word, told)) = WORDS.iter().find(|(word, _)| after.contains(word)) else {
            continue;
        };
        let family = families
            .entry(format!("{before}{}", after.replacen(word, "", 1)))
            .or_default();
        // Some list a window behind the count: `100, 100;w=60`.
        let first = text.split([',', ';']).next().unwrap_or_default().trim();
        match told {
            Told::Remaining => family.remaining = count(first),
            Told::Limit => family.limit = count(first),
            // An HTTP date has a comma.
            Told::Reset => {
                let reset = span(text, clock).or_else(|| span(first, clock));
                family.reset = family.reset.max(reset);
            }
        }
    }
    let left = families.into_iter().filter_map(|(name, family)| {
        Some(Left {
            requests: family.remaining?,
            limit: family.limit,
            reset: family.reset.unwrap_or_else(|| window(&name)),
        })
    });
    left.collect()
}

/// A count, which some write with a fraction; one below nothing is nothing.
fn count(text: &str) -> Option<u64> {
    let number: f64 = text
        .parse()
        .ok()
        .filter(|number: &f64| number.is_finite())?;
    Some(number.max(0.0) as u64)
}

/// The window that a name tells: `x-ratelimit-remaining-minute`.
fn window(name: &str) -> Duration {
    [
        ("second", Duration::from_secs(1)),
        ("minute", Duration::from_mins(1)),
        ("hour", Duration::from_hours(1)),
        ("day", Duration::from_hours(24)),
    ]
    .into_iter()
    .find(|(word, _)| name.contains(word))
    .map_or(UNKNOWN_WINDOW, |(_, window)| window)
}

#[cfg(test)]
#[path = "headers_tests.rs"]
mod tests;
