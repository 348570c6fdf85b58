//! Wire incremental → incremental.

use super::value;
use crate::definition::pipeline::{CursorValue, Incremental, TimestampForm};
use crate::definition::problem::{Path, Review};
use crate::definition::wire::form::DurationText;
use crate::definition::wire::pipeline::{IncrementalForm, SendForm};
use jiff::fmt::strtime::{self, BrokenDownTime};
use jiff::tz::TimeZone;
use std::time::Duration;

/// The longest lookback and lag.
const LONGEST: Duration = Duration::from_hours(366 * 24);

pub(super) fn validate(
    form: IncrementalForm,
    at: &Path,
    review: &mut Review<'_, '_>,
) -> Option<Incremental> {
    let field = review.accept(&at.field("field"), value::field_path(&form.field));
    for (name, param) in [("param", &form.param), ("end_param", &form.end_param)] {
        if let Some(param) = param {
            review.accept(&at.field(name), value::query_param(param));
        }
    }
    let start = review.accept(&at.field("start"), start(&form.start.0));
    if let Some(CursorValue::Number(_) | CursorValue::Text(_)) = start {
        for (name, given) in [
            ("lookback", form.lookback.is_some()),
            ("lag", form.lag.is_some()),
            ("read", form.read.is_some()),
            ("timezone", form.timezone.is_some()),
            ("send", form.send.is_some()),
        ] {
            review.require(!given, &at.field(name), || {
                format!("`{name}` goes with a `start` that is a time: `2026-01-01T00:00:00Z`")
            });
        }
    }
    let lookback = duration(form.lookback.as_ref(), &at.field("lookback"), review);
    let lag = duration(form.lag.as_ref(), &at.field("lag"), review);
    if let Some(read) = &form.read {
        review.accept(&at.field("read"), readable(read));
    }
    if let Some(name) = &form.timezone {
        let known = TimeZone::get(name).map(drop);
        let unknown = |_| format!("`{name}` is no time zone; take an IANA name: `Europe/Berlin`");
        review.accept(&at.field("timezone"), known.map_err(unknown));
    }
    let send = match form.send {
        None => Some(TimestampForm::default()),
        Some(form) => review.accept(&at.field("send"), send(form)),
    };
    Some(Incremental {
        field: field?,
        param: form.param,
        start: start?,
        lookback: lookback?,
        end_param: form.end_param,
        lag: lag?,
        read: form.read,
        timezone: form.timezone,
        send: send?,
    })
}

fn duration(
    text: Option<&DurationText>,
    at: &Path,
    review: &mut Review<'_, '_>,
) -> Option<Duration> {
    match text {
        None => Some(Duration::ZERO),
        Some(text) => review.accept(at, value::duration(&text.0, Duration::ZERO, LONGEST)),
    }
}

/// A time, a whole number, or text. Text that looks like a number is text.
fn start(value: &serde_json::Value) -> Result<CursorValue, String> {
    if let Some(number) = value.as_i64() {
        return Ok(CursorValue::Number(number));
    }
    let text = value.as_str().ok_or_else(|| {
        "a start is a time (`2026-01-01T00:00:00Z`), a whole number, or text".to_owned()
    })?;
    match CursorValue::parse(text)? {
        CursorValue::Number(_) => Ok(CursorValue::Text(text.to_owned())),
        start => Ok(start),
    }
}

fn send(form: SendForm) -> Result<TimestampForm, String> {
    match form.0.as_str() {
        "iso" => Ok(TimestampForm::Iso),
        "epoch_s" => Ok(TimestampForm::EpochS),
        "epoch_ms" => Ok(TimestampForm::EpochMs),
        own if own.contains('%') => written(own).map(|_| TimestampForm::Own(form.0)),
        other => Err(format!(
            "`{other}` is none of `iso`, `epoch_s` and `epoch_ms`, and no form as `strftime` has it: `%Y-%m-%d`"
        )),
    }
}

/// A moment in that form.
fn written(form: &str) -> Result<String, String> {
    let moment = jiff::Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC);
    strtime::format(form, &moment)
        .map_err(|error| format!("`{form}` is no form as `strftime` has it: {error}"))
}

/// Whether a form names a day at least.
fn readable(form: &str) -> Result<(), String> {
    let text = written(form)?;
    let read = BrokenDownTime::parse(form, &text)
        .map_err(|error| format!("`{form}` cannot be read: {error}"))?;
    if read.to_timestamp().is_ok() || read.to_date().is_ok() {
        Ok(())
    } else {
        Err(format!(
            "`{form}` names no day; write it so: `%d.%m.%Y %H:%M`"
        ))
    }
}
