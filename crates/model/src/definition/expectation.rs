//! What a table's rows are held to.

use super::millis;
use super::record_schema::RecordSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// What a table is held to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Expectation {
    /// The column, after renaming; empty where the rule is about records or the table as a whole.
    pub column: String,
    /// What must hold.
    pub rule: Rule,
    /// What becomes of a row, or of the run, for which it does not.
    pub otherwise: Otherwise,
}

/// What must hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Each value is there.
    NotNull,
    /// Each value is there once in what a run writes.
    Unique,
    /// Each value that is there lies between these two, both included.
    Between(f64, f64),
    /// Each value that is there is one of these.
    In(Vec<serde_json::Value>),
    /// Each text that is there has a part that this regular expression matches.
    Matches(String),
    /// Each value that is there is one of another table's column.
    References {
        /// The table, of the same pipeline.
        table: String,
        /// Its column.
        column: String,
    },
    /// Each record is as this JSON Schema says.
    Schema(RecordSchema),
    /// A run brings so many rows.
    Rows(RowCount),
    /// The newest value is at most so much older than the run's start.
    Freshness(#[serde(with = "millis")] Duration),
}

impl Rule {
    /// Whether a row is held against others, so that it has to be known first which rows there are.
    pub fn is_joint(&self) -> bool {
        matches!(self, Self::Unique | Self::References { .. })
    }

    /// Whether it is about all rows together, so that none of them breaks it.
    pub fn is_of_the_run(&self) -> bool {
        matches!(self, Self::Rows(_) | Self::Freshness(_))
    }
}

/// How many rows a run brings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RowCount {
    /// The least.
    pub least: Option<u64>,
    /// The most.
    pub most: Option<u64>,
    /// How far from the mean of the last runs, in percent of it.
    pub within: Option<f64>,
}

/// What becomes of what breaks an expectation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Otherwise {
    /// It is written and counted.
    Warn,
    /// The row is kept out of the table, with its reason, under `quarantine/`.
    Quarantine,
    /// The step fails and nothing is written.
    #[default]
    Fail,
}

impl fmt::Display for Expectation {
    /// As the ledger names it: `magnitude between -2 and 11`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let column = &self.column;
        match &self.rule {
            Rule::NotNull => write!(formatter, "{column} is not null"),
            Rule::Unique => write!(formatter, "{column} is unique"),
            Rule::Between(least, most) => write!(formatter, "{column} between {least} and {most}"),
            Rule::In(values) => {
                let values: Vec<String> = values.iter().map(ToString::to_string).collect();
                write!(formatter, "{column} in {}", values.join(", "))
            }
            Rule::Matches(pattern) => write!(formatter, "{column} matches {pattern}"),
            Rule::References { table, column: of } => {
                write!(formatter, "{column} references {table}.{of}")
            }
            Rule::Schema(_) => formatter.write_str("schema"),
            Rule::Rows(count) => {
                formatter.write_str("rows")?;
                if let Some(least) = count.least {
                    write!(formatter, " at least {least}")?;
                }
                if let Some(most) = count.most {
                    write!(formatter, " at most {most}")?;
                }
                match count.within {
                    Some(percent) => write!(formatter, " within {percent}% of the last runs"),
                    None => Ok(()),
                }
            }
            Rule::Freshness(age) => {
                write!(formatter, "{column} not older than {} s", age.as_secs())
            }
        }
    }
}
