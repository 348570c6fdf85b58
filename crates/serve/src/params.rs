//! Parameters: from a request's texts to values that are bound.

use crate::numeric;
use crate::problem::{Problem, excerpt};
use bytes::BytesMut;
use millrace_model::definition::endpoint::{Param, ParamType};
use serde_json::Map;
use std::collections::BTreeMap;
use std::error::Error;
use tokio_postgres::types::{IsNull, Kind, ToSql, Type, to_sql_checked};
use uuid::Uuid;

/// How many rows a page has where a request does not say.
pub const DEFAULT_LIMIT: u32 = 100;
/// How many rows a page may have.
pub const MAX_LIMIT: u32 = 1000;
/// How many bytes a parameter's value may have.
pub const LONGEST_VALUE: usize = 2000;
/// How many values a list may have.
pub const MOST_VALUES: usize = 100;
/// How many bytes a cursor may have.
pub const LONGEST_CURSOR: usize = 4000;

/// A parameter's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// None was sent, and there is no default.
    Null,
    /// A whole number.
    Int(i64),
    /// A finite number.
    Double(f64),
    /// True or false.
    Bool(bool),
    /// Text.
    Text(String),
    /// A day.
    Date(jiff::civil::Date),
    /// A moment.
    Timestamp(jiff::Timestamp),
    /// A UUID.
    Uuid(Uuid),
    /// A number with all its digits, as it was written.
    Decimal(String),
    /// Several values of one type.
    List(Vec<Value>),
}

/// What a request asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Arguments {
    /// The values of the route's parameters, by name.
    pub values: BTreeMap<String, Value>,
    /// How many rows to answer with.
    pub limit: u32,
    /// Where to go on.
    pub cursor: Option<String>,
}

/// Reads what a request sent: `path` is what stood in the path's braces, `query` the text behind the question mark.
pub fn read(
    params: &[Param],
    path: &[(String, String)],
    query: &str,
) -> Result<Arguments, Problem> {
    let mut sent: BTreeMap<String, String> = path.iter().cloned().collect();
    for (name, value) in pairs(query)? {
        let known =
            said(params).any(|param| param.name == name) || RESERVED.contains(&name.as_str());
        if !known || path.iter().any(|(in_path, _)| *in_path == name) {
            return Err(unknown(&name, params, path));
        }
        if sent.insert(name.clone(), value).is_some() {
            return Err(Problem::parameter(
                &name,
                format!("`{name}` was sent more than once: send it once"),
            ));
        }
    }
    let mut values = BTreeMap::new();
    for param in said(params) {
        let value = match sent.remove(&param.name) {
            Some(text) => parse(param, &text)?,
            None => default(param).map_err(|()| {
                let detail = format!("`{}` is required: send {}", param.name, form(param.kind));
                Problem::parameter(&param.name, detail)
            })?,
        };
        values.insert(param.name.clone(), value);
    }
    // A route may have a parameter of its own called `limit`: then that is what it means.
    let limit = sent
        .remove("limit")
        .map_or(Ok(DEFAULT_LIMIT), |text| limit(&text))?;
    let cursor = sent.remove("cursor");
    if let Some(cursor) = &cursor
        && cursor.len() > LONGEST_CURSOR
    {
        return Err(bad_cursor());
    }
    Ok(Arguments {
        values,
        limit,
        cursor,
    })
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
        let value = parse(param, &text).map_err(|_| refuse())?;
        arguments.values.insert(param.name.clone(), value);
    }
    Ok(())
}

/// What is bound where a request does not say; an error where it must.
pub fn default(param: &Param) -> Result<Value, ()> {
    match &param.default {
        _ if param.required => Err(()),
        None | Some(serde_json::Value::Null) => Ok(Value::Null),
        Some(serde_json::Value::String(text)) => parse(param, text).map_err(|_| ()),
        Some(other) => parse(param, &other.to_string()).map_err(|_| ()),
    }
}

/// A cursor that is not one, or is another request's.
pub fn bad_cursor() -> Problem {
    let detail = "`cursor` does not belong to this request: send what `page.next` of the answer before said, with the \
                  same route and the same parameters; or leave it out to begin anew";
    Problem::parameter("cursor", detail)
}

const RESERVED: [&str; 2] = ["limit", "cursor"];

fn unknown(name: &str, params: &[Param], path: &[(String, String)]) -> Problem {
    let names = said(params)
        .map(|param| param.name.as_str())
        .chain(RESERVED);
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

/// The names and values behind the question mark. What is not UTF-8 once it is decoded is refused, not repaired.
fn pairs(query: &str) -> Result<Vec<(String, String)>, Problem> {
    let mut pairs = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let plus = |text: &str| text.replace('+', " ");
        let undecodable = |name: &str| {
            let name = excerpt(name);
            Problem::parameter(&name, format!("`{name}` is not percent-encoded UTF-8"))
        };
        let name = decode(&plus(name)).ok_or_else(|| undecodable(name))?;
        let value = decode(&plus(value)).ok_or_else(|| undecodable(&name))?;
        pairs.push((name, value));
    }
    Ok(pairs)
}

/// Percent-decodes; none where that is not UTF-8, or a `%` is not followed by two hexadecimal digits.
pub fn decode(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b'%' {
            let mut byte = [0];
            hex::decode_to_slice(bytes.get(at + 1..at + 3)?, &mut byte).ok()?;
            decoded.push(byte[0]);
            at += 3;
        } else {
            decoded.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8(decoded).ok()
}

fn limit(text: &str) -> Result<u32, Problem> {
    text.parse()
        .ok()
        .filter(|limit| (1..=MAX_LIMIT).contains(limit))
        .ok_or_else(|| {
            let detail = format!(
                "`limit` must be a whole number from 1 to {MAX_LIMIT}, not `{}`",
                excerpt(text)
            );
            Problem::parameter("limit", detail)
        })
}

fn parse(param: &Param, text: &str) -> Result<Value, Problem> {
    let name = &param.name;
    if text.len() > LONGEST_VALUE {
        let detail = format!(
            "`{name}` has {} bytes, and may have {LONGEST_VALUE}",
            text.len()
        );
        return Err(Problem::parameter(name, detail));
    }
    if text.contains('\0') {
        return Err(Problem::parameter(
            name,
            format!("`{name}` holds a character of code 0, which no text may"),
        ));
    }
    if !param.list {
        return parse_one(param, text);
    }
    let parts: Vec<&str> = text.split(',').collect();
    if parts.len() > MOST_VALUES {
        let detail = format!(
            "`{name}` has {} values, and may have {MOST_VALUES}",
            parts.len()
        );
        return Err(Problem::parameter(name, detail));
    }
    let values: Result<_, _> = parts
        .into_iter()
        .map(|part| parse_one(param, part))
        .collect();
    values.map(Value::List)
}

fn parse_one(param: &Param, text: &str) -> Result<Value, Problem> {
    let name = &param.name;
    let value = match param.kind {
        ParamType::Int => text.parse().ok().map(Value::Int),
        ParamType::Double => text
            .parse()
            .ok()
            .filter(|number: &f64| number.is_finite())
            .map(Value::Double),
        ParamType::Decimal => numeric::parse(text).map(|_| Value::Decimal(text.to_owned())),
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

/// What a parameter of the query is: its type, and whether it is a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The type.
    pub kind: ParamType,
    /// Whether it is a list of values of that type.
    pub list: bool,
}

impl From<ParamType> for Bound {
    fn from(kind: ParamType) -> Self {
        Self { kind, list: false }
    }
}

/// The type by which a parameter is bound where PostgreSQL does not find one that fits better.
pub fn declared(bound: Bound) -> Type {
    let (one, many) = match bound.kind {
        ParamType::Int => (Type::INT8, Type::INT8_ARRAY),
        ParamType::Double => (Type::FLOAT8, Type::FLOAT8_ARRAY),
        ParamType::Decimal => (Type::NUMERIC, Type::NUMERIC_ARRAY),
        ParamType::Bool => (Type::BOOL, Type::BOOL_ARRAY),
        ParamType::String => (Type::TEXT, Type::TEXT_ARRAY),
        ParamType::Date => (Type::DATE, Type::DATE_ARRAY),
        ParamType::Timestamp => (Type::TIMESTAMPTZ, Type::TIMESTAMPTZ_ARRAY),
        ParamType::Uuid => (Type::UUID, Type::UUID_ARRAY),
    };
    if bound.list { many } else { one }
}

/// Whether every value of a kind can be bound as that type and mean the same. Binding by the column's own type is what
/// lets PostgreSQL use the column's index.
pub fn fits(bound: Bound, found: &Type) -> bool {
    let found = match (bound.list, found.kind()) {
        (true, Kind::Array(member)) => member,
        (false, _) => found,
        (true, _) => return false,
    };
    match bound.kind {
        ParamType::Int => matches!(*found, Type::INT8 | Type::NUMERIC),
        ParamType::Double => matches!(*found, Type::FLOAT8 | Type::NUMERIC),
        ParamType::Decimal => *found == Type::NUMERIC,
        ParamType::Bool => *found == Type::BOOL,
        ParamType::String => matches!(*found, Type::TEXT | Type::VARCHAR | Type::BPCHAR),
        ParamType::Date => *found == Type::DATE,
        ParamType::Timestamp => *found == Type::TIMESTAMPTZ,
        ParamType::Uuid => matches!(*found, Type::UUID | Type::TEXT | Type::VARCHAR),
    }
}

impl ToSql for Value {
    fn to_sql(
        &self,
        bound: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        let decimal = |text: String, out: &mut BytesMut| {
            let bytes = numeric::parse(&text).ok_or("the number has too many digits")?;
            out.extend_from_slice(&bytes);
            Ok::<_, Box<dyn Error + Sync + Send>>(IsNull::No)
        };
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Int(number) if *bound == Type::NUMERIC => decimal(number.to_string(), out),
            Self::Int(number) => number.to_sql(bound, out),
            Self::Double(number) if *bound == Type::NUMERIC => decimal(format!("{number:?}"), out),
            Self::Double(number) => number.to_sql(bound, out),
            Self::Bool(value) => value.to_sql(bound, out),
            Self::Text(text) => text.to_sql(bound, out),
            Self::Date(date) => date.to_sql(bound, out),
            Self::Timestamp(timestamp) => timestamp.to_sql(bound, out),
            Self::Decimal(text) => decimal(text.clone(), out),
            Self::List(values) => values.to_sql(bound, out),
            Self::Uuid(uuid) if *bound == Type::UUID => uuid.to_sql(bound, out),
            Self::Uuid(uuid) => uuid.hyphenated().to_string().to_sql(bound, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn param(name: &str, kind: ParamType) -> Param {
        Param {
            name: name.into(),
            kind,
            required: false,
            default: None,
            min: None,
            max: None,
            list: false,
            one_of: Vec::new(),
            pattern: None,
            min_length: None,
            max_length: None,
            claim: None,
            description: None,
        }
    }

    fn quakes() -> Vec<Param> {
        let magnitude = Param {
            default: Some(5.into()),
            min: Some(-2.0),
            max: Some(11.0),
            ..param("min_magnitude", ParamType::Double)
        };
        vec![
            magnitude,
            param("since", ParamType::Timestamp),
            param("place", ParamType::String),
        ]
    }

    fn refused(query: &str) -> (String, String) {
        let problem = read(&quakes(), &[], query).unwrap_err();
        assert_eq!(problem.status, 400);
        (problem.parameter.unwrap_or_default(), problem.detail)
    }

    #[test]
    fn defaults_stand_in() {
        let arguments = read(&quakes(), &[], "").unwrap();
        assert_eq!(arguments.values["min_magnitude"], Value::Double(5.0));
        assert_eq!(arguments.values["since"], Value::Null);
        assert_eq!((arguments.limit, arguments.cursor), (DEFAULT_LIMIT, None));
    }

    #[test]
    fn texts_are_decoded_and_stay_data() {
        let arguments = read(
            &quakes(),
            &[],
            "place=%27%3B+drop+table+x%3B--&limit=7&cursor=abc",
        )
        .unwrap();
        assert_eq!(
            arguments.values["place"],
            Value::Text("'; drop table x;--".into())
        );
        assert_eq!(
            (arguments.limit, arguments.cursor.as_deref()),
            (7, Some("abc"))
        );
    }

    #[test]
    fn texts_have_forms_and_lists_have_values() {
        let code = Param {
            pattern: Some("[a-z]{2}|x".into()),
            list: true,
            ..param("codes", ParamType::String)
        };
        let kind = Param {
            one_of: vec!["a b".into(), "c".into()],
            ..param("kind", ParamType::String)
        };
        let name = Param {
            min_length: Some(2),
            max_length: Some(3),
            ..param("name", ParamType::String)
        };
        let price = Param {
            min: Some(0.0),
            ..param("price", ParamType::Decimal)
        };
        let params = [code, kind, name, price, param("ids", ParamType::Int)];
        let arguments = read(&params, &[], "codes=ab,x&kind=a+b&name=äöü&price=0.10").unwrap();
        let text = |text: &str| Value::Text(text.into());
        assert_eq!(
            arguments.values["codes"],
            Value::List(vec![text("ab"), text("x")])
        );
        assert_eq!(arguments.values["price"], Value::Decimal("0.10".into()));
        let many = format!("codes={}", vec!["x"; MOST_VALUES + 1].join(","));
        for (query, what) in [
            ("codes=ab,abc", "of the form"),
            ("codes=", "of the form"),
            (many.as_str(), "101 values"),
            ("kind=b", "one of `a b`, `c`"),
            ("name=a", "2 characters at least"),
            ("name=abcd", "3 characters at most"),
            ("price=-0.01", "at least 0"),
            ("price=1e", "a number such as"),
            ("ids=1,2", "a whole number"),
        ] {
            let problem = read(&params, &[], query).unwrap_err();
            assert!(problem.detail.contains(what), "{query}: {}", problem.detail);
        }
    }

    #[test]
    fn what_is_a_callers_claim_cannot_be_said() {
        let tenant = Param {
            claim: Some("tenant".into()),
            ..param("tenant", ParamType::String)
        };
        let params = [tenant];
        assert_eq!(read(&params, &[], "tenant=acme").unwrap_err().status, 400);
        let mut arguments = read(&params, &[], "").unwrap();
        let claims = |value: serde_json::Value| {
            serde_json::json!({ "tenant": value })
                .as_object()
                .cloned()
                .unwrap()
        };
        add_claims(&mut arguments, &params, &claims("acme".into())).unwrap();
        assert_eq!(arguments.values["tenant"], Value::Text("acme".into()));
        for hostile in [
            serde_json::Value::Null,
            serde_json::json!(["acme"]),
            serde_json::json!({}),
        ] {
            let refused = add_claims(&mut arguments, &params, &claims(hostile)).unwrap_err();
            assert_eq!(refused.status, 403);
        }
        assert_eq!(
            add_claims(&mut arguments, &params, &Map::new())
                .unwrap_err()
                .status,
            403
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (query, name, detail) in [
            (
                "min_magnitude=abc",
                "min_magnitude",
                "must be a number such as `4.5`, not `abc`",
            ),
            ("min_magnitude=NaN", "min_magnitude", "must be a number"),
            ("min_magnitude=", "min_magnitude", "must be a number"),
            (
                "min_magnitude=12",
                "min_magnitude",
                "must be at most 11, not `12`",
            ),
            (
                "min_magnitude=-3",
                "min_magnitude",
                "must be at least -2, not `-3`",
            ),
            ("since=yesterday", "since", "must be a moment"),
            (
                "min_magnitud=1",
                "min_magnitud",
                "did you mean `min_magnitude`?",
            ),
            (
                "xyz=1",
                "xyz",
                "it takes `min_magnitude`, `since`, `place`, `limit`, `cursor`",
            ),
            ("place=a&place=b", "place", "more than once"),
            ("limit=0", "limit", "from 1 to 1000"),
            ("limit=1001", "limit", "from 1 to 1000"),
            ("limit=ten", "limit", "from 1 to 1000"),
            ("place=%00", "place", "code 0"),
            ("place=%ff", "place", "percent-encoded"),
            ("place=%4", "place", "percent-encoded"),
        ] {
            let (parameter, text) = refused(query);
            assert_eq!(parameter, name, "{query}");
            assert!(text.contains(detail), "{query}: {text}");
        }
    }

    #[test]
    fn what_was_sent_comes_back_short() {
        let (_, detail) = refused(&format!("min_magnitude={}", "x".repeat(1500)));
        assert!(detail.len() < 250, "{detail}");
        let (_, detail) = refused(&format!("place={}", "x".repeat(2001)));
        assert!(detail.contains("2001 bytes"), "{detail}");
    }

    #[test]
    fn what_stands_in_the_path_cannot_be_sent_again() {
        let params = vec![Param {
            required: true,
            ..param("id", ParamType::Int)
        }];
        let path = vec![("id".to_owned(), "7".to_owned())];
        assert_eq!(
            read(&params, &path, "").unwrap().values["id"],
            Value::Int(7)
        );
        assert!(read(&params, &path, "id=8").is_err());
        assert!(
            read(&params, &[], "")
                .unwrap_err()
                .detail
                .contains("required")
        );
    }
}
