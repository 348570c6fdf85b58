//! Days and moments in JSON, as RFC 3339 has them.

use std::io::Write as _;

const MICROS_A_DAY: i64 = 86_400_000_000;

/// A day since 1970; null where it is infinite, or not one of the years 0000 to 9999 that RFC 3339 has.
pub fn date(days: i64, out: &mut Vec<u8>) -> Option<()> {
    let Some((year, month, day)) = civil(days) else {
        out.extend_from_slice(b"null");
        return Some(());
    };
    write!(out, "\"{year:04}-{month:02}-{day:02}\"").ok()
}

/// A moment since 1970, with what stands for its time zone; null as above.
pub fn timestamp(micros: i64, zone: &str, out: &mut Vec<u8>) -> Option<()> {
    let days = micros.div_euclid(MICROS_A_DAY);
    let Some((year, month, day)) = civil(days) else {
        out.extend_from_slice(b"null");
        return Some(());
    };
    write!(out, "\"{year:04}-{month:02}-{day:02}T").ok()?;
    time(micros.rem_euclid(MICROS_A_DAY), out)?;
    out.extend_from_slice(zone.as_bytes());
    out.push(b'"');
    Some(())
}

/// A time of day, with as many digits behind the second as it needs: none, three or six.
pub fn time(micros: i64, out: &mut Vec<u8>) -> Option<()> {
    let (seconds, micros) = (micros / 1_000_000, micros % 1_000_000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    write!(out, "{hour:02}:{minute:02}:{second:02}").ok()?;
    match micros {
        0 => Some(()),
        _ if micros % 1000 == 0 => write!(out, ".{:03}", micros / 1000).ok(),
        _ => write!(out, ".{micros:06}").ok(),
    }
}

/// Year, month and day of a day since 1970 in the Gregorian calendar (Howard Hinnant's `civil_from_days`).
fn civil(days: i64) -> Option<(i64, i64, i64)> {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (0..=9999).contains(&year).then_some((year, month, day))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_four_centuries_is_itself() {
        let mut day = jiff::civil::date(1800, 1, 1);
        let mut number = -62_091;
        while day.year() < 2200 {
            let expected = (
                i64::from(day.year()),
                i64::from(day.month()),
                i64::from(day.day()),
            );
            assert_eq!(civil(number), Some(expected));
            day = day.tomorrow().unwrap();
            number += 1;
        }
    }
}
