//! Parameters: from a request's texts to values that are bound.

use crate::decimal::Decimal;
use crate::problem::{Problem, excerpt};
use crate::routes::Sort;
use crate::sent::{self, Sent};
use crate::value::Value;
use millrace_model::definition::endpoint::{Param, ParamType, Route};
use serde_json::{Map, Value as Json};
use std::borrow::Cow;
use std::collections::BTreeMap;
use uuid::Uuid;

/// How many rows a page has where a request does not say.
pub const DEFAULT_LIMIT: u32 = 100;
/// How many rows a page may have.
pub const MAX_LIMIT: u32 = 1000;
/// How many characters a parameter's value may have.
pub const LONGEST_VALUE: usize = 2000;
/// How many values a list may have in a URL.
pub const MOST_VALUES: usize = 100;
/// How many values a list may have in a body.
pub const MOST_VALUES_IN_BODY: usize = 10_000;
/// How many bytes a cursor may have.
pub const LONGEST_CURSOR: usize = 4000;

/// What a request asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Arguments {
    /// The values of the route's parameters, by name.
    pub values: BTreeMap<String, Value>,
    /// How many rows to answer with.
    pub limit: u32,
    /// Where to go on.
    pub cursor: Option<String>,
    /// In which order; none for the query's own.
    pub sort: Option<Sort>,
    /// Which columns; none for all of them.
    pub fields: Option<Vec<String>>,
}

/// What a route takes.
#[derive(Clone, Copy, Debug)]
pub struct Takes<'a> {
    /// Its parameters.
    pub params: &'a [Param],
    /// The columns by which a caller may sort.
    pub sort: &'a [String],
    /// The columns from which a caller may choose.
    pub fields: &'a [String],
}

impl Arguments {
    /// The values of those parameters, in that order.
    pub fn bound(&self, names: &[String]) -> Vec<&Value> {
        let value = |name: &String| self.values.get(name).unwrap_or(&Value::Null);
        names.iter().map(value).collect()
    }
}

impl<'a> From<&'a Route> for Takes<'a> {
    fn from(route: &'a Route) -> Self {
        Self {
            params: &route.params,
            sort: &route.sort,
            fields: &route.fields,
        }
    }
}

impl<'a> Takes<'a> {
    /// What every route takes besides its own parameters, and what this one's caller may choose.
    fn reserved(self) -> impl Iterator<Item = &'a str> {
        let sort = (!self.sort.is_empty()).then_some("sort");
        let fields = (!self.fields.is_empty()).then_some("fields");
        ["limit", "cursor"].into_iter().chain(sort).chain(fields)
    }
}

/// Reads what a request sent: `path` is what stood in the path's braces.
pub fn read(
    takes: Takes<'_>,
    path: &[(String, String)],
    pairs: Vec<(String, Sent)>,
) -> Result<Arguments, Problem> {
    let mut sent: BTreeMap<String, Sent> = path
        .iter()
        .map(|(name, text)| (name.clone(), Sent::Text(text.clone())))
        .collect();
    for (name, value) in pairs {
        let known = said(takes.params).any(|param| param.name == name)
            || takes.reserved().any(|reserved| reserved == name);
        if !known || path.iter().any(|(in_path, _)| *in_path == name) {
            return Err(unknown(&name, takes, path));
        }
        if sent.insert(name.clone(), value).is_some() {
            return Err(Problem::parameter(
                &name,
                format!("`{name}` was sent more than once: send it once"),
            ));
        }
    }
    let mut values = BTreeMap::new();
    for param in said(takes.params) {
        let value = match sent.remove(&param.name) {
            Some(sent) => parse(param, &sent)?,
            None => default(param).map_err(|()| {
                let detail = format!("`{}` is required: send {}", param.name, form(param.kind));
                Problem::parameter(&param.name, detail)
            })?,
        };
        values.insert(param.name.clone(), value);
    }
    let mut own = |name: &str, kind| match sent.remove(name) {
        None => Ok(None),
        Some(sent) => own_text(name, kind, &sent).map(Some),
    };
    let cursor = own("cursor", ParamType::String)?;
    if cursor
        .as_ref()
        .is_some_and(|cursor| cursor.len() > LONGEST_CURSOR)
    {
        return Err(bad_cursor());
    }
    Ok(Arguments {
        values,
        limit: own("limit", ParamType::Int)?.map_or(Ok(DEFAULT_LIMIT), |text| limit(&text))?,
        cursor,
        sort: own("sort", ParamType::String)?
            .map(|text| sort(&text, takes.sort))
            .transpose()?,
        fields: own("fields", ParamType::String)?
            .map(|text| fields(&text, takes.fields))
            .transpose()?,
    })
}

/// What every route takes, as a text.
fn own_text(name: &str, kind: ParamType, sent: &Sent) -> Result<String, Problem> {
    let text = match sent {
        // A list of names is their text with commas between.
        Sent::Json(Json::Array(names)) if name == "fields" => {
            let names: Option<Vec<&str>> = names.iter().map(Json::as_str).collect();
            names.map(|names| names.join(","))
        }
        Sent::Json(_) if name == "fields" => None,
        other => other.text(kind).map(Cow::into_owned),
    };
    text.ok_or_else(|| Problem::parameter(name, format!("`{name}` is of another type")))
}

/// The order that a text asks for: a column, with a minus before it where the greatest comes first.
fn sort(text: &str, allowed: &[String]) -> Result<Sort, Problem> {
    let (column, descending) = match text.strip_prefix('-') {
        Some(column) => (column, true),
        None => (text, false),
    };
    if allowed.iter().any(|known| known == column) {
        return Ok(Sort {
            column: column.to_owned(),
            descending,
        });
    }
    let detail = format!(
        "`sort` must be one of `{}`, with a minus before it for the greatest first, not `{}`",
        allowed.join("`, `"),
        excerpt(text)
    );
    Err(Problem::parameter("sort", detail))
}

/// The columns that a text asks for, each once.
fn fields(text: &str, allowed: &[String]) -> Result<Vec<String>, Problem> {
    let mut chosen: Vec<String> = Vec::new();
    for name in text.split(',') {
        let known = allowed.iter().any(|known| known == name);
        if !known || chosen.iter().any(|chosen| chosen == name) {
            let detail = format!(
                "`fields` must be some of `{}` with commas between, each once, not `{}`",
                allowed.join("`, `"),
                excerpt(name)
            );
            return Err(Problem::parameter("fields", detail));
        }
        chosen.push(name.to_owned());
    }
    Ok(chosen)
}

/// The parameters that a request can say.
pub fn said(params: &[Param]) -> impl Iterator<Item = &Param> {
    params.iter().filter(|param| param.claim.is_none())
}

/// Adds the parameters that are taken from the caller's claims.
pub fn add_claims(
    arguments: &mut Arguments,
    params: &[Param],
    claims: &Map<String, serde_json::Value>,
) -> Result<(), Problem> {
    for param in params {
        let Some(claim) = &param.claim else { continue };
        let refuse = || Problem::claim(claim);
        let text = match claims.get(claim).ok_or_else(refuse)? {
            serde_json::Value::String(text) => text.clone(),
            other @ (serde_json::Value::Number(_) | serde_json::Value::Bool(_)) => {
                other.to_string()
            }
            _ => return Err(refuse()),
        };
        let value = parse(param, &Sent::Text(text)).map_err(|_| refuse())?;
        arguments.values.insert(param.name.clone(), value);
    }
    Ok(())
}

/// What is bound where a request does not say; an error where it must.
pub fn default(param: &Param) -> Result<Value, ()> {
    match &param.default {
        _ if param.required => Err(()),
        None | Some(serde_json::Value::Null) => Ok(Value::Null),
        Some(serde_json::Value::String(text)) => parse_one(param, text).map_err(|_| ()),
        Some(other) => parse_one(param, &other.to_string()).map_err(|_| ()),
    }
}

/// A cursor that is not one, or is another request's.
pub fn bad_cursor() -> Problem {
    let detail = "`cursor` does not belong to this request: send what `page.next` of the answer before said, with the \
                  same route and the same parameters; or leave it out to begin anew";
    Problem::parameter("cursor", detail)
}

fn unknown(name: &str, takes: Takes<'_>, path: &[(String, String)]) -> Problem {
    let names = said(takes.params)
        .map(|param| param.name.as_str())
        .chain(takes.reserved());
    let names: Vec<&str> = names
        .filter(|known| path.iter().all(|(in_path, _)| in_path != known))
        .collect();
    let nearest = names.iter().max_by(|left, right| {
        strsim::jaro_winkler(left, name).total_cmp(&strsim::jaro_winkler(right, name))
    });
    let hint = match nearest {
        Some(nearest) if strsim::jaro_winkler(nearest, name) > 0.8 => {
            format!("did you mean `{nearest}`?")
        }
        _ => format!(
            "it takes {}",
            names
                .iter()
                .map(|name| format!("`{name}`"))
                .collect::<Vec<_>>()
                .join(", ")
        ),
    };
    let name = excerpt(name);
    Problem::parameter(
        &name,
        format!("this route has no parameter `{name}`: {hint}"),
    )
}

fn limit(text: &str) -> Result<u32, Problem> {
    let limit = is_written(ParamType::Int, text).then(|| text.parse().ok());
    limit
        .flatten()
        .filter(|limit| (1..=MAX_LIMIT).contains(limit))
        .ok_or_else(|| {
            let detail = format!(
                "`limit` must be a whole number from 1 to {MAX_LIMIT}, not `{}`",
                excerpt(text)
            );
            Problem::parameter("limit", detail)
        })
}

fn parse(param: &Param, sent: &Sent) -> Result<Value, Problem> {
    let name = &param.name;
    let another_type = || {
        let many = if param.list { "a list of " } else { "" };
        let detail = format!("`{name}` must be {many}{}", form(param.kind));
        Problem::parameter(name, detail)
    };
    let (parts, most): (Vec<Cow<'_, str>>, usize) = match sent {
        Sent::Text(text) if param.list => {
            (text.split(',').map(Cow::Borrowed).collect(), MOST_VALUES)
        }
        Sent::Json(Json::Array(values)) if param.list => {
            let texts = values
                .iter()
                .map(|value| sent::json_text(value, param.kind));
            let texts: Option<_> = texts.collect();
            (texts.ok_or_else(another_type)?, MOST_VALUES_IN_BODY)
        }
        _ if param.list => return Err(another_type()),
        one => return parse_one(param, &one.text(param.kind).ok_or_else(another_type)?),
    };
    if parts.is_empty() || parts.len() > most {
        let detail = format!(
            "`{name}` has {} values, and may have 1 to {most}",
            parts.len()
        );
        return Err(Problem::parameter(name, detail));
    }
    let values: Result<_, _> = parts
        .into_iter()
        .map(|part| parse_one(param, &part))
        .collect();
    values.map(Value::List)
}

fn parse_one(param: &Param, text: &str) -> Result<Value, Problem> {
    let name = &param.name;
    let length = text.chars().count();
    if length > LONGEST_VALUE {
        let detail = format!("`{name}` has {length} characters, and may have {LONGEST_VALUE}");
        return Err(Problem::parameter(name, detail));
    }
    if text.contains('\0') {
        return Err(Problem::parameter(
            name,
            format!("`{name}` holds a character of code 0, which no text may"),
        ));
    }
    let value = match param.kind {
        kind if !is_written(kind, text) => None,
        ParamType::Int => text.parse().ok().map(Value::Int),
        ParamType::Double => text
            .parse()
            .ok()
            .filter(|number: &f64| number.is_finite())
            .map(Value::Double),
        ParamType::Decimal => Decimal::parse(text).map(|_| Value::Decimal(text.to_owned())),
        ParamType::Bool => text.parse().ok().map(Value::Bool),
        ParamType::String => Some(Value::Text(text.to_owned())),
        ParamType::Date => text.parse().ok().map(Value::Date),
        ParamType::Timestamp => text.parse().ok().map(Value::Timestamp),
        ParamType::Uuid => Uuid::try_parse(text).ok().map(Value::Uuid),
    };
    let refuse = |what: &str| {
        let detail = format!("`{name}` must be {what}, not `{}`", excerpt(text));
        Problem::parameter(name, detail)
    };
    let value = value.ok_or_else(|| refuse(form(param.kind)))?;
    let number = match &value {
        Value::Int(number) => Some(*number as f64),
        Value::Double(number) => Some(*number),
        Value::Decimal(text) => text.parse().ok(),
        _ => None,
    };
    if let Some(number) = number {
        match (param.min, param.max) {
            (Some(min), _) if number < min => return Err(refuse(&format!("at least {min}"))),
            (_, Some(max)) if number > max => return Err(refuse(&format!("at most {max}"))),
            _ => {}
        }
    }
    if param.kind == ParamType::String {
        text_fits(param, text).map_err(|what| refuse(&what))?;
    }
    Ok(value)
}

/// Whether a text is of the form that the contract gives a type. The types' own parsers take more: `+5`, `20261121`.
fn is_written(kind: ParamType, text: &str) -> bool {
    let bytes = text.as_bytes();
    match kind {
        ParamType::Int | ParamType::Double | ParamType::Decimal => {
            let digits = bytes.strip_prefix(b"-").unwrap_or(bytes);
            let is_digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_digit);
            is_digit(digits.first()) && is_digit(digits.last())
        }
        ParamType::Date => bytes.len() == "2026-11-21".len(),
        // RFC 3339.
        ParamType::Timestamp => matches!(
            bytes,
            [_, _, _, _, b'-', _, _, b'-', _, _, b'T' | b't', _, _, b':', _, _, b':', _, _, .., last]
                if *last != b']'
        ),
        ParamType::Uuid => bytes.len() == 36,
        ParamType::Bool | ParamType::String => true,
    }
}

/// What a text would have to be, where it is not.
fn text_fits(param: &Param, text: &str) -> Result<(), String> {
    if !param.one_of.is_empty() && param.one_of.iter().all(|one| one != text) {
        return Err(format!("one of `{}`", param.one_of.join("`, `")));
    }
    if param.min_length.is_some() || param.max_length.is_some() {
        let length = text.chars().count() as u64;
        match (param.min_length, param.max_length) {
            (Some(least), _) if length < u64::from(least) => {
                return Err(format!("of {least} characters at least"));
            }
            (_, Some(most)) if length > u64::from(most) => {
                return Err(format!("of {most} characters at most"));
            }
            _ => {}
        }
    }
    if let Some(pattern) = &param.pattern {
        let matches = regex_lite::Regex::new(&format!("^(?:{pattern})$"))
            .is_ok_and(|pattern| pattern.is_match(text));
        if !matches {
            return Err(format!("of the form `{pattern}`"));
        }
    }
    Ok(())
}

/// What a type's values look like.
pub fn form(kind: ParamType) -> &'static str {
    match kind {
        ParamType::Int => "a whole number such as `5`",
        ParamType::Double | ParamType::Decimal => "a number such as `4.5`",
        ParamType::Bool => "`true` or `false`",
        ParamType::String => "text",
        ParamType::Date => "a date such as `2026-11-21`",
        ParamType::Timestamp => "a moment such as `2026-11-21T08:00:00Z`, percent-encoded",
        ParamType::Uuid => "a UUID such as `67e55044-10b1-426f-9247-bb680e5fe0c8`",
    }
}

#[cfg(test)]
mod tests;
