//! `models` of `pipelines/<name>.yaml`.

use super::expectation::ExpectationForm;
use super::form::DurationText;
use crate::definition::pipeline::WriteMode;
use schemars::JsonSchema;
use serde::Deserialize;

/// A Delta table made of other tables by a SELECT.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ModelForm {
    /// Its name within the pipeline, as a table's.
    #[schemars(regex(pattern = r"^[a-z][a-z0-9_]{0,47}$"), example = &"quakes_by_day")]
    pub(crate) name: String,
    /// The file in `models/` that holds its SELECT.
    #[schemars(regex(pattern = r"^[a-z][a-z0-9_-]*\.sql$"), example = &"quakes_by_day.sql")]
    pub(crate) file: Option<String>,
    /// The SELECT, where it has no file. Tables are named `<table>`, those of other pipelines `<pipeline>.<table>`.
    pub(crate) query: Option<String>,
    /// What becomes of the rows that it holds already: `replace` unless said otherwise, `append` or `upsert`.
    pub(crate) write: Option<WriteMode>,
    /// The columns that together name a row.
    #[serde(default)]
    pub(crate) key: Vec<String>,
    /// What its rows are held to, as those of a table are; `schema` is about a row as an object of its columns.
    #[serde(default)]
    pub(crate) expect: Vec<ExpectationForm>,
    /// How long earlier versions of the table can be read; a week unless said otherwise.
    pub(crate) keep_versions: Option<DurationText>,
}
