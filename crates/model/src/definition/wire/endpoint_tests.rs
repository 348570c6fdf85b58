//! `endpoints/tests/<name>.yaml`.

use crate::definition::endpoint_tests::ColumnKind;
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

/// What an endpoint answers to whom: `millrace test` asks, and compares.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Tests of a Millrace endpoint")]
pub(crate) struct EndpointTestsFile {
    /// The tables that the endpoint's queries read, each with its rows. Without them, the tests are asked of what the
    /// pipelines have published on the machine.
    #[serde(default)]
    #[schemars(extend("propertyNames" = { "pattern": r"^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*$" }))]
    pub(crate) tables: IndexMap<String, TableForm>,
    /// The tests.
    #[schemars(extend("minItems" = 1))]
    pub(crate) tests: Vec<TestForm>,
}

/// A table, as publish would have made it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TableForm {
    /// Its columns and their types.
    #[schemars(extend("minProperties" = 1))]
    pub(crate) columns: IndexMap<String, ColumnKind>,
    /// The columns that name a row.
    #[serde(default)]
    pub(crate) key: Vec<String>,
    /// From when on the store has its rows, where the pipeline keeps the recent ones there: rows before it are in the lake
    /// alone. Unless said otherwise, the store has all rows that say how old they are.
    #[schemars(example = &"2026-03-01T00:00:00Z")]
    pub(crate) recent_from: Option<String>,
    /// Its rows. A column that a row does not name is NULL.
    pub(crate) rows: Vec<Map<String, Value>>,
}

/// A request, and what is expected of its answer.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TestForm {
    /// What it shows, in a few words.
    #[schemars(example = &"weaker ones are left out")]
    pub(crate) name: String,
    /// The path that is asked by GET: `/quakes`, `/quakes/us7000abcd`.
    #[schemars(regex(pattern = r"^/"), example = &"/quakes")]
    pub(crate) get: Option<String>,
    /// The path that is asked by POST.
    #[schemars(regex(pattern = r"^/"))]
    pub(crate) post: Option<String>,
    /// The parameters: in the query string of a GET, in the body of a POST.
    #[serde(default)]
    pub(crate) params: IndexMap<String, Value>,
    /// What is known of who asks. Unless said otherwise, it has the scopes that the route wants, and no claims.
    pub(crate) caller: Option<CallerForm>,
    /// The rows of the answer, all of them and in its order. Columns that a row does not name are not compared.
    pub(crate) rows: Option<Vec<Map<String, Value>>>,
    /// How many rows the answer has.
    pub(crate) count: Option<u32>,
    /// That the request is refused, and how.
    pub(crate) error: Option<ErrorForm>,
    /// The columns with which an index begins that the query is read by.
    #[schemars(extend("minItems" = 1), example = &["magnitude"])]
    pub(crate) index: Option<Vec<String>>,
}

/// Who asks.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CallerForm {
    /// Whether it says nothing of itself: no key, no token.
    #[serde(default)]
    pub(crate) anonymous: bool,
    /// What it may do.
    pub(crate) scopes: Option<Vec<String>>,
    /// What else is known of it: claim → value.
    #[serde(default)]
    #[schemars(example = &serde_json::json!({ "tenant": "acme" }))]
    pub(crate) claims: Map<String, Value>,
}

/// How a request is refused.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ErrorForm {
    /// The status: `400`.
    #[schemars(range(min = 400, max = 599))]
    pub(crate) status: u16,
    /// The parameter that it is about.
    pub(crate) parameter: Option<String>,
    /// What its `detail` has among its words.
    pub(crate) says: Option<String>,
}
