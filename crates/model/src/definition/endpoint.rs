//! An endpoint: what is served.

use super::{SecretRef, millis};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A set of routes that belong together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Its routes, in the order of the file.
    pub routes: Vec<Route>,
}

/// A path, the query that answers it, and who may ask.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Route {
    /// The path: `/quakes`, `/quakes/{id}`.
    pub path: String,
    /// The store that answers: `operational_store`.
    pub datasource: String,
    /// One `SELECT`, with `:name` where a parameter is bound.
    pub query: String,
    /// The methods; for now `GET` alone.
    pub methods: Vec<String>,
    /// The parameters, each bound by its type.
    pub params: Vec<Param>,
    /// The secret that holds the consumers' keys; none where anybody may ask. The secret is a JSON object of
    /// consumer → key, each key in plain text or as `sha256:` and its digest in hexadecimal.
    pub auth: Option<SecretRef>,
    /// How long an answer may be kept; none where it may not.
    pub cache_ttl: Option<CacheTtl>,
    /// How long the query may take; 10 s unless said otherwise.
    #[serde(with = "millis")]
    pub timeout: Duration,
}

/// How long an answer may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheTtl(#[serde(with = "millis")] pub Duration);

/// A parameter of a route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Param {
    /// Its name in the URL, and behind the colon in the query.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: ParamType,
    /// Whether a request without it is refused.
    pub required: bool,
    /// What is bound where a request does not say; NULL where this is none as well.
    pub default: Option<serde_json::Value>,
    /// The least value, of numbers.
    pub min: Option<f64>,
    /// The greatest value, of numbers.
    pub max: Option<f64>,
    /// What it is for.
    pub description: Option<String>,
}

/// The types of parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ParamType {
    /// A whole number of 64 bits.
    Int,
    /// A finite number.
    Double,
    /// `true` or `false`.
    Bool,
    /// Text.
    String,
    /// `2026-11-21`.
    Date,
    /// `2026-11-21T08:00:00Z`.
    Timestamp,
    /// A UUID.
    Uuid,
}
