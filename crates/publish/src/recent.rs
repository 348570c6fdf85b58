//! Which rows of a table the store keeps, where it keeps the recent ones alone: those from a moment on that moves with the
//! runs. The lake has the others, and those that do not say how old they are.

use crate::column::{Column, PgType};
use arrow::array::{Array, ArrayRef, Date32Array, RecordBatch, Scalar, TimestampMicrosecondArray};
use arrow::compute::filter_record_batch;
use arrow::compute::kernels::cmp::gt_eq;
use arrow::datatypes::DataType;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use millrace_lake::DataFile;
use millrace_model::definition::pipeline::Recent;
use millrace_model::ledger::RunId;
use millrace_model::recent::RecentRows;
use millrace_model::{Failure, FailureName};
use millrace_postgres::sql::literal;
use serde_json::Value;
use std::sync::Arc;

/// What a bound of a file may lack: there are writers who cut it to milliseconds.
const ROUNDED: SignedDuration = SignedDuration::from_millis(1);
const DAY: i64 = 86_400;

/// Where the store's rows begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The column that says how old a row is.
    by: Column,
    /// What publish notes of it, but for whether there are rows that do not say how old they are.
    rows: RecentRows,
}

impl Cut {
    /// Where they begin once that run has published: as long before its start as rows are kept, and never earlier than
    /// `before` says, unless they are to be kept for longer than then. An error where the column says no age.
    pub fn new(
        recent: &Recent,
        columns: &[Column],
        key: &[String],
        run: &RunId,
        before: Option<&RecentRows>,
    ) -> Result<Self, Failure> {
        let Recent { by, keep } = recent;
        let bad = |text: String| Failure::new(FailureName::BadDefinition, text);
        let column = columns.iter().find(|column| column.name == *by);
        let column = column.ok_or_else(|| {
            bad(format!(
                "`recent.by` names the column `{by}`, which the table does not have"
            ))
        })?;
        if !matches!(column.kind, PgType::Timestamptz | PgType::Date) {
            return Err(bad(format!(
                "`recent.by` names the column `{by}` of the type {}: rows are as old as a `timestamp` or a `date` says",
                column.kind
            )));
        }
        let wanted = run.began().saturating_sub(*keep);
        let wanted = wanted.map_err(|error| bad(format!("`recent.keep`: {error}")))?;
        let wanted = match column.kind {
            PgType::Date => midnight(wanted),
            _ => wanted,
        };
        let keep = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX);
        let before = before.filter(|before| before.by == *by && before.keep >= keep);
        Ok(Self {
            by: column.clone(),
            rows: RecentRows {
                by: by.clone(),
                from: before.map_or(wanted, |before| before.from.max(wanted)),
                keep,
                key: key.to_vec(),
                undated: true,
            },
        })
    }

    /// Whether the rows that are there suffice: none from here on is missing.
    pub fn is_behind(&self, before: Option<&RecentRows>) -> bool {
        before.is_some_and(|before| before.by == self.rows.by && before.from <= self.rows.from)
    }

    /// What is noted of a table of these files.
    pub fn noted(&self, files: &[DataFile]) -> RecentRows {
        let undated = files
            .iter()
            .any(|file| self.stat(file, "nullCount") != Some(Value::from(0)));
        RecentRows {
            undated,
            ..self.rows.clone()
        }
    }

    /// Whether a file may have one of the rows, by its bounds.
    pub fn may_be_in(&self, file: &DataFile) -> bool {
        let Some(Value::String(greatest)) = self.stat(file, "maxValues") else {
            return true;
        };
        let greatest = match self.by.kind {
            PgType::Date => greatest
                .parse::<Date>()
                .ok()
                .and_then(|day| day.to_zoned(TimeZone::UTC).ok())
                .map(|day| day.timestamp()),
            _ => greatest.parse::<Timestamp>().ok(),
        };
        let greatest = greatest.and_then(|greatest| greatest.checked_add(ROUNDED).ok());
        greatest.is_none_or(|greatest| greatest >= self.rows.from)
    }

    fn stat(&self, file: &DataFile, name: &str) -> Option<Value> {
        let mut stats: Value = serde_json::from_str(file.stats.as_deref()?).ok()?;
        Some(stats.get_mut(name)?.get_mut(&self.by.name)?.take())
    }

    /// Those of a batch.
    pub fn of(&self, batch: &RecordBatch) -> Result<RecordBatch, Failure> {
        let unfit = |text: String| Failure::new(FailureName::Internal, text);
        let column = batch.column_by_name(&self.by.name);
        let column =
            column.ok_or_else(|| unfit(format!("the rows lack the column `{}`", self.by.name)))?;
        let kept = self
            .first(column.data_type())
            .and_then(|first| gt_eq(column, &Scalar::new(first)).ok());
        // What is null is not greater either, and is filtered out.
        let filtered = kept.map(|kept| filter_record_batch(batch, &kept));
        match filtered {
            Some(Ok(rows)) => Ok(rows),
            _ => Err(unfit(format!(
                "the column `{}` is of the type {} in the lake",
                self.by.name,
                column.data_type()
            ))),
        }
    }

    /// The first value that is kept, as an array of one.
    fn first(&self, kind: &DataType) -> Option<ArrayRef> {
        let from = self.rows.from;
        match kind {
            DataType::Date32 => {
                let days = i32::try_from(from.as_second().div_euclid(DAY)).ok()?;
                Some(Arc::new(Date32Array::from(vec![days])))
            }
            DataType::Timestamp(_, zone) => {
                let micros = TimestampMicrosecondArray::from(vec![from.as_microsecond()]);
                Some(Arc::new(micros.with_timezone_opt(zone.clone())))
            }
            _ => None,
        }
    }

    /// The condition that a row of that table is kept.
    pub fn keeps(&self, table: &str) -> String {
        format!("{table}.{} >= {}", self.by.quoted(), self.literal())
    }

    /// The condition that it is not.
    pub fn leaves(&self, table: &str) -> String {
        format!("({}) IS NOT TRUE", self.keeps(table))
    }

    /// The condition that a row which was kept is too old now.
    pub fn outgrows(&self, table: &str) -> String {
        format!("{table}.{} < {}", self.by.quoted(), self.literal())
    }

    fn literal(&self) -> String {
        format!("{}::{}", literal(&self.rows.from.to_string()), self.by.kind)
    }
}

fn midnight(moment: Timestamp) -> Timestamp {
    let second = moment.as_second().div_euclid(DAY) * DAY;
    Timestamp::from_second(second).unwrap_or(moment)
}
