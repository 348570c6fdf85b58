//! The forms of an answer, and which of them a caller wants.

use crate::problem::Problem;
use http::HeaderMap;
use http::header::ACCEPT;
use serde::{Deserialize, Serialize};

/// A form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// The envelope.
    Json,
    /// A line of names, then a line a row (RFC 4180).
    Csv,
    /// An object a line.
    Ndjson,
    /// Arrow's stream of record batches.
    Arrow,
    /// A Parquet file.
    Parquet,
}

impl Format {
    /// All of them, the one that is answered with where nobody asks for another one first.
    pub const ALL: [Self; 5] = [
        Self::Json,
        Self::Csv,
        Self::Ndjson,
        Self::Arrow,
        Self::Parquet,
    ];

    /// The media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Csv => "text/csv",
            Self::Ndjson => "application/x-ndjson",
            Self::Arrow => "application/vnd.apache.arrow.stream",
            Self::Parquet => "application/vnd.apache.parquet",
        }
    }

    /// How names of files of that form end.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
            Self::Arrow => "arrows",
            Self::Parquet => "parquet",
        }
    }

    /// Whether it is columns, and no text.
    pub fn is_columnar(self) -> bool {
        matches!(self, Self::Arrow | Self::Parquet)
    }

    /// What stands in `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8; header=present",
            other => other.media_type(),
        }
    }

    /// The form that a request accepts most gladly (RFC 9110, 12.5.1).
    pub fn accepted(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut ranges = Vec::new();
        for value in headers.get_all(ACCEPT) {
            let text = value.to_str().map_err(|_| Problem::not_acceptable())?;
            ranges.extend(text.split(',').filter_map(Range::parse));
        }
        if ranges.is_empty() {
            return Ok(Self::Json);
        }
        let mut best = None;
        for format in Self::ALL {
            // Of the ranges that a type lies in, the narrowest one speaks of it.
            let weight = ranges
                .iter()
                .filter_map(|range| Some((range.precision(format)?, range.weight)))
                .max_by_key(|(precision, _)| *precision)
                .map_or(0, |(_, weight)| weight);
            if weight > best.map_or(0, |(_, weight)| weight) {
                best = Some((format, weight));
            }
        }
        best.map(|(format, _)| format)
            .ok_or_else(Problem::not_acceptable)
    }
}

/// One of the ranges of `Accept`.
struct Range {
    kind: String,
    subtype: String,
    /// In thousandths.
    weight: u16,
}

impl Range {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let (kind, subtype) = parts.next()?.split_once('/')?;
        let weight = parts
            .find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")))
            .map_or(Some(1.0), |weight| weight.parse::<f32>().ok())?;
        Some(Self {
            kind: kind.to_ascii_lowercase(),
            subtype: subtype.to_ascii_lowercase(),
            weight: (weight.clamp(0.0, 1.0) * 1000.0) as u16,
        })
    }

    /// How narrowly a form's type lies in the range.
    fn precision(&self, format: Format) -> Option<u8> {
        let (kind, subtype) = format.media_type().split_once('/')?;
        match (self.kind.as_str(), self.subtype.as_str()) {
            ("*", "*") => Some(0),
            (own, "*") if own == kind => Some(1),
            (own, exact) if own == kind && exact == subtype => Some(2),
            ("application", "ndjson" | "jsonl") if format == Format::Ndjson => Some(2),
            _ => None,
        }
    }
}

/// Appends a value that was written as JSON as a field of CSV. A missing value is an empty field. What `is_json` in itself
/// keeps its quotes; texts are `csv_text`'s.
pub fn csv_of_json(json: &[u8], is_json: bool, out: &mut Vec<u8>) -> Option<()> {
    match json {
        b"null" => {}
        // Dates, moments, UUIDs, base64: nothing in them is escaped, and nothing needs quotes.
        [b'"', inner @ .., b'"'] if !is_json => out.extend_from_slice(inner),
        other => csv_text(std::str::from_utf8(other).ok()?, out),
    }
    Some(())
}

/// Appends a text as a field of CSV. An empty one is `""`.
pub fn csv_text(text: &str, out: &mut Vec<u8>) {
    let plain = !text.is_empty() && !text.contains(['"', ',', '\r', '\n']) && text.trim() == text;
    if plain {
        out.extend_from_slice(text.as_bytes());
    } else {
        out.push(b'"');
        out.extend_from_slice(text.replace('"', "\"\"").as_bytes());
        out.push(b'"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(accept: &str) -> Option<Format> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, accept.parse().unwrap());
        Format::accepted(&headers).ok()
    }

    #[test]
    fn a_caller_gets_what_it_asks_for() {
        assert_eq!(Format::accepted(&HeaderMap::new()).unwrap(), Format::Json);
        for (accept, format) in [
            ("*/*", Some(Format::Json)),
            (
                "text/html, application/xhtml+xml, */*;q=0.8",
                Some(Format::Json),
            ),
            ("text/csv", Some(Format::Csv)),
            ("TEXT/CSV; header=present", Some(Format::Csv)),
            ("text/*", Some(Format::Csv)),
            ("application/x-ndjson", Some(Format::Ndjson)),
            (
                "application/json;q=0.5, application/ndjson",
                Some(Format::Ndjson),
            ),
            ("application/json;q=0, */*", Some(Format::Csv)),
            ("text/csv;q=0.2, application/json;q=0.1", Some(Format::Csv)),
            ("application/vnd.apache.arrow.stream", Some(Format::Arrow)),
            (
                "application/vnd.apache.parquet, application/json;q=0.9",
                Some(Format::Parquet),
            ),
            ("application/xml", None),
            ("application/json;q=0", None),
            ("text/html", None),
        ] {
            assert_eq!(accepted(accept), format, "{accept}");
        }
    }

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        for (value, expected) in [
            ("a b", "a b"),
            ("", "\"\""),
            ("a,b", "\"a,b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("a\nb", "\"a\nb\""),
            (" a", "\" a\""),
        ] {
            let mut out = Vec::new();
            csv_text(value, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
        for (json, is_json, expected) in [
            ("null", false, ""),
            ("7", false, "7"),
            (r#""2000-01-01""#, false, "2000-01-01"),
            (r#"{"a":1,"b":2}"#, true, r#""{""a"":1,""b"":2}""#),
            (r#""x""#, true, r#""""x""""#),
        ] {
            let mut out = Vec::new();
            csv_of_json(json.as_bytes(), is_json, &mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
