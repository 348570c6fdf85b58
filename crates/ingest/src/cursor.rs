//! The incremental field: read from records, and written into requests.

use crate::scan::Scalar;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::fmt::strtime::{self, BrokenDownTime};
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
}

/// Reads the incremental field.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    kind: CursorKind,
    /// The form of timestamps, where it is the source's own.
    form: Option<String>,
    /// The zone of timestamps that tell none.
    zone: TimeZone,
}

impl From<CursorKind> for Reader {
    fn from(kind: CursorKind) -> Self {
        Self {
            kind,
            form: None,
            zone: TimeZone::UTC,
        }
    }
}

impl Reader {
    pub(crate) fn of(incremental: &Incremental) -> Self {
        Self {
            kind: CursorKind::of(&incremental.start),
            form: incremental.read.clone(),
            zone: zone(incremental),
        }
    }

    /// The value that a record's field holds; none where it holds no such value.
    pub(crate) fn read(&self, scalar: &Scalar<'_>) -> Option<CursorValue> {
        use CursorKind::{Number, Text, Timestamp};
        match (self.kind, scalar) {
            (Timestamp, Scalar::Text(text) | Scalar::Number(text)) if self.form.is_some() => {
                self.own(text).map(CursorValue::Timestamp)
            }
            (Timestamp, Scalar::Text(text)) => self.timestamp(text).map(CursorValue::Timestamp),
            (Timestamp, Scalar::Number(text)) => epoch(text).map(CursorValue::Timestamp),
            (Number, Scalar::Text(text) | Scalar::Number(text)) => {
                whole(text).map(CursorValue::Number)
            }
            (Text, Scalar::Text(text) | Scalar::Number(text)) => {
                Some(CursorValue::Text((*text).to_owned()))
            }
            (_, Scalar::Bool(_) | Scalar::Null) => None,
        }
    }

    /// What is expected of the field, for messages.
    pub(crate) fn expectation(&self) -> String {
        match (self.kind, &self.form) {
            (CursorKind::Timestamp, Some(form)) => format!("a timestamp of the form `{form}`"),
            (CursorKind::Timestamp, None) => {
                "a timestamp: ISO 8601 text, or seconds or milliseconds since 1970".to_owned()
            }
            (CursorKind::Number, _) => "a whole number".to_owned(),
            (CursorKind::Text, _) => "text".to_owned(),
        }
    }

    fn timestamp(&self, text: &str) -> Option<i64> {
        let text = text.trim();
        if let Ok(timestamp) = text.parse::<Timestamp>() {
            return Some(timestamp.as_millisecond());
        }
        let civil = text
            .parse::<DateTime>()
            .or_else(|_| text.parse::<Date>().map(DateTime::from));
        match civil {
            Ok(civil) => self.moment(civil),
            Err(_) => epoch(text),
        }
    }

    fn own(&self, text: &str) -> Option<i64> {
        let read = BrokenDownTime::parse(self.form.as_deref()?, text.trim()).ok()?;
        if let Ok(timestamp) = read.to_timestamp() {
            return Some(timestamp.as_millisecond());
        }
        let civil = read
            .to_datetime()
            .or_else(|_| read.to_date().map(DateTime::from));
        self.moment(civil.ok()?)
    }

    fn moment(&self, civil: DateTime) -> Option<i64> {
        let zoned = civil.to_zoned(self.zone.clone()).ok()?;
        Some(zoned.timestamp().as_millisecond())
    }
}

/// The zone of timestamps that tell none. That there is such a zone was checked with the definition; where this machine
/// does not know it, UTC at least does not move.
fn zone(incremental: &Incremental) -> TimeZone {
    let name = incremental.timezone.as_deref();
    name.and_then(|name| TimeZone::get(name).ok())
        .unwrap_or(TimeZone::UTC)
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
pub(crate) fn parameter(value: &CursorValue, incremental: &Incremental) -> String {
    match (value, &incremental.send) {
        (CursorValue::Timestamp(millis), TimestampForm::EpochMs) => millis.to_string(),
        (CursorValue::Timestamp(millis), TimestampForm::EpochS) => {
            millis.div_euclid(1_000).to_string()
        }
        (CursorValue::Timestamp(millis), TimestampForm::Iso) => {
            let timestamp = Timestamp::from_millisecond(*millis).unwrap_or(Timestamp::MIN);
            timestamp.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
        }
        (CursorValue::Timestamp(millis), TimestampForm::Own(form)) => {
            let timestamp = Timestamp::from_millisecond(*millis).unwrap_or(Timestamp::MIN);
            let zoned = timestamp.to_zoned(zone(incremental));
            // That a moment can be written so was checked with the definition.
            strtime::format(form, &zoned).unwrap_or_default()
        }
        (CursorValue::Number(number), _) => number.to_string(),
        (CursorValue::Text(text) | CursorValue::Token(text), _) => text.clone(),
    }
}

/// Until when a run asks that began at `now`, which is in milliseconds since 1970, and is to go no further than `to`.
pub(crate) fn until(
    incremental: &Incremental,
    now: i64,
    to: Option<&CursorValue>,
) -> Option<CursorValue> {
    match (CursorKind::of(&incremental.start), to) {
        (CursorKind::Timestamp, Some(CursorValue::Timestamp(to))) => {
            Some(CursorValue::Timestamp(now.min(*to)))
        }
        (CursorKind::Timestamp, _) => Some(CursorValue::Timestamp(
            now.saturating_sub(whole_millis(incremental.lag)),
        )),
        (_, to) => to.cloned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_model::definition::FieldPath;

    fn incremental(send: TimestampForm) -> Incremental {
        Incremental {
            field: FieldPath("updated".to_owned()),
            param: Some("since".to_owned()),
            start: CursorValue::Timestamp(5),
            lookback: Duration::ZERO,
            end_param: None,
            lag: Duration::ZERO,
            read: None,
            timezone: None,
            send,
        }
    }

    const MOMENT: i64 = 1_517_966_996_303;

    #[test]
    fn timestamps_are_read_from_text_seconds_and_milliseconds() {
        let read = |scalar| Reader::from(CursorKind::Timestamp).read(&scalar);
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
            Reader::from(CursorKind::Number).read(&Scalar::Number("42")),
            Some(CursorValue::Number(42))
        );
        assert_eq!(
            Reader::from(CursorKind::Number).read(&Scalar::Text("42")),
            Some(CursorValue::Number(42))
        );
        assert_eq!(
            Reader::from(CursorKind::Number).read(&Scalar::Number("4.2")),
            None
        );
        assert_eq!(
            Reader::from(CursorKind::Text).read(&Scalar::Text("b7")),
            Some(CursorValue::Text("b7".to_owned()))
        );
    }

    #[test]
    fn a_run_starts_a_lookback_before_what_was_seen_and_the_first_one_where_it_is_told() {
        let incremental = Incremental {
            lookback: Duration::from_hours(1),
            ..incremental(TimestampForm::Iso)
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
        let written = |millis, form| parameter(&CursorValue::Timestamp(millis), &incremental(form));
        let own = |form: &str| TimestampForm::Own(form.to_owned());
        assert_eq!(
            written(MOMENT, TimestampForm::Iso),
            "2018-02-07T01:29:56.303Z"
        );
        assert_eq!(written(MOMENT, TimestampForm::EpochS), "1517966996");
        assert_eq!(written(MOMENT, TimestampForm::EpochMs), "1517966996303");
        assert_eq!(written(-1, TimestampForm::EpochS), "-1");
        assert_eq!(written(MOMENT, own("%d/%m/%Y %H:%M")), "07/02/2018 01:29");
        let berlin = Incremental {
            timezone: Some("Europe/Berlin".to_owned()),
            ..incremental(own("%Y-%m-%dT%H:%M:%S%:z"))
        };
        let summer = CursorValue::Timestamp(1_530_000_000_000);
        assert_eq!(parameter(&summer, &berlin), "2018-06-26T10:00:00+02:00");
        assert_eq!(
            parameter(&CursorValue::Number(9), &incremental(TimestampForm::Iso)),
            "9"
        );
    }

    #[test]
    fn timestamps_are_read_in_the_sources_own_form_and_zone() {
        let reader = |read: Option<&str>| {
            Reader::of(&Incremental {
                read: read.map(ToOwned::to_owned),
                timezone: Some("Europe/Berlin".to_owned()),
                ..incremental(TimestampForm::Iso)
            })
        };
        let midnight = 1_530_000_000_000 - 10 * 3_600_000;
        for (form, text, millis) in [
            (None, "2018-06-26T10:00:00", 1_530_000_000_000),
            (None, "2018-06-26T10:00:00Z", 1_530_007_200_000),
            (None, "2018-06-26", midnight),
            (
                Some("%d.%m.%Y %H:%M"),
                "26.06.2018 10:00",
                1_530_000_000_000,
            ),
            (Some("%d.%m.%Y"), " 26.06.2018 ", midnight),
            (
                Some("%Y%m%d%H%M%S %z"),
                "20180626080000 +0000",
                1_530_000_000_000,
            ),
            (Some("/Date(%s)/"), "/Date(1530000000)/", 1_530_000_000_000),
        ] {
            let value = reader(form).read(&Scalar::Text(text));
            assert_eq!(value, Some(CursorValue::Timestamp(millis)), "{text}");
        }
        let other = reader(Some("%d.%m.%Y")).read(&Scalar::Text("2018-06-26"));
        assert_eq!(other, None);
    }

    #[test]
    fn a_run_asks_until_a_lag_before_it_began_or_to_the_end_of_its_range() {
        let lagging = Incremental {
            lag: Duration::from_mins(1),
            ..incremental(TimestampForm::Iso)
        };
        let at = |millis| Some(CursorValue::Timestamp(millis));
        assert_eq!(until(&lagging, 100_000, None), at(40_000));
        assert_eq!(until(&lagging, 100_000, at(70_000).as_ref()), at(70_000));
        assert_eq!(until(&lagging, 100_000, at(700_000).as_ref()), at(100_000));
    }
}
