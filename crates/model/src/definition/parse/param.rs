//! Wire parameter → parameter.

use super::value;
use crate::definition::endpoint::{Param, ParamType};
use crate::definition::problem::{Path, Review};
use crate::definition::wire::endpoint::ParamForm;
use serde_json::Value;

/// Parameters by which every list is paged.
const RESERVED: [&str; 2] = ["limit", "cursor"];

pub(super) fn validate(
    form: ParamForm,
    in_path: bool,
    at: &Path,
    review: &mut Review<'_, '_>,
) -> Param {
    review.accept(&at.field("name"), value::identifier(&form.name));
    review.require(
        !RESERVED.contains(&form.name.as_str()),
        &at.field("name"),
        || {
            format!(
                "`{}` is the parameter by which every answer is paged; take another name",
                form.name
            )
        },
    );
    if in_path {
        review.require(form.required != Some(false), &at.field("required"), || {
            "a parameter of the path is always required; leave this out".to_owned()
        });
        review.require(form.default.is_none(), &at.field("default"), || {
            "a parameter of the path is always there; leave the default out".to_owned()
        });
    }
    let required = in_path || form.required == Some(true);
    review.require(
        in_path || !required || form.default.is_none(),
        &at.field("default"),
        || "a parameter is either required or has a default; leave one of them out".to_owned(),
    );

    let is_number = matches!(
        form.kind,
        ParamType::Int | ParamType::Double | ParamType::Decimal
    );
    for (name, bound) in [("min", form.min), ("max", form.max)] {
        review.require(bound.is_none() || is_number, &at.field(name), || {
            format!("`{name}` goes with the types `int`, `double` and `decimal`")
        });
    }
    let is_text = form.kind == ParamType::String;
    for (name, given) in [
        ("enum", !form.one_of.is_empty()),
        ("pattern", form.pattern.is_some()),
        ("min_length", form.min_length.is_some()),
        ("max_length", form.max_length.is_some()),
    ] {
        review.require(!given || is_text, &at.field(name), || {
            format!("`{name}` goes with the type `string`")
        });
    }
    if let Some(pattern) = &form.pattern {
        let read = regex_lite::Regex::new(pattern).map(drop);
        review.accept(
            &at.field("pattern"),
            read.map_err(|error| format!("this is no regular expression: {error}")),
        );
    }
    review.require(
        form.default.is_none() || !form.list,
        &at.field("default"),
        || "a list has no default; where it is absent, NULL is bound".to_owned(),
    );
    if form.claim.is_some() {
        review.require(
            !in_path && form.default.is_none() && !form.list,
            &at.field("claim"),
            || {
                "what is taken from a claim stands in no path, is no list, and has no default"
                    .to_owned()
            },
        );
    }
    if let (Some(min), Some(max)) = (form.min, form.max) {
        review.require(min <= max, &at.field("max"), || {
            "`max` is less than `min`".to_owned()
        });
    }
    if let Some(default) = &form.default {
        review.accept(&at.field("default"), check_default(default, &form));
    }
    Param {
        name: form.name,
        kind: form.kind,
        required,
        default: form.default,
        min: form.min,
        max: form.max,
        list: form.list,
        one_of: form.one_of,
        pattern: form.pattern,
        min_length: form.min_length,
        max_length: form.max_length,
        claim: form.claim,
        description: form.description,
    }
}

fn check_default(default: &Value, form: &ParamForm) -> Result<(), String> {
    let (fits, expected) = match form.kind {
        ParamType::Int => (default.as_i64().is_some(), "a whole number"),
        ParamType::Double => (default.as_f64().is_some(), "a number"),
        ParamType::Decimal => (
            default.as_f64().is_some() || parses(default, |text| text.parse::<f64>().is_ok()),
            "a number, in quotes where it has many digits",
        ),
        ParamType::Bool => (default.is_boolean(), "`true` or `false`"),
        ParamType::String if !form.one_of.is_empty() => (
            parses(default, |text| form.one_of.iter().any(|one| one == text)),
            "one of `enum`",
        ),
        ParamType::String => (default.is_string(), "text, in quotes if need be"),
        ParamType::Date => (
            parses(default, |text| text.parse::<jiff::civil::Date>().is_ok()),
            "a day: `2026-11-21`",
        ),
        ParamType::Timestamp => (
            parses(default, |text| text.parse::<jiff::Timestamp>().is_ok()),
            "a time with its zone: `2026-11-21T08:00:00Z`",
        ),
        ParamType::Uuid => (
            parses(default, is_uuid),
            "a UUID: `6f1c2a52-3a3b-4c58-9d1f-0c6f0c9b8a11`",
        ),
    };
    if !fits {
        return Err(format!(
            "the default does not fit the type: {expected} is expected"
        ));
    }
    let number = default.as_f64();
    if let (Some(number), Some(min)) = (number, form.min)
        && number < min
    {
        return Err(format!("the default is less than `min`, which is {min}"));
    }
    if let (Some(number), Some(max)) = (number, form.max)
        && number > max
    {
        return Err(format!("the default is greater than `max`, which is {max}"));
    }
    Ok(())
}

fn parses(default: &Value, check: impl FnOnce(&str) -> bool) -> bool {
    default.as_str().is_some_and(check)
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}
