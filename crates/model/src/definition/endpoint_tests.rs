//! Tests of an endpoint: requests, and what is expected of their answers.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The tests of an endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointTests {
    /// The endpoint, and the file.
    pub endpoint: String,
    /// The tables that are asked; none where the tests are asked of what was published.
    pub tables: Vec<TableRows>,
    /// The tests, in the order of the file.
    pub tests: Vec<EndpointTest>,
}

/// A table and its rows.
#[derive(Clone, Debug, PartialEq)]
pub struct TableRows {
    /// The schema.
    pub schema: String,
    /// The table.
    pub relation: String,
    /// Its columns, in their order.
    pub columns: Vec<(String, ColumnKind)>,
    /// The columns that name a row.
    pub key: Vec<String>,
    /// From when on the store has its rows, where it keeps the recent ones alone; none where it has all that say how old
    /// they are.
    pub recent_from: Option<Timestamp>,
    /// Its rows: column → value.
    pub rows: Vec<Map<String, Value>>,
}

impl TableRows {
    /// The table with its schema, as pipelines publish it.
    pub fn target(&self) -> String {
        format!("{}.{}", self.schema, self.relation)
    }
}

/// The types of columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ColumnKind {
    /// Text.
    String,
    /// A whole number of 64 bits.
    Int,
    /// A number.
    Double,
    /// A number with all its digits.
    Decimal,
    /// `true` or `false`.
    Bool,
    /// `2026-11-21`.
    Date,
    /// `2026-11-21T08:00:00Z`.
    Timestamp,
    /// JSON.
    Json,
}

/// A request, and what is expected of its answer.
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointTest {
    /// What it shows.
    pub name: String,
    /// Where it is sent.
    pub path: String,
    /// Whether the parameters go into the body of a POST, and not into the query string of a GET.
    pub post: bool,
    /// The parameters.
    pub params: BTreeMap<String, Value>,
    /// Who asks.
    pub asker: Asker,
    /// What is expected.
    pub expected: Expected,
    /// The columns with which an index begins that the query is read by, where one is asked for.
    pub index: Option<Vec<String>>,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq)]
pub enum Asker {
    /// Somebody without a key.
    Nobody,
    /// Somebody who is known.
    Caller {
        /// The scopes; none for those that the route wants.
        scopes: Option<Vec<String>>,
        /// The claims.
        claims: Map<String, Value>,
    },
}

/// What is expected of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Expected {
    /// These rows: the columns that each names.
    Rows(Vec<Map<String, Value>>),
    /// So many rows.
    Count(usize),
    /// A refusal.
    Error {
        /// Its status.
        status: u16,
        /// The parameter that it is about.
        parameter: Option<String>,
        /// What its detail has among its words.
        says: Option<String>,
    },
    /// Rows, whatever they are.
    Answer,
}
