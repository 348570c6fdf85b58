//! A record, held to a schema.

use super::{Patterns, words};
use serde_json::{Map, Value};

/// Where in a record, and what it should be there.
type Broken = (String, String);

/// Where in a record a check is.
struct Look<'a> {
    patterns: &'a Patterns,
    path: Vec<String>,
}

/// Holds a record to a schema whose regular expressions those are.
pub(super) fn broken_by(schema: &Value, record: &Value, patterns: &Patterns) -> Option<Broken> {
    let mut look = Look {
        patterns,
        path: Vec::new(),
    };
    check(schema, record, &mut look).err()
}

fn broken<T>(at: &Look<'_>, what: impl Into<String>) -> Result<T, Broken> {
    Err((at.path.join("."), what.into()))
}

fn check(schema: &Value, value: &Value, at: &mut Look<'_>) -> Result<(), Broken> {
    let keywords = match schema {
        Value::Bool(false) => return broken(at, "it may not be there"),
        Value::Object(keywords) => keywords,
        _ => return Ok(()),
    };
    for (keyword, limit) in keywords {
        check_keyword(keywords, keyword, limit, value, at)?;
    }
    Ok(())
}

fn check_keyword(
    keywords: &Map<String, Value>,
    keyword: &str,
    limit: &Value,
    value: &Value,
    at: &mut Look<'_>,
) -> Result<(), Broken> {
    let fails = |schema: &Value, at: &mut Look<'_>| check(schema, value, at).is_err();
    match (keyword, limit) {
        ("type", _) => {
            let names = words(limit).unwrap_or_default();
            if names.iter().any(|name| is_a(name, value)) {
                return Ok(());
            }
            broken(at, format!("it is no {}", names.join(" or ")))
        }
        ("enum", Value::Array(allowed)) if !allowed.iter().any(|one| same(one, value)) => {
            broken(at, "it is none of the allowed values")
        }
        ("const", _) if !same(limit, value) => broken(at, format!("it is not {limit}")),
        ("allOf", Value::Array(all)) => all.iter().try_for_each(|one| check(one, value, at)),
        ("anyOf", Value::Array(any)) if any.iter().all(|one| fails(one, at)) => {
            broken(at, "none of `anyOf` holds")
        }
        ("oneOf", Value::Array(all)) => match all.iter().filter(|one| !fails(one, at)).count() {
            1 => Ok(()),
            count => broken(at, format!("of `oneOf` {count} hold, and not one")),
        },
        ("not", _) if !fails(limit, at) => broken(at, "what `not` says holds"),
        _ => match value {
            Value::Object(fields) => check_object(keywords, keyword, limit, fields, at),
            Value::Array(items) => check_list(keyword, limit, items, at),
            Value::String(text) => check_text(keyword, limit, text, at),
            Value::Number(_) => check_number(keyword, limit, value, at),
            _ => Ok(()),
        },
    }
}

fn check_object(
    keywords: &Map<String, Value>,
    keyword: &str,
    limit: &Value,
    fields: &Map<String, Value>,
    at: &mut Look<'_>,
) -> Result<(), Broken> {
    let patterns = at.patterns;
    let mut below = |name: &str, schema: &Value| {
        at.path.push(name.to_owned());
        let result = fields
            .get(name)
            .map_or(Ok(()), |field| check(schema, field, at));
        at.path.pop();
        result
    };
    match keyword {
        "required" => {
            let names = words(limit).unwrap_or_default();
            let missing = names.into_iter().find(|name| !fields.contains_key(*name));
            missing.map_or(Ok(()), |name| broken(at, format!("`{name}` is missing")))
        }
        "properties" => {
            let mut schemas = limit.as_object().into_iter().flatten();
            schemas.try_for_each(|(name, schema)| below(name, schema))
        }
        "patternProperties" => {
            for (text, schema) in limit.as_object().into_iter().flatten() {
                for name in fields.keys().filter(|name| patterns.is_match(text, name)) {
                    below(name, schema)?;
                }
            }
            Ok(())
        }
        "additionalProperties" => {
            let declared = |name: &str| {
                let named = keywords.get("properties").and_then(|all| all.get(name));
                let matching = keywords.get("patternProperties").and_then(Value::as_object);
                let mut matching = matching.into_iter().flatten();
                named.is_some() || matching.any(|(text, _)| patterns.is_match(text, name))
            };
            let mut others = fields.keys().filter(|name| !declared(name));
            others.try_for_each(|name| below(name, limit))
        }
        "minProperties" if is_fewer(fields.len(), limit) => broken(at, "it has too few fields"),
        "maxProperties" if is_more(fields.len(), limit) => broken(at, "it has too many fields"),
        _ => Ok(()),
    }
}

fn check_list(
    keyword: &str,
    limit: &Value,
    items: &[Value],
    at: &mut Look<'_>,
) -> Result<(), Broken> {
    match keyword {
        "items" => {
            for (index, item) in items.iter().enumerate() {
                at.path.push(index.to_string());
                check(limit, item, at)?;
                at.path.pop();
            }
            Ok(())
        }
        "minItems" if is_fewer(items.len(), limit) => broken(at, "it has too few elements"),
        "maxItems" if is_more(items.len(), limit) => broken(at, "it has too many elements"),
        "uniqueItems" if *limit == Value::Bool(true) => {
            let mut texts: Vec<String> = items.iter().map(Value::to_string).collect();
            texts.sort_unstable();
            if texts.windows(2).any(|pair| pair[0] == pair[1]) {
                return broken(at, "an element is there more than once");
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn check_text(keyword: &str, limit: &Value, text: &str, at: &mut Look<'_>) -> Result<(), Broken> {
    match keyword {
        "minLength" if is_fewer(text.chars().count(), limit) => broken(at, "it is too short"),
        "maxLength" if is_more(text.chars().count(), limit) => broken(at, "it is too long"),
        "pattern" => {
            let wanted = limit.as_str().unwrap_or_default();
            if at.patterns.is_match(wanted, text) {
                return Ok(());
            }
            broken(at, format!("it does not match {wanted}"))
        }
        _ => Ok(()),
    }
}

fn check_number(
    keyword: &str,
    limit: &Value,
    value: &Value,
    at: &mut Look<'_>,
) -> Result<(), Broken> {
    let (Some(number), Some(bound)) = (value.as_f64(), limit.as_f64()) else {
        return Ok(());
    };
    match keyword {
        "minimum" if number < bound => broken(at, format!("it is less than {limit}")),
        "maximum" if number > bound => broken(at, format!("it is more than {limit}")),
        "exclusiveMinimum" if number <= bound => broken(at, format!("it is not more than {limit}")),
        "exclusiveMaximum" if number >= bound => broken(at, format!("it is not less than {limit}")),
        "multipleOf" => {
            let times = number / bound;
            if (times - times.round()).abs() <= 1e-9 * times.abs().max(1.0) {
                return Ok(());
            }
            broken(at, format!("it is no multiple of {limit}"))
        }
        _ => Ok(()),
    }
}

fn is_fewer(count: usize, least: &Value) -> bool {
    least.as_u64().is_some_and(|least| (count as u64) < least)
}

fn is_more(count: usize, most: &Value) -> bool {
    most.as_u64().is_some_and(|most| count as u64 > most)
}

fn is_a(name: &str, value: &Value) -> bool {
    match (name, value) {
        ("string", Value::String(_))
        | ("number", Value::Number(_))
        | ("boolean", Value::Bool(_))
        | ("object", Value::Object(_))
        | ("array", Value::Array(_))
        | ("null", Value::Null) => true,
        // `1.0` is an integer, as JSON Schema has it.
        ("integer", Value::Number(number)) => {
            number.is_i64()
                || number.is_u64()
                || number.as_f64().is_some_and(|at| at.fract() == 0.0)
        }
        _ => false,
    }
}

/// `1` and `1.0` are one number.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(_), Value::Number(_)) => one.as_f64() == other.as_f64(),
        _ => one == other,
    }
}
