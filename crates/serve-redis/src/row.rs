//! Rows as they lie in Redis, and their values as answers have them.

use crate::plan::Plan;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use millrace_redis::ColumnType;
use millrace_serve::source::{self, Cell, csv_of_json, csv_text};
use serde_json::value::RawValue;
use std::collections::{BTreeMap, HashMap};

/// The day from which days are counted.
const EPOCH: Date = jiff::civil::date(1970, 1, 1);

/// What does not fit what publish noted: the rows are being written anew, or somebody else wrote there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit(pub String);

/// A row: its values as JSON, in the order of the answer's columns.
#[derive(Debug)]
pub struct Row<'p> {
    kinds: &'p [ColumnType],
    values: Vec<Option<Box<RawValue>>>,
}

impl<'p> Row<'p> {
    /// A row that lies there as a JSON object.
    pub fn of_document(document: &[u8], plan: &'p Plan) -> Result<Self, Unfit> {
        let fields: BTreeMap<String, &RawValue> = serde_json::from_slice(document)
            .map_err(|_| Unfit("what lies there is no JSON object".to_owned()))?;
        let columns = source::Plan::columns(plan).iter();
        let value = |name: &str| fields.get(name).map(|value| RawValue::to_owned(value));
        Ok(Self {
            kinds: &plan.kinds,
            values: columns.map(|column| value(&column.name)).collect(),
        })
    }

    /// A row that lies there as a hash.
    pub fn of_fields(fields: &HashMap<String, String>, plan: &'p Plan) -> Result<Self, Unfit> {
        let columns = source::Plan::columns(plan).iter().zip(&plan.kinds);
        let values = columns.map(|(column, kind)| {
            let Some(text) = fields.get(&column.name) else {
                return Ok(None);
            };
            let json = if kind.is_quoted() {
                serde_json::Value::from(text.as_str()).to_string()
            } else {
                text.clone()
            };
            let unfit = |_| Unfit(format!("the field `{}` is no JSON", column.name));
            RawValue::from_string(json).map(Some).map_err(unfit)
        });
        Ok(Self {
            kinds: &plan.kinds,
            values: values.collect::<Result<_, _>>()?,
        })
    }

    /// A value as JSON.
    fn value(&self, column: usize) -> &str {
        self.values[column]
            .as_ref()
            .map_or("null", |value| value.get())
    }

    fn unfit(&self, column: usize) -> Unfit {
        let (value, kind) = (self.value(column), self.kinds[column]);
        let excerpt: String = value.chars().take(40).collect();
        Unfit(format!("`{excerpt}` is no value of {kind:?}"))
    }
}

impl source::Row for Row<'_> {
    type Error = Unfit;

    fn json(&self, column: usize, out: &mut Vec<u8>) -> Result<(), Unfit> {
        let value = self.value(column);
        if !is_of(value, self.kinds[column]) {
            return Err(self.unfit(column));
        }
        out.extend_from_slice(value.as_bytes());
        Ok(())
    }

    fn csv(&self, column: usize, out: &mut Vec<u8>) -> Result<(), Unfit> {
        let (value, kind) = (self.value(column), self.kinds[column]);
        let unfit = || self.unfit(column);
        if !is_of(value, kind) {
            return Err(unfit());
        }
        if kind == ColumnType::Text && value != "null" {
            csv_text(&text(value).ok_or_else(unfit)?, out);
            return Ok(());
        }
        csv_of_json(value.as_bytes(), kind == ColumnType::Json, out).ok_or_else(unfit)
    }

    fn cell(&self, column: usize) -> Result<Cell<'_>, Unfit> {
        let (value, kind) = (self.value(column), self.kinds[column]);
        if value == "null" {
            return Ok(Cell::Null);
        }
        cell(value, kind).ok_or_else(|| self.unfit(column))
    }
}

/// Whether a JSON value is of a column's type, as far as its form tells.
fn is_of(value: &str, kind: ColumnType) -> bool {
    let first = value.as_bytes().first().copied().unwrap_or_default();
    match kind {
        _ if value == "null" => true,
        ColumnType::Json => true,
        ColumnType::Bool => matches!(value, "true" | "false"),
        ColumnType::Int => value.parse::<i64>().is_ok(),
        ColumnType::Double | ColumnType::Decimal { .. } => first == b'-' || first.is_ascii_digit(),
        ColumnType::Text
        | ColumnType::Date
        | ColumnType::Timestamp
        | ColumnType::LocalTimestamp
        | ColumnType::Bytes => first == b'"',
    }
}

fn text(value: &str) -> Option<String> {
    serde_json::from_str(value).ok()
}

/// A value that is not null, as it is.
fn cell(value: &str, kind: ColumnType) -> Option<Cell<'_>> {
    Some(match kind {
        ColumnType::Text => Cell::Text(text(value)?.into()),
        ColumnType::Json => Cell::Text(value.into()),
        ColumnType::Int => Cell::Int(value.parse().ok()?),
        ColumnType::Double => Cell::Double(value.parse().ok()?),
        ColumnType::Decimal { .. } => Cell::Decimal(value.into()),
        ColumnType::Bool => Cell::Bool(value.parse().ok()?),
        ColumnType::Date => {
            let date: Date = text(value)?.parse().ok()?;
            Cell::Date(date.since(EPOCH).ok()?.get_days())
        }
        ColumnType::Timestamp => {
            let at: Timestamp = text(value)?.parse().ok()?;
            Cell::Timestamp(at.as_microsecond())
        }
        ColumnType::LocalTimestamp => {
            let at: DateTime = text(value)?.parse().ok()?;
            let at = at.to_zoned(TimeZone::UTC).ok()?;
            Cell::Timestamp(at.timestamp().as_microsecond())
        }
        ColumnType::Bytes => Cell::Bytes(STANDARD.decode(text(value)?).ok()?.into()),
    })
}
