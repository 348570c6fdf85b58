//! How PostgreSQL gets the values that are bound, and by which types.

use crate::numeric;
use bytes::BytesMut;
use millrace_model::definition::endpoint::ParamType;
use millrace_serve::source::{Bound, Value};
use std::error::Error;
use tokio_postgres::types::{IsNull, Kind, ToSql, Type, to_sql_checked};

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

/// A value as it is bound.
#[derive(Debug)]
pub struct Bind<'a>(pub &'a Value);

impl ToSql for Bind<'_> {
    fn to_sql(
        &self,
        bound: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        let decimal = |text: &str, out: &mut BytesMut| {
            let bytes = numeric::parse(text).ok_or("the number has too many digits")?;
            out.extend_from_slice(&bytes);
            Ok::<_, Box<dyn Error + Sync + Send>>(IsNull::No)
        };
        match self.0 {
            Value::Null => Ok(IsNull::Yes),
            Value::Int(number) if *bound == Type::NUMERIC => decimal(&number.to_string(), out),
            Value::Int(number) => number.to_sql(bound, out),
            Value::Double(number) if *bound == Type::NUMERIC => {
                decimal(&format!("{number:?}"), out)
            }
            Value::Double(number) => number.to_sql(bound, out),
            Value::Bool(value) => value.to_sql(bound, out),
            Value::Text(text) => text.to_sql(bound, out),
            Value::Date(date) => date.to_sql(bound, out),
            Value::Timestamp(timestamp) => timestamp.to_sql(bound, out),
            Value::Decimal(text) => decimal(text, out),
            Value::List(values) => {
                let values: Vec<Bind<'_>> = values.iter().map(Bind).collect();
                values.to_sql(bound, out)
            }
            Value::Uuid(uuid) if *bound == Type::UUID => uuid.to_sql(bound, out),
            Value::Uuid(uuid) => uuid.hyphenated().to_string().to_sql(bound, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}
