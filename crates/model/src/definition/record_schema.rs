//! JSON Schema for records: the part of draft 2020-12 that says what a record looks like. A keyword that is not checked is
//! refused, so that no schema seems to hold that was never looked at.

mod check;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use serde_json::Value;
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
        check::broken_by(&self.0, record, patterns)
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
