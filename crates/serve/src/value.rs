//! Values that are bound: of which types they are.

use crate::params;
use millrace_model::definition::endpoint::{Param, ParamType};
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
