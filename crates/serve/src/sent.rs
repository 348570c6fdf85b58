//! What a request sends: names and texts, from its query string or from a JSON body.

use crate::problem::{Problem, excerpt};
use bytes::Bytes;
use http::{Method, Request};
use millrace_model::definition::endpoint::ParamType;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value as Json;
use std::borrow::Cow;
use std::fmt;

/// Below it, every whole number is a double.
const WHOLE: f64 = 9_007_199_254_740_992.0;
/// How many bytes a body may have.
const LARGEST_BODY: usize = 1024 * 1024;

/// What was sent as one parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// A text, as a URL has it.
    Text(String),
    /// A value of a JSON body.
    Json(Json),
}

impl Sent {
    /// As a text that a URL would have for a value of that kind; none where it is of another one.
    pub fn text(&self, kind: ParamType) -> Option<Cow<'_, str>> {
        match self {
            Self::Text(text) => Some(Cow::Borrowed(text)),
            Self::Json(value) => json_text(value, kind),
        }
    }
}

/// As a text that a URL would have for a value of that kind; none where it is of another one.
pub fn json_text(value: &Json, kind: ParamType) -> Option<Cow<'_, str>> {
    match (kind, value) {
        (ParamType::Int, Json::Number(number)) => match number.as_f64() {
            // JSON knows no whole numbers: `5.0` is one.
            Some(whole) if number.is_f64() && whole.fract() == 0.0 && whole.abs() < WHOLE => {
                Some(Cow::Owned((whole as i64).to_string()))
            }
            _ => Some(Cow::Owned(number.to_string())),
        },
        (ParamType::Double | ParamType::Decimal, Json::Number(number)) => {
            Some(Cow::Owned(number.to_string()))
        }
        (ParamType::Bool, Json::Bool(value)) => Some(Cow::Owned(value.to_string())),
        (
            ParamType::String | ParamType::Date | ParamType::Timestamp | ParamType::Uuid,
            Json::String(text),
        ) => Some(Cow::Borrowed(text)),
        _ => None,
    }
}

/// What a request says: in its URL, or in its body, and not in both.
pub fn of(request: &Request<Bytes>) -> Result<Vec<(String, Sent)>, Problem> {
    let in_url = of_query(request.uri().query().unwrap_or_default())?;
    if request.method() != Method::POST {
        return Ok(in_url);
    }
    if let Some((name, _)) = in_url.first() {
        return Err(Problem::parameter(
            name,
            format!("`{}` belongs into the body of a POST", excerpt(name)),
        ));
    }
    let kind = request.headers().get(http::header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(Problem::media_type());
    }
    of_body(request.body())
}

/// The names and values behind the question mark. What is not UTF-8 once it is decoded is refused, not repaired.
pub fn of_query(query: &str) -> Result<Vec<(String, Sent)>, Problem> {
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
        pairs.push((name, Sent::Text(value)));
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

/// The names and values of a JSON object.
pub fn of_body(body: &[u8]) -> Result<Vec<(String, Sent)>, Problem> {
    if body.len() > LARGEST_BODY {
        return Err(Problem::body_too_large(LARGEST_BODY));
    }
    let Members(members) = serde_json::from_slice(body).map_err(|_| Problem::no_object())?;
    let sent = |(name, value)| (name, Sent::Json(value));
    Ok(members.into_iter().map(sent).collect())
}

/// An object's members as they were sent: one that is there twice is not overlooked.
struct Members(Vec<(String, Json)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Members;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Each)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_read_by_its_types() {
        let body = br#"{"a": "x&y", "b": 5.0, "a": "z"}"#;
        let pairs = of_body(body).unwrap();
        let names: Vec<&str> = pairs.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a", "b", "a"]);
        let text = |at: usize, kind| pairs[at].1.text(kind).map(Cow::into_owned);
        assert_eq!(text(0, ParamType::String).as_deref(), Some("x&y"));
        assert_eq!(text(0, ParamType::Int), None);
        assert_eq!(text(1, ParamType::Int).as_deref(), Some("5"));
        assert_eq!(text(1, ParamType::String), None);
        for hostile in [
            &b""[..],
            b"[]",
            b"1",
            b"{",
            b"\xff",
            "[".repeat(100_000).as_bytes(),
            format!("{{\"a\": {}", "[".repeat(100_000)).as_bytes(),
        ] {
            assert_eq!(of_body(hostile).unwrap_err().status, 400);
        }
        let large = vec![b' '; LARGEST_BODY + 1];
        assert_eq!(of_body(&large).unwrap_err().status, 413);
    }
}
