//! Values that are shared by many, in the place of those that tell who is meant.

use millrace_model::definition::personal_data::Generalisation;
use serde_json::Value;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How much of a value is looked at: more than any day, number, address or prefix has.
pub(super) const LOOKED_AT: usize = 512;

/// What a value becomes, as JSON. `is_text` says whether it stood in quotes; `is_whole`, whether all of it is there.
pub(super) fn generalised(
    generalisation: Generalisation,
    value: &[u8],
    is_text: bool,
    is_whole: bool,
) -> Value {
    // What was cut may end within a character.
    let text = match std::str::from_utf8(value) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&value[..error.valid_up_to()]).unwrap_or_default(),
    };
    let coarser = match generalisation {
        Generalisation::Prefix(characters) => {
            let prefix: String = text.chars().take(usize::from(characters)).collect();
            Some(Value::from(prefix))
        }
        _ if !is_whole => None,
        Generalisation::Year => day(text).map(|(year, _)| format!("{year}-01-01").into()),
        Generalisation::Month => day(text).map(|(year, month)| format!("{year}-{month}-01").into()),
        Generalisation::Bucket(width) => bucket(text.trim(), width).map(|number| {
            // A number in quotes stays one in quotes.
            if is_text {
                number.to_string().into()
            } else {
                number
            }
        }),
        Generalisation::Network => network(text.trim()).map(Value::from),
    };
    coarser.unwrap_or(Value::Null)
}

/// The year and the month of ISO 8601's days and moments.
fn day(text: &str) -> Option<(&str, &str)> {
    let day = text.get(..10).filter(|day| day.is_ascii())?;
    let rest = &text[10..];
    let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let (year, month) = (&day[..4], &day[5..7]);
    let reads = is_digits(year)
        && is_digits(month)
        && is_digits(&day[8..])
        && day.as_bytes()[4] == b'-'
        && day.as_bytes()[7] == b'-'
        && ("01"..="12").contains(&month)
        && (rest.is_empty() || rest.starts_with(['T', 't', ' ']));
    reads.then_some((year, month))
}

fn bucket(text: &str, width: u64) -> Option<Value> {
    if let Ok(number) = text.parse::<i64>() {
        let width = i64::try_from(width).ok()?;
        return number.div_euclid(width).checked_mul(width).map(Value::from);
    }
    let number: f64 = text.parse().ok()?;
    let least = (number / width as f64).floor() * width as f64;
    // Beyond 2^53 a double tells whole numbers apart no longer, and so says more than the bucket.
    (least.abs() <= 9_007_199_254_740_992.0).then(|| Value::from(least as i64))
}

fn network(text: &str) -> Option<String> {
    Some(match text.parse().ok()? {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            Ipv4Addr::new(a, b, c, 0).to_string()
        }
        IpAddr::V6(address) => {
            let [a, b, c, ..] = address.segments();
            Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0).to_string()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_become_those_of_many_or_nothing() {
        use Generalisation::{Bucket, Month, Network, Prefix, Year};
        for (generalisation, value, is_text, expected) in [
            (Year, "1984-05-17", true, json!("1984-01-01")),
            (
                Month,
                "1984-05-17T08:30:00+02:00",
                true,
                json!("1984-05-01"),
            ),
            (Year, "17.05.1984", true, Value::Null),
            (Year, "1984-05-17x", true, Value::Null),
            (Month, "1984-13-17", true, Value::Null),
            (Year, "1984", false, Value::Null),
            (Year, "198ä-05-17", true, Value::Null),
            (Prefix(3), "10115", true, json!("101")),
            (Prefix(3), "10115", false, json!("101")),
            (Prefix(2), "äöü", true, json!("äö")),
            (Bucket(1000), "52340", false, json!(52000)),
            (Bucket(1000), "-1", false, json!(-1000)),
            (Bucket(10), "37.9", false, json!(30)),
            (Bucket(10), "37.9", true, json!("30")),
            (Bucket(10), "1e300", false, Value::Null),
            (Bucket(10), "many", true, Value::Null),
            (Network, "192.0.2.77", true, json!("192.0.2.0")),
            (Network, "2001:db8:1:2::3", true, json!("2001:db8:1::")),
            (Network, "here", true, Value::Null),
        ] {
            let found = generalised(generalisation, value.as_bytes(), is_text, true);
            assert_eq!(found, expected, "{generalisation:?} {value}");
        }
        let cut = generalised(Network, b"192.0.2.7", true, false);
        assert_eq!(cut, Value::Null);
    }
}
