//! Days and moments from ISO 8601 text.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::Offset;

/// A moment in microseconds since 1970. Text without an offset means UTC; a day means its first moment.
pub fn micros(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Some(moment.as_microsecond());
    }
    let local: DateTime = text.parse().ok()?;
    Some(Offset::UTC.to_timestamp(local).ok()?.as_microsecond())
}

/// A day in days since 1970.
pub fn days(text: &str) -> Option<i32> {
    let date: Date = text.trim().parse().ok()?;
    let midnight = Offset::UTC.to_timestamp(date.at(0, 0, 0, 0)).ok()?;
    i32::try_from(midnight.as_second().div_euclid(86_400)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_in_utc() {
        let noon = Some(1_767_268_800_000_000);
        assert_eq!(micros("2026-01-01T12:00:00Z"), noon);
        assert_eq!(micros("2026-01-01T14:00:00+02:00"), noon);
        assert_eq!(micros("2026-01-01 12:00:00"), noon);
        assert_eq!(
            micros("2026-01-01T12:00:00.000001Z"),
            noon.map(|noon| noon + 1)
        );
        assert_eq!(micros("2026-01-01"), Some(1_767_225_600_000_000));
        assert_eq!(micros("yesterday"), None);
    }

    #[test]
    fn days_are_counted_from_1970() {
        assert_eq!(days("1970-01-02"), Some(1));
        assert_eq!(days("1969-12-31"), Some(-1));
        assert_eq!(days("2026-01-01"), Some(20_454));
        assert_eq!(days("2026-02-30"), None);
    }
}
