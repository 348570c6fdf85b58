//! What an author may write of a table's quality.

use super::form::DurationText;
use crate::definition::pipeline::Otherwise;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

/// What a table is held to: one of `is`, `between`, `in`, `matches`, `references` and `freshness` of a column, or `schema`
/// of its records, or `rows` of a run.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [
    { "required": ["column", "is"] }, { "required": ["column", "between"] }, { "required": ["column", "in"] },
    { "required": ["column", "matches"] }, { "required": ["column", "references"] },
    { "required": ["column", "freshness"] }, { "required": ["schema"] }, { "required": ["rows"] },
]))]
pub(crate) struct ExpectationForm {
    /// The column, after renaming.
    pub(crate) column: Option<String>,
    /// That each value is there, or that each is there once.
    pub(crate) is: Option<IsForm>,
    /// The least and the greatest value, both allowed.
    pub(crate) between: Option<(f64, f64)>,
    /// The values that are allowed.
    #[serde(rename = "in")]
    pub(crate) one_of: Option<Vec<serde_json::Value>>,
    /// A regular expression that matches a part of each text: `^[A-Z]{2}$`.
    pub(crate) matches: Option<String>,
    /// Another table of the pipeline and its column, in which each value is: `customers.id`.
    #[schemars(example = &"customers.id")]
    pub(crate) references: Option<String>,
    /// How much older than the run's start the newest value may be.
    pub(crate) freshness: Option<DurationText>,
    /// A JSON Schema for each record as it was pulled.
    pub(crate) schema: Option<SchemaForm>,
    /// How many rows a run brings.
    pub(crate) rows: Option<RowCountForm>,
    /// What becomes of a row for which it does not hold; `fail` unless said otherwise.
    #[serde(default)]
    pub(crate) otherwise: Otherwise,
}

/// What a column's values are.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum IsForm {
    /// Each is there once.
    Unique,
    /// Each is there.
    NotNull,
}

/// How many rows a run brings.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RowCountForm {
    /// The least.
    pub(crate) least: Option<u64>,
    /// The most.
    pub(crate) most: Option<u64>,
    /// How far from the mean of the last ten runs, in percent: `50%`. Held once three runs are known.
    #[schemars(regex(pattern = r"^[0-9]+(\.[0-9]+)?%$"), example = &"50%")]
    pub(crate) within: Option<String>,
}

/// A JSON Schema.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct SchemaForm(pub(crate) serde_json::Value);

impl JsonSchema for SchemaForm {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "RecordSchema".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["object", "boolean"] })
    }
}
