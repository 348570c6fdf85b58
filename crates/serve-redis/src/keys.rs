//! Which keys a request means.

use crate::plan::Plan;
use millrace_redis::ColumnType;
use millrace_serve::source::{Asked, Decimal, Value, timestamp};
use std::collections::HashSet;

/// The keys that a request's parameters make, each once, in the order in which the values were sent. A value that no row
/// can have makes none.
pub fn of(asked: &Asked<'_>, plan: &Plan) -> Vec<String> {
    let bound = &asked.route.bound;
    let values = asked.arguments.bound(bound);
    let kinds: Vec<Option<ColumnType>> = bound.iter().map(|name| plan.kind(name)).collect();
    let list = values
        .iter()
        .position(|value| matches!(value, Value::List(_)));
    let parts = |member: Option<&Value>| -> Option<String> {
        let parts = values.iter().zip(&kinds).map(|(value, kind)| {
            let value = match value {
                Value::List(_) => member?,
                value => value,
            };
            part(value, (*kind)?)
        });
        let parts: Vec<String> = parts.collect::<Option<_>>()?;
        let key = &plan.published.layout.key;
        key.key(parts.iter().map(String::as_str))
    };
    match list.map(|at| values[at]) {
        Some(Value::List(members)) => {
            let mut seen = HashSet::new();
            let keys = members.iter().filter_map(|member| parts(Some(member)));
            keys.filter(|key| seen.insert(key.clone())).collect()
        }
        _ => parts(None).into_iter().collect(),
    }
}

/// A value as publish writes those of its column into keys; none where no row can have it.
fn part(value: &Value, kind: ColumnType) -> Option<String> {
    Some(match (value, kind) {
        (Value::Decimal(text), ColumnType::Decimal { scale, .. }) => scaled(text, scale)?,
        (Value::Int(number), ColumnType::Decimal { scale, .. }) => {
            scaled(&number.to_string(), scale)?
        }
        (Value::Decimal(text), ColumnType::Int) => scaled(text, 0)?,
        (Value::Int(number), _) => number.to_string(),
        // PostgreSQL has no character of code 0, and publish wrote another one in its place.
        (Value::Text(text), _) if text.contains('\0') => return None,
        (Value::Text(text) | Value::Decimal(text), _) => text.clone(),
        (Value::Bool(value), _) => value.to_string(),
        (Value::Uuid(uuid), _) => uuid.hyphenated().to_string(),
        (Value::Date(date), _) => date.to_string(),
        (Value::Timestamp(at), kind) => {
            let zone = if kind == ColumnType::LocalTimestamp {
                ""
            } else {
                "Z"
            };
            let mut quoted = Vec::with_capacity(32);
            timestamp(at.as_microsecond(), zone, &mut quoted)?;
            let text = String::from_utf8(quoted).ok()?;
            text.trim_matches('"').to_owned()
        }
        (Value::Null | Value::Double(_) | Value::List(_), _) => return None,
    })
}

/// A decimal number with that many digits behind the point.
fn scaled(text: &str, scale: i8) -> Option<String> {
    let value = Decimal::parse(text)?.scaled(scale)?;
    let behind = usize::try_from(scale).ok()?;
    let sign = if value < 0 { "-" } else { "" };
    let digits = format!("{:0>width$}", value.unsigned_abs(), width = behind + 1);
    let (whole, fraction) = digits.split_at(digits.len() - behind);
    let point = if behind == 0 { "" } else { "." };
    Some(format!("{sign}{whole}{point}{fraction}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_written_as_their_column_has_them() {
        for (text, scale, expected) in [
            ("12.5", 2, Some("12.50")),
            ("-0.05", 2, Some("-0.05")),
            ("5e-2", 2, Some("0.05")),
            ("7", 0, Some("7")),
            ("7.0", 0, Some("7")),
            ("-0", 2, Some("0.00")),
            ("12.505", 2, None),
            ("x", 2, None),
        ] {
            assert_eq!(scaled(text, scale).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn values_are_written_as_publish_writes_them() {
        let at = "2026-11-21T08:00:00.5Z".parse().unwrap();
        for (value, kind, expected) in [
            (Value::Int(-7), ColumnType::Text, Some("-7")),
            (Value::Bool(true), ColumnType::Bool, Some("true")),
            (
                Value::Timestamp(at),
                ColumnType::Timestamp,
                Some("2026-11-21T08:00:00.500Z"),
            ),
            (
                Value::Timestamp(at),
                ColumnType::LocalTimestamp,
                Some("2026-11-21T08:00:00.500"),
            ),
            (
                Value::Date(jiff::civil::date(2026, 11, 21)),
                ColumnType::Date,
                Some("2026-11-21"),
            ),
            (Value::Text("a\0".to_owned()), ColumnType::Text, None),
            (Value::Null, ColumnType::Text, None),
        ] {
            assert_eq!(part(&value, kind).as_deref(), expected, "{value:?}");
        }
    }
}
