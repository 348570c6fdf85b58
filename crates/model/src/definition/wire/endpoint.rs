//! `endpoints/<name>.yaml`.

use super::form::{DurationText, SecretName};
use crate::definition::endpoint::ParamType;
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

/// What is served.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Millrace endpoint")]
pub(crate) struct EndpointFile {
    /// What the endpoint is called, and what it is for.
    pub(crate) metadata: MetadataForm,
    /// The routes, by path: `/quakes`, `/quakes/{id}`.
    #[schemars(extend("minProperties" = 1, "propertyNames" = { "pattern": "^/" }))]
    pub(crate) routes: IndexMap<String, RouteForm>,
}

/// What the endpoint is called, and what it is for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MetadataForm {
    /// The endpoint's name: the file's name without `.yaml`.
    #[schemars(regex(pattern = r"^[a-z][a-z0-9_-]{0,47}$"), example = &"quakes")]
    pub(crate) name: String,
    /// What it is for, in a sentence; it stands in the API's documentation.
    #[serde(default)]
    pub(crate) description: String,
}

/// The query that answers a path, and who may ask.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RouteForm {
    /// The store that answers.
    #[schemars(extend("enum" = ["operational_store"]))]
    pub(crate) datasource: String,
    /// One PostgreSQL `SELECT` over published tables, each named with its schema; `:name` binds a parameter.
    #[schemars(example = &"SELECT id, magnitude FROM seismology.quakes WHERE magnitude >= :min_magnitude")]
    pub(crate) query: String,
    /// The methods; `[GET]` unless said otherwise.
    #[schemars(extend("items" = { "enum": ["GET"] }))]
    pub(crate) methods: Option<Vec<String>>,
    /// The parameters. Those in braces in the path are required; the others stand in the query string.
    #[serde(default)]
    pub(crate) params: Vec<ParamForm>,
    /// Who may ask: `none` (or absent) for anybody, or the secret that holds the consumers' keys.
    pub(crate) auth: Option<ConsumersForm>,
    /// Whether, and how long, an answer may be kept.
    pub(crate) caching: Option<CachingForm>,
    /// How long the query may take; `10s` unless said otherwise, `29s` at most.
    pub(crate) timeout: Option<DurationText>,
}

/// Who may ask.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ConsumersForm {
    /// Anybody.
    None,
    /// Whoever has one of the keys in this secret; it holds a JSON object of consumer → key.
    SecretPath(SecretName),
}

/// Whether, and how long, an answer may be kept.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CachingForm {
    /// Whether it may.
    pub(crate) enabled: bool,
    /// How long; an hour at most.
    pub(crate) ttl: Option<DurationText>,
}

/// A parameter.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ParamForm {
    /// Its name in the URL, and behind the colon in the query.
    #[schemars(regex(pattern = r"^[a-z][a-z0-9_]*$"), example = &"min_magnitude")]
    pub(crate) name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub(crate) kind: ParamType,
    /// Whether a request without it is refused; `false` unless said otherwise.
    pub(crate) required: Option<bool>,
    /// What is bound where a request does not say; NULL where this is absent as well.
    pub(crate) default: Option<serde_json::Value>,
    /// The least value, of numbers.
    pub(crate) min: Option<f64>,
    /// The greatest value, of numbers.
    pub(crate) max: Option<f64>,
    /// What it is for; it stands in the API's documentation.
    pub(crate) description: Option<String>,
}
