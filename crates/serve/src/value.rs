//! Values that are bound: of which types they are, and how PostgreSQL gets them.

use crate::numeric;
use crate::params;
use bytes::BytesMut;
use millrace_model::definition::endpoint::{Param, ParamType};
use std::error::Error;
use tokio_postgres::types::{IsNull, Kind, ToSql, Type, to_sql_checked};
use uuid::Uuid;

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

impl Value {
    /// What a request would send.
    pub fn example(&self) -> serde_json::Value {
        match self {
            Self::Null => serde_json::Value::Null,
            Self::Int(number) => (*number).into(),
            Self::Double(number) => (*number).into(),
            Self::Bool(value) => (*value).into(),
            Self::Text(text) => text.as_str().into(),
            Self::Decimal(text) => text
                .parse::<f64>()
                .map_or(serde_json::Value::Null, Into::into),
            Self::Date(date) => date.to_string().into(),
            Self::Timestamp(timestamp) => timestamp.to_string().into(),
            Self::Uuid(uuid) => uuid.hyphenated().to_string().into(),
            Self::List(values) => values.iter().map(Self::example).collect(),
        }
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

/// A value that a parameter may have: its default, else one of its type.
pub fn sample(param: &Param) -> Value {
    let one = match params::default(param) {
        Ok(value) if value != Value::Null => return value,
        _ => match param.kind {
            ParamType::Int => Value::Int(param.min.unwrap_or(1.0) as i64),
            ParamType::Double => Value::Double(param.min.unwrap_or(1.0)),
            ParamType::Decimal => Value::Decimal(param.min.unwrap_or(1.0).to_string()),
            ParamType::Bool => Value::Bool(true),
            ParamType::String => Value::Text(match param.one_of.first() {
                Some(one) => one.clone(),
                None => "a".repeat(param.min_length.unwrap_or(1).max(1) as usize),
            }),
            ParamType::Date => Value::Date(jiff::civil::date(2026, 11, 21)),
            ParamType::Timestamp => Value::Timestamp(
                jiff::civil::date(2026, 11, 21)
                    .to_zoned(jiff::tz::TimeZone::UTC)
                    .map_or(jiff::Timestamp::UNIX_EPOCH, |day| day.timestamp()),
            ),
            ParamType::Uuid => Value::Uuid(uuid::Uuid::nil()),
        },
    };
    if param.list {
        Value::List(vec![one])
    } else {
        one
    }
}
