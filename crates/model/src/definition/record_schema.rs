//! JSON Schema for records: the part of draft 2020-12 that says what a record looks like. A keyword that is not checked is
//! refused, so that no schema seems to hold that was never looked at.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::HashMap;

/// The keywords that are checked.
const CHECKED: [&str; 25] = [
    "type",
    "enum",
    "const",
    "required",
    "properties",
    "additionalProperties",
    "minProperties",
    "maxProperties",
    "items",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minLength",
    "maxLength",
    "pattern",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "patternProperties",
];
/// The keywords that say nothing which could be broken.
const SILENT: [&str; 9] = [
    "$schema",
    "$id",
    "$comment",
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "format",
];
/// The names of types.
const TYPES: [&str; 7] = [
    "string", "number", "integer", "boolean", "object", "array", "null",
];
/// How deep a schema may be.
const DEPTH: usize = 32;

/// A JSON Schema whose every keyword is checked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RecordSchema(Value);

/// Where a schema is not one that can be checked, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaFault {
    /// The keywords that lead there.
    pub at: Vec<String>,
    /// What is wrong.
    pub what: String,
}

impl RecordSchema {
    /// The schema, if all of it can be checked.
    pub fn new(schema: Value) -> Result<Self, SchemaFault> {
        review(&schema, &mut Vec::new())?;
        Ok(Self(schema))
    }

    /// Its regular expressions, ready to match many records.
    pub fn patterns(&self) -> Patterns {
        let mut patterns = Patterns::default();
        patterns.gather(&self.0);
        patterns
    }

    /// Says where a record is not as the schema says, and what it should be; nothing where it is. `patterns` are its own.
    pub fn broken_by(&self, record: &Value, patterns: &Patterns) -> Option<(String, String)> {
        let mut look = Look {
            patterns,
            path: Vec::new(),
        };
        check(&self.0, record, &mut look).err()
    }
}

/// The regular expressions of a schema.
#[derive(Clone, Debug, Default)]
pub struct Patterns(HashMap<String, regex_lite::Regex>);

impl Patterns {
    /// Takes whatever may be a regular expression; one too many does no harm.
    fn gather(&mut self, schema: &Value) {
        match schema {
            Value::Object(fields) => {
                for (name, value) in fields {
                    self.add(value.as_str().filter(|_| name == "pattern"));
                    self.gather(value);
                    if name == "patternProperties" {
                        let names = value.as_object().into_iter().flatten();
                        names.for_each(|(name, _)| self.add(Some(name)));
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.gather(item)),
            _ => {}
        }
    }

    fn add(&mut self, text: Option<&str>) {
        if let Some(text) = text
            && let Ok(made) = pattern(text)
        {
            self.0.insert(text.to_owned(), made);
        }
    }

    fn is_match(&self, pattern: &str, text: &str) -> bool {
        self.0.get(pattern).is_some_and(|made| made.is_match(text))
    }
}

fn fault(at: &[String], what: impl Into<String>) -> SchemaFault {
    SchemaFault {
        at: at.to_vec(),
        what: what.into(),
    }
}

fn review(schema: &Value, at: &mut Vec<String>) -> Result<(), SchemaFault> {
    if at.len() > DEPTH {
        return Err(fault(at, "it is nested too deep"));
    }
    let keywords = match schema {
        Value::Bool(_) => return Ok(()),
        Value::Object(keywords) => keywords,
        _ => return Err(fault(at, "a schema is a mapping, `true` or `false`")),
    };
    for (keyword, value) in keywords {
        at.push(keyword.clone());
        review_keyword(keyword, value, at)?;
        at.pop();
    }
    Ok(())
}

fn review_keyword(keyword: &str, value: &Value, at: &mut Vec<String>) -> Result<(), SchemaFault> {
    match keyword {
        "items" | "additionalProperties" | "not" => review(value, at),
        "properties" | "patternProperties" => {
            let Some(schemas) = value.as_object() else {
                return Err(fault(at, "a mapping of names to schemas is wanted"));
            };
            for (name, schema) in schemas {
                at.push(name.clone());
                if keyword == "patternProperties" {
                    pattern(name).map_err(|what| fault(at, what))?;
                }
                review(schema, at)?;
                at.pop();
            }
            Ok(())
        }
        "allOf" | "anyOf" | "oneOf" => {
            let Some(schemas) = value.as_array().filter(|schemas| !schemas.is_empty()) else {
                return Err(fault(at, "a list of schemas is wanted"));
            };
            for (index, schema) in schemas.iter().enumerate() {
                at.push(index.to_string());
                review(schema, at)?;
                at.pop();
            }
            Ok(())
        }
        "type" => match words(value) {
            Some(names) if names.iter().all(|name| TYPES.contains(name)) => Ok(()),
            _ => Err(fault(at, format!("a type is one of {}", TYPES.join(", ")))),
        },
        "required" => match words(value) {
            Some(_) if value.is_array() => Ok(()),
            _ => Err(fault(at, "a list of names is wanted")),
        },
        "enum" if !value.is_array() => Err(fault(at, "a list of values is wanted")),
        "pattern" => match value.as_str() {
            Some(text) => pattern(text).map(drop).map_err(|what| fault(at, what)),
            None => Err(fault(at, "a regular expression is wanted")),
        },
        "minLength" | "maxLength" | "minItems" | "maxItems" | "minProperties" | "maxProperties"
            if !value.is_u64() =>
        {
            Err(fault(at, "a whole number is wanted"))
        }
        "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" if !value.is_number() => {
            Err(fault(at, "a number is wanted"))
        }
        "multipleOf" if value.as_f64().is_none_or(|of| of <= 0.0) => {
            Err(fault(at, "a number above 0 is wanted"))
        }
        "uniqueItems" if !value.is_boolean() => Err(fault(at, "`true` or `false` is wanted")),
        _ if CHECKED.contains(&keyword) || SILENT.contains(&keyword) => Ok(()),
        _ => Err(fault(
            at,
            format!(
                "that keyword is not checked; those that are: {}",
                CHECKED.join(", ")
            ),
        )),
    }
}

fn words(value: &Value) -> Option<Vec<&str>> {
    match value {
        Value::String(word) => Some(vec![word]),
        Value::Array(words) => words.iter().map(Value::as_str).collect(),
        _ => None,
    }
}

/// A regular expression, which is matched in time that grows with the text alone.
pub fn pattern(text: &str) -> Result<regex_lite::Regex, String> {
    regex_lite::RegexBuilder::new(text)
        .size_limit(1024 * 1024)
        .build()
        .map_err(|error| format!("that is no regular expression: {error}"))
}

type Broken = (String, String);

/// Where in a record a check is.
struct Look<'a> {
    patterns: &'a Patterns,
    path: Vec<String>,
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn broken_by(schema: Value, record: &Value) -> Option<String> {
        let schema = RecordSchema::new(schema).expect("a schema");
        schema
            .broken_by(record, &schema.patterns())
            .map(|(at, what)| format!("{at}: {what}"))
    }

    #[test]
    fn a_record_is_held_to_its_schema() {
        let schema = json!({
            "type": "object",
            "required": ["id"],
            "additionalProperties": false,
            "properties": {
                "id": { "type": "integer", "minimum": 1 },
                "mail": { "type": ["string", "null"], "pattern": "^[^@]+@[^@]+$", "maxLength": 20 },
                "lines": { "type": "array", "maxItems": 2, "items": { "type": "object", "required": ["sku"] } },
                "kind": { "enum": ["a", 2] },
            },
        });
        for (record, expected) in [
            (
                json!({"id": 1, "mail": "a@b", "lines": [{"sku": 1}], "kind": 2.0}),
                None,
            ),
            (json!({"id": 1.0, "mail": null}), None),
            (json!([]), Some(": it is no object")),
            (json!({}), Some(": `id` is missing")),
            (json!({"id": 0}), Some("id: it is less than 1")),
            (json!({"id": 1.5}), Some("id: it is no integer")),
            (
                json!({"id": 1, "mail": "x"}),
                Some("mail: it does not match ^[^@]+@[^@]+$"),
            ),
            (
                json!({"id": 1, "lines": [{"sku": 1}, {}]}),
                Some("lines.1: `sku` is missing"),
            ),
            (
                json!({"id": 1, "lines": [{"sku": 1}, {"sku": 1}, {"sku": 1}]}),
                Some("lines: it has too many elements"),
            ),
            (
                json!({"id": 1, "kind": "b"}),
                Some("kind: it is none of the allowed values"),
            ),
            (json!({"id": 1, "new": 1}), Some("new: it may not be there")),
        ] {
            assert_eq!(
                broken_by(schema.clone(), &record).as_deref(),
                expected,
                "{record}"
            );
        }
    }

    #[test]
    fn schemas_are_combined() {
        let schema =
            json!({ "oneOf": [{ "multipleOf": 3 }, { "multipleOf": 5 }], "not": { "const": 9 } });
        assert_eq!(broken_by(schema.clone(), &json!(3)), None);
        assert_eq!(
            broken_by(schema.clone(), &json!(9)).as_deref(),
            Some(": what `not` says holds")
        );
        assert_eq!(
            broken_by(schema, &json!(15)).as_deref(),
            Some(": of `oneOf` 2 hold, and not one")
        );
        let any = json!({ "anyOf": [{ "type": "string" }, { "type": "null" }] });
        assert_eq!(
            broken_by(any, &json!(1)).as_deref(),
            Some(": none of `anyOf` holds")
        );
    }

    #[test]
    fn what_is_not_checked_is_refused() {
        for (schema, at) in [
            (
                json!({ "properties": { "a": { "$ref": "#/x" } } }),
                "properties.a.$ref",
            ),
            (json!({ "type": "text" }), "type"),
            (json!({ "items": { "pattern": "(" } }), "items.pattern"),
            (json!({ "required": "id" }), "required"),
            (json!({ "minLength": -1 }), "minLength"),
            (json!({ "allOf": [] }), "allOf"),
            (json!("string"), ""),
        ] {
            let fault = RecordSchema::new(schema.clone()).expect_err("refused");
            assert_eq!(fault.at.join("."), at, "{schema}");
        }
    }
}
