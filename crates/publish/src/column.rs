//! A table's columns, as PostgreSQL has them.

use arrow::datatypes::{DataType, Schema, TimeUnit};
use millrace_model::{Failure, FailureName};
use millrace_postgres::sql::identifier;
use std::fmt;

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: PgType,
}

/// The types of published columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PgType {
    /// Text.
    Text,
    /// JSON, as it was written: what `jsonb` would make of it is not always what it was, and it refuses some.
    Json,
    /// Structs and lists.
    Jsonb,
    /// Whole numbers.
    Bigint,
    /// Numbers.
    Double,
    /// Decimal numbers.
    Numeric(u8, i8),
    /// True or false.
    Boolean,
    /// Days.
    Date,
    /// Moments.
    Timestamptz,
    /// Moments without a time zone.
    Timestamp,
    /// Bytes.
    Bytea,
}

impl fmt::Display for PgType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => formatter.write_str("text"),
            Self::Json => formatter.write_str("json"),
            Self::Jsonb => formatter.write_str("jsonb"),
            Self::Bigint => formatter.write_str("bigint"),
            Self::Double => formatter.write_str("double precision"),
            Self::Numeric(precision, scale) => write!(formatter, "numeric({precision}, {scale})"),
            Self::Boolean => formatter.write_str("boolean"),
            Self::Date => formatter.write_str("date"),
            Self::Timestamptz => formatter.write_str("timestamptz"),
            Self::Timestamp => formatter.write_str("timestamp"),
            Self::Bytea => formatter.write_str("bytea"),
        }
    }
}

impl Column {
    /// The columns of a Delta table; `is_json` says of which text columns it is known that they hold JSON.
    pub fn all(schema: &Schema, is_json: &dyn Fn(&str) -> bool) -> Result<Vec<Self>, Failure> {
        let columns: Result<Vec<Self>, Failure> = schema
            .fields()
            .iter()
            .map(|field| {
                let kind = match field.data_type() {
                    DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View if is_json(field.name()) => PgType::Json,
                    DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => PgType::Text,
                    DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => PgType::Bigint,
                    DataType::Float32 | DataType::Float64 => PgType::Double,
                    DataType::Decimal128(precision, scale) if *scale >= 0 => PgType::Numeric(*precision, *scale),
                    DataType::Boolean => PgType::Boolean,
                    DataType::Date32 => PgType::Date,
                    DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => PgType::Timestamptz,
                    DataType::Timestamp(TimeUnit::Microsecond, None) => PgType::Timestamp,
                    DataType::Binary => PgType::Bytea,
                    DataType::Struct(_) | DataType::List(_) => PgType::Jsonb,
                    other => {
                        let text = format!(
                            "the column `{}` is of the type {other}, which cannot be published: give it another one \
                             under `columns`",
                            field.name()
                        );
                        return Err(Failure::new(FailureName::BadDefinition, text));
                    }
                };
                Ok(Self { name: field.name().clone(), kind })
            })
            .collect();
        let columns = columns?;
        if let Some(long) = columns
            .iter()
            .find(|column| column.name.len() > LONGEST_NAME)
        {
            let text = format!(
                "the column `{}` has a name of {} bytes; PostgreSQL's have at most {LONGEST_NAME}: give it another one \
                 under `columns`",
                long.name,
                long.name.len()
            );
            return Err(Failure::new(FailureName::BadDefinition, text));
        }
        Ok(columns)
    }

    /// The name, quoted.
    pub fn quoted(&self) -> String {
        identifier(&self.name)
    }
}

/// What PostgreSQL keeps of a name, in bytes.
pub const LONGEST_NAME: usize = 63;

/// The names, quoted, with commas between.
pub fn list(columns: &[Column]) -> String {
    columns
        .iter()
        .map(Column::quoted)
        .collect::<Vec<_>>()
        .join(", ")
}
