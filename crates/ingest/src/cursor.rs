//! The incremental field: read from records, and written into requests.

use crate::scan::Scalar;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use millrace_model::definition::pipeline::{CursorValue, Incremental, TimestampForm};
use std::time::Duration;

/// Epoch numbers below this are seconds, those from it on milliseconds: as seconds it is the year 5138, as milliseconds
/// March 1973.
const LEAST_MILLISECONDS: u64 = 100_000_000_000;

/// The kinds of values by which records are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CursorKind {
    Timestamp,
    Number,
    Text,
}

impl CursorKind {
    pub(crate) fn of(value: &CursorValue) -> Self {
        match value {
            CursorValue::Timestamp(_) => Self::Timestamp,
            CursorValue::Number(_) => Self::Number,
            CursorValue::Text(_) | CursorValue::Token(_) => Self::Text,
        }
    }

    /// The value that a record's field holds; none where it holds no such value.
    pub(crate) fn read(self, scalar: &Scalar<'_>) -> Option<CursorValue> {
        match (self, scalar) {
            (Self::Timestamp, Scalar::Text(text)) => timestamp(text).map(CursorValue::Timestamp),
            (Self::Timestamp, Scalar::Number(text)) => epoch(text).map(CursorValue::Timestamp),
            (Self::Number, Scalar::Text(text) | Scalar::Number(text)) => {
                whole(text).map(CursorValue::Number)
            }
            (Self::Text, Scalar::Text(text) | Scalar::Number(text)) => {
                Some(CursorValue::Text((*text).to_owned()))
            }
            (_, Scalar::Bool(_) | Scalar::Null) => None,
        }
    }

    /// What is expected of the field, for messages.
    pub(crate) fn expectation(self) -> &'static str {
        match self {
            Self::Timestamp => "a timestamp: ISO 8601 text, or seconds or milliseconds since 1970",
            Self::Number => "a whole number",
            Self::Text => "text",
        }
    }
}

fn timestamp(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Some(timestamp.as_millisecond());
    }
    let civil = text
        .parse::<DateTime>()
        .or_else(|_| text.parse::<Date>().map(DateTime::from));
    match civil {
        Ok(civil) => Some(
            civil
                .to_zoned(TimeZone::UTC)
                .ok()?
                .timestamp()
                .as_millisecond(),
        ),
        Err(_) => epoch(text),
    }
}

fn epoch(text: &str) -> Option<i64> {
    let (whole, fraction) = if let Ok(whole) = text.parse::<i64>() {
        (whole, 0.0)
    } else {
        let number: f64 = text
            .parse()
            .ok()
            .filter(|number: &f64| number.is_finite())?;
        (number.trunc() as i64, number.fract())
    };
    if whole.unsigned_abs() < LEAST_MILLISECONDS {
        Some(whole * 1_000 + (fraction * 1_000.0).round() as i64)
    } else {
        Some(whole)
    }
}

fn whole(text: &str) -> Option<i64> {
    text.trim().parse().ok()
}

/// Where a run starts: `lookback` before the largest value that the runs before it have seen, or where the definition
/// says if there were none.
pub(crate) fn starting_value(incremental: &Incremental, seen: Option<CursorValue>) -> CursorValue {
    match seen {
        None => incremental.start.clone(),
        Some(CursorValue::Timestamp(millis)) => {
            CursorValue::Timestamp(millis.saturating_sub(whole_millis(incremental.lookback)))
        }
        Some(other) => other,
    }
}

fn whole_millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// The value as a request's parameter.
pub(crate) fn parameter(value: &CursorValue, form: TimestampForm) -> String {
    match (value, form) {
        (CursorValue::Timestamp(millis), TimestampForm::EpochMs) => millis.to_string(),
        (CursorValue::Timestamp(millis), TimestampForm::EpochS) => {
            millis.div_euclid(1_000).to_string()
        }
        (CursorValue::Timestamp(millis), TimestampForm::Iso) => {
            let timestamp = Timestamp::from_millisecond(*millis).unwrap_or(Timestamp::MIN);
            timestamp.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
        }
        (CursorValue::Number(number), _) => number.to_string(),
        (CursorValue::Text(text) | CursorValue::Token(text), _) => text.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_model::definition::FieldPath;

    const MOMENT: i64 = 1_517_966_996_303;

    #[test]
    fn timestamps_are_read_from_text_seconds_and_milliseconds() {
        let read = |scalar| CursorKind::Timestamp.read(&scalar);
        for (scalar, millis) in [
            (Scalar::Number("1517966996303"), MOMENT),
            (Scalar::Number("1517966996"), MOMENT - 303),
            (Scalar::Number("1517966996.303"), MOMENT),
            (Scalar::Number("1.517966996303e12"), MOMENT),
            (Scalar::Number("-86400"), -86_400_000),
            (Scalar::Number("-9223372036854775808"), i64::MIN),
            (Scalar::Text("2018-02-07T01:29:56.303Z"), MOMENT),
            (Scalar::Text("2018-02-06T17:29:56.303-08:00"), MOMENT),
            (Scalar::Text("2018-02-07 01:29:56.303"), MOMENT),
            (Scalar::Text("2018-02-07"), 1_517_961_600_000),
            (Scalar::Text("1517966996303"), MOMENT),
        ] {
            assert_eq!(
                read(scalar.clone()),
                Some(CursorValue::Timestamp(millis)),
                "{scalar:?}"
            );
        }
        for scalar in [
            Scalar::Text("yesterday"),
            Scalar::Text(""),
            Scalar::Bool(true),
            Scalar::Null,
        ] {
            assert_eq!(read(scalar.clone()), None, "{scalar:?}");
        }
    }

    #[test]
    fn numbers_and_text_are_read_as_they_are() {
        assert_eq!(
            CursorKind::Number.read(&Scalar::Number("42")),
            Some(CursorValue::Number(42))
        );
        assert_eq!(
            CursorKind::Number.read(&Scalar::Text("42")),
            Some(CursorValue::Number(42))
        );
        assert_eq!(CursorKind::Number.read(&Scalar::Number("4.2")), None);
        assert_eq!(
            CursorKind::Text.read(&Scalar::Text("b7")),
            Some(CursorValue::Text("b7".to_owned()))
        );
    }

    #[test]
    fn a_run_starts_a_lookback_before_what_was_seen_and_the_first_one_where_it_is_told() {
        let incremental = Incremental {
            field: FieldPath("updated".to_owned()),
            param: Some("since".to_owned()),
            start: CursorValue::Timestamp(5),
            lookback: Duration::from_hours(1),
            send: TimestampForm::Iso,
        };
        assert_eq!(
            starting_value(&incremental, None),
            CursorValue::Timestamp(5)
        );
        let seen = Some(CursorValue::Timestamp(MOMENT));
        assert_eq!(
            starting_value(&incremental, seen),
            CursorValue::Timestamp(MOMENT - 3_600_000)
        );
        assert_eq!(
            starting_value(&incremental, Some(CursorValue::Number(7))),
            CursorValue::Number(7)
        );
    }

    #[test]
    fn timestamps_are_written_as_the_definition_says() {
        let value = CursorValue::Timestamp(MOMENT);
        assert_eq!(
            parameter(&value, TimestampForm::Iso),
            "2018-02-07T01:29:56.303Z"
        );
        assert_eq!(parameter(&value, TimestampForm::EpochS), "1517966996");
        assert_eq!(parameter(&value, TimestampForm::EpochMs), "1517966996303");
        assert_eq!(
            parameter(&CursorValue::Timestamp(-1), TimestampForm::EpochS),
            "-1"
        );
        assert_eq!(parameter(&CursorValue::Number(9), TimestampForm::Iso), "9");
    }
}
