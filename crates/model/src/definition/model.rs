//! A model: a table made of tables.

use super::millis;
use super::pipeline::{Expectation, WriteMode, a_week};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A Delta table made of other tables by a SELECT.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// Its name within the pipeline: that of its table.
    pub name: String,
    /// The file that holds its SELECT, `models/<name>.sql`; none where the pipeline's does.
    pub file: Option<String>,
    /// The SELECT. Of a model whose file is not read yet it is empty.
    pub sql: String,
    /// The tables that the SELECT reads, each once.
    pub reads: Vec<TableName>,
    /// What becomes of the rows that it holds already.
    pub write: WriteMode,
    /// The columns that together name a row; not empty for `upsert`.
    pub key: Vec<String>,
    /// What its rows are held to.
    pub expect: Vec<Expectation>,
    /// How long earlier versions of it can be read.
    #[serde(with = "millis", default = "a_week")]
    pub keep_versions: Duration,
}

/// A table of the lake.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TableName {
    /// The pipeline that makes it.
    pub pipeline: String,
    /// The table; `orders__lines` is a child of `orders`.
    pub table: String,
}

impl TableName {
    /// The table or model of the pipeline's definition: of a child its root.
    pub fn root(&self) -> &str {
        self.table.split("__").next().unwrap_or(&self.table)
    }
}

impl std::fmt::Display for TableName {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}.{}", self.pipeline, self.table)
    }
}
