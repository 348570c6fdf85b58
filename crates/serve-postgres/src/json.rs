//! JSON from PostgreSQL's binary values, without anything in between.
//!
//! Conventions: `bigint` and `numeric` are numbers with all their digits (as PostgreSQL's own `to_json` has it; whoever
//! needs more than a double keeps should parse them as decimals); what JSON has no number for (NaN, the infinities) is
//! null; moments are RFC 3339 in UTC with `Z`; `timestamp` without a time zone has no `Z`; bytes are base64; types that
//! are not known here come as PostgreSQL writes them as text.

use crate::numeric;
use base64::Engine as _;
use millrace_serve::source;
use std::io::Write as _;
use tokio_postgres::types::{FromSql, Kind, Type};

/// How a column's values become JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoder {
    /// `true`, `false`.
    Bool,
    /// Whole numbers of 16 bits.
    Int2,
    /// Whole numbers of 32 bits.
    Int4,
    /// Whole numbers of 64 bits.
    Int8,
    /// Object identifiers.
    Oid,
    /// Numbers of 32 bits.
    Float4,
    /// Numbers of 64 bits.
    Float8,
    /// Decimal numbers.
    Numeric,
    /// Text.
    Text,
    /// JSON as it was written.
    Json,
    /// JSON in PostgreSQL's own form.
    Jsonb,
    /// Days.
    Date,
    /// Times of day.
    Time,
    /// Moments without a time zone.
    Timestamp,
    /// Moments.
    Timestamptz,
    /// UUIDs.
    Uuid,
    /// Bytes.
    Bytea,
    /// Lists of one of the others.
    Array(&'static Encoder),
}

/// A value that is not what its type says.
#[derive(Debug, thiserror::Error)]
#[error("PostgreSQL sent a value of {0:?} that is not one")]
pub struct Malformed(pub Encoder);

/// A value's bytes, as PostgreSQL sends them.
#[derive(Clone, Copy, Debug)]
pub struct Raw<'a>(pub &'a [u8]);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

impl Encoder {
    /// The encoder of a type; none where its values must be had as text.
    pub fn of(kind: &Type) -> Option<Self> {
        if let Kind::Array(member) = kind.kind() {
            return Self::scalar(member).map(|encoder| Self::Array(encoder.shared()));
        }
        Self::scalar(kind)
    }

    fn scalar(kind: &Type) -> Option<Self> {
        Some(match *kind {
            Type::BOOL => Self::Bool,
            Type::INT2 => Self::Int2,
            Type::INT4 => Self::Int4,
            Type::INT8 => Self::Int8,
            Type::OID => Self::Oid,
            Type::FLOAT4 => Self::Float4,
            Type::FLOAT8 => Self::Float8,
            Type::NUMERIC => Self::Numeric,
            Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME => Self::Text,
            Type::JSON => Self::Json,
            Type::JSONB => Self::Jsonb,
            Type::DATE => Self::Date,
            Type::TIME => Self::Time,
            Type::TIMESTAMP => Self::Timestamp,
            Type::TIMESTAMPTZ => Self::Timestamptz,
            Type::UUID => Self::Uuid,
            Type::BYTEA => Self::Bytea,
            _ => return None,
        })
    }

    /// The same, to be referred to by the encoder of its lists.
    fn shared(self) -> &'static Self {
        match self {
            Self::Bool => &Self::Bool,
            Self::Int2 => &Self::Int2,
            Self::Int4 => &Self::Int4,
            Self::Int8 => &Self::Int8,
            Self::Oid => &Self::Oid,
            Self::Float4 => &Self::Float4,
            Self::Float8 => &Self::Float8,
            Self::Numeric => &Self::Numeric,
            Self::Text => &Self::Text,
            Self::Json => &Self::Json,
            Self::Jsonb => &Self::Jsonb,
            Self::Date => &Self::Date,
            Self::Time => &Self::Time,
            Self::Timestamp => &Self::Timestamp,
            Self::Timestamptz => &Self::Timestamptz,
            Self::Uuid => &Self::Uuid,
            Self::Bytea => &Self::Bytea,
            Self::Array(member) => member,
        }
    }

    /// What its values are to a consumer; `digits` are those of decimal numbers, where they are known.
    pub fn kind(self, digits: Option<source::Digits>) -> source::Kind {
        match self {
            Self::Bool => source::Kind::Bool,
            Self::Int2 | Self::Int4 => source::Kind::Int32,
            Self::Int8 | Self::Oid => source::Kind::Int64,
            Self::Float4 => source::Kind::Float,
            Self::Float8 => source::Kind::Double,
            Self::Numeric => source::Kind::Decimal(digits),
            Self::Text => source::Kind::Text,
            Self::Json | Self::Jsonb => source::Kind::Json,
            Self::Date => source::Kind::Date,
            Self::Time => source::Kind::Time,
            Self::Timestamp => source::Kind::LocalTimestamp,
            Self::Timestamptz => source::Kind::Timestamp,
            Self::Uuid => source::Kind::Uuid,
            Self::Bytea => source::Kind::Bytes,
            Self::Array(member) => source::Kind::List(Box::new(member.kind(digits))),
        }
    }

    /// Appends a value as a field of CSV. A missing value is an empty field, and an empty text is `""`.
    pub fn csv(self, value: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), Malformed> {
        let Some(bytes) = value else {
            return Ok(());
        };
        if self == Self::Text {
            let text = std::str::from_utf8(bytes).map_err(|_| Malformed(self))?;
            source::csv_text(text, out);
            return Ok(());
        }
        let mut json = Vec::with_capacity(32);
        self.encode(Some(bytes), &mut json)?;
        let is_json = matches!(self, Self::Json | Self::Jsonb);
        source::csv_of_json(&json, is_json, out).ok_or(Malformed(self))
    }

    /// Appends a value; none is null.
    pub fn encode(self, value: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), Malformed> {
        let Some(bytes) = value else {
            out.extend_from_slice(b"null");
            return Ok(());
        };
        self.encode_value(bytes, out).ok_or(Malformed(self))
    }

    fn encode_value(self, bytes: &[u8], out: &mut Vec<u8>) -> Option<()> {
        match self {
            Self::Bool => out.extend_from_slice(if *bytes.first()? == 0 {
                b"false"
            } else {
                b"true"
            }),
            Self::Int2 => number(i64::from(i16::from_be_bytes(bytes.try_into().ok()?)), out)?,
            Self::Int4 => number(i64::from(i32::from_be_bytes(bytes.try_into().ok()?)), out)?,
            Self::Int8 => number(i64::from_be_bytes(bytes.try_into().ok()?), out)?,
            Self::Oid => number(i64::from(u32::from_be_bytes(bytes.try_into().ok()?)), out)?,
            // serde_json writes the shortest digits that read back the same, and null for NaN and the infinities.
            Self::Float4 => {
                serde_json::to_writer(out, &f32::from_be_bytes(bytes.try_into().ok()?)).ok()?;
            }
            Self::Float8 => {
                serde_json::to_writer(out, &f64::from_be_bytes(bytes.try_into().ok()?)).ok()?;
            }
            Self::Numeric => numeric::write(bytes, out)?,
            Self::Text => serde_json::to_writer(out, std::str::from_utf8(bytes).ok()?).ok()?,
            Self::Json => out.extend_from_slice(bytes),
            Self::Jsonb => out.extend_from_slice(bytes.strip_prefix(&[1])?),
            Self::Date => {
                let days = i64::from(i32::from_be_bytes(bytes.try_into().ok()?));
                source::date(days + EPOCH_DAYS, out)?;
            }
            Self::Time => {
                out.push(b'"');
                source::time(i64::from_be_bytes(bytes.try_into().ok()?), out)?;
                out.push(b'"');
            }
            Self::Timestamp => timestamp(i64::from_be_bytes(bytes.try_into().ok()?), "", out)?,
            Self::Timestamptz => timestamp(i64::from_be_bytes(bytes.try_into().ok()?), "Z", out)?,
            Self::Uuid => {
                let uuid = uuid::Uuid::from_slice(bytes).ok()?;
                write!(out, "\"{}\"", uuid.hyphenated()).ok()?;
            }
            Self::Bytea => {
                out.push(b'"');
                out.extend_from_slice(
                    base64::engine::general_purpose::STANDARD
                        .encode(bytes)
                        .as_bytes(),
                );
                out.push(b'"');
            }
            Self::Array(member) => array(*member, bytes, out)?,
        }
        Some(())
    }
}

fn number(value: i64, out: &mut Vec<u8>) -> Option<()> {
    serde_json::to_writer(out, &value).ok()
}

/// Days between 1970 and 2000, from where PostgreSQL counts.
pub const EPOCH_DAYS: i64 = 10_957;
/// Microseconds of a day.
pub const MICROS_A_DAY: i64 = 86_400_000_000;

/// A moment that PostgreSQL counts from 2000; null where it is infinite.
fn timestamp(micros: i64, zone: &str, out: &mut Vec<u8>) -> Option<()> {
    let since_1970 = micros.checked_add(EPOCH_DAYS * MICROS_A_DAY);
    source::timestamp(since_1970.unwrap_or(i64::MAX), zone, out)
}

/// A list, or a list of lists: dimensions, a flag, the member's type, each dimension's length and first index, members.
fn array(member: Encoder, bytes: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut rest = bytes;
    let dimensions = take_i32(&mut rest)?;
    take_i32(&mut rest)?;
    take_i32(&mut rest)?;
    let mut lengths = Vec::new();
    for _ in 0..dimensions {
        lengths.push(usize::try_from(take_i32(&mut rest)?).ok()?);
        take_i32(&mut rest)?;
    }
    if lengths.is_empty() {
        out.extend_from_slice(b"[]");
        return Some(());
    }
    members(member, &lengths, &mut rest, out)
}

fn members(member: Encoder, lengths: &[usize], rest: &mut &[u8], out: &mut Vec<u8>) -> Option<()> {
    out.push(b'[');
    for at in 0..lengths[0] {
        if at > 0 {
            out.push(b',');
        }
        if lengths.len() > 1 {
            members(member, &lengths[1..], rest, out)?;
            continue;
        }
        let length = take_i32(rest)?;
        let value = match usize::try_from(length) {
            Ok(length) => {
                let (value, after) = rest.split_at_checked(length)?;
                *rest = after;
                Some(value)
            }
            Err(_) => None,
        };
        member.encode(value, out).ok()?;
    }
    out.push(b']');
    Some(())
}

/// The first four bytes as a number; what is behind them is left.
pub fn take_i32(rest: &mut &[u8]) -> Option<i32> {
    let (value, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    Some(i32::from_be_bytes(*value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(encoder: Encoder, bytes: &[u8]) -> String {
        let mut out = Vec::new();
        encoder.encode(Some(bytes), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_without_a_json_form_are_null() {
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(encoded(Encoder::Float8, &number.to_be_bytes()), "null");
        }
        assert_eq!(encoded(Encoder::Float8, &0.1f64.to_be_bytes()), "0.1");
        assert_eq!(
            encoded(Encoder::Int8, &i64::MIN.to_be_bytes()),
            "-9223372036854775808"
        );
    }

    #[test]
    fn fields_of_csv_are_quoted_where_they_must_be() {
        let field = |encoder: Encoder, value: Option<&[u8]>| {
            let mut out = Vec::new();
            encoder.csv(value, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(field(Encoder::Text, Some(b"a,b")), "\"a,b\"");
        assert_eq!(field(Encoder::Text, Some(b"")), "\"\"");
        assert_eq!(field(Encoder::Text, None), "");
        assert_eq!(field(Encoder::Int8, Some(&7i64.to_be_bytes())), "7");
        assert_eq!(field(Encoder::Float8, Some(&f64::NAN.to_be_bytes())), "");
        assert_eq!(
            field(Encoder::Date, Some(&0i32.to_be_bytes())),
            "2000-01-01"
        );
        assert_eq!(
            field(Encoder::Json, Some(br#"{"a":1,"b":2}"#)),
            r#""{""a"":1,""b"":2}""#
        );
    }

    #[test]
    fn text_is_escaped() {
        assert_eq!(
            encoded(Encoder::Text, "a\"\\\n\u{1}é".as_bytes()),
            r#""a\"\\\n\u0001é""#
        );
        assert!(
            Encoder::Text
                .encode(Some(&[0xff]), &mut Vec::new())
                .is_err()
        );
    }

    #[test]
    fn moments_are_rfc_3339() {
        let micros = |text: &str| {
            let timestamp: jiff::Timestamp = text.parse().unwrap();
            timestamp.as_microsecond() - EPOCH_DAYS * MICROS_A_DAY
        };
        for (text, expected) in [
            ("2026-11-21T08:00:00Z", "\"2026-11-21T08:00:00Z\""),
            ("2026-11-21T08:00:00.120Z", "\"2026-11-21T08:00:00.120Z\""),
            (
                "1969-12-31T23:59:59.999999Z",
                "\"1969-12-31T23:59:59.999999Z\"",
            ),
            ("2000-02-29T00:00:00Z", "\"2000-02-29T00:00:00Z\""),
            ("0001-01-01T00:00:00Z", "\"0001-01-01T00:00:00Z\""),
        ] {
            assert_eq!(
                encoded(Encoder::Timestamptz, &micros(text).to_be_bytes()),
                expected
            );
        }
        assert_eq!(
            encoded(Encoder::Timestamptz, &i64::MAX.to_be_bytes()),
            "null"
        );
        assert_eq!(encoded(Encoder::Date, &i32::MIN.to_be_bytes()), "null");
        assert_eq!(
            encoded(Encoder::Timestamp, &0i64.to_be_bytes()),
            "\"2000-01-01T00:00:00\""
        );
    }

    #[test]
    fn a_list_that_is_cut_is_refused() {
        let empty = [0u8; 12];
        assert_eq!(encoded(Encoder::Array(&Encoder::Int4), &empty), "[]");
        assert!(
            Encoder::Array(&Encoder::Int4)
                .encode(Some(&empty[..11]), &mut Vec::new())
                .is_err()
        );
    }
}
