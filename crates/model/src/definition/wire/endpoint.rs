//! `endpoints/<name>.yaml`.

use super::form::{DurationText, OneOrMany, SecretName};
use crate::definition::endpoint::{Algorithm, ParamType};
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

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
    /// The contract's version: `1.2.0`; it stands in the API's documentation.
    #[schemars(regex(pattern = r"^[0-9]+(\.[0-9]+){0,2}$"))]
    pub(crate) version: Option<String>,
    /// The day from which on its consumers should look for another endpoint: `2026-11-21`. Answers say so.
    #[schemars(extend("format" = "date"))]
    pub(crate) deprecated: Option<String>,
    /// The day from which on it may no longer answer. Answers say so.
    #[schemars(extend("format" = "date"))]
    pub(crate) sunset: Option<String>,
}

/// The query that answers a path, and who may ask.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RouteForm {
    /// The store that answers: PostgreSQL, the lake, or Redis. It reads what is published there.
    #[schemars(extend("enum" = ["operational_store", "lake", "redis"]))]
    pub(crate) datasource: String,
    /// The store that has the rows which are too old for `datasource`: `lake`. Both answer together.
    #[schemars(extend("enum" = ["lake"]))]
    pub(crate) older: Option<String>,
    /// One PostgreSQL `SELECT` over published tables, each named with its schema; `:name` binds a parameter.
    #[schemars(example = &"SELECT id, magnitude FROM seismology.quakes WHERE magnitude >= :min_magnitude")]
    pub(crate) query: Option<String>,
    /// In place of `query`: the published table whose rows are answered with, `schema.table`.
    #[schemars(example = &"seismology.quakes")]
    pub(crate) table: Option<String>,
    /// With `table`: the columns that name a row; each is a parameter. From Redis: the pattern of the keys, `quake:{id}`,
    /// as it is published; each column in braces is a parameter.
    pub(crate) key: Option<OneOrMany<String>>,
    /// With `table` or from Redis: the columns of the answer; from Redis all of them, unless said otherwise.
    pub(crate) columns: Option<Vec<String>>,
    /// The methods; `[GET]` unless said otherwise. With `POST`, the parameters come as a JSON object in the body.
    #[schemars(extend("items" = { "enum": ["GET", "POST"] }))]
    pub(crate) methods: Option<Vec<String>>,
    /// The parameters. Those in braces in the path are required; the others stand in the query string.
    #[serde(default)]
    pub(crate) params: Vec<ParamForm>,
    /// The columns of the answer by which a caller may sort it: `sort=magnitude`, `sort=-magnitude`.
    #[serde(default)]
    pub(crate) sort: Vec<String>,
    /// The columns of the answer from which a caller may choose: `fields=id,magnitude`. Without, it gets them all.
    #[serde(default)]
    pub(crate) fields: Vec<String>,
    /// Who may ask: `none` (or absent) for anybody, the secret that holds the consumers' keys, or whose tokens are taken.
    pub(crate) auth: Option<ConsumersForm>,
    /// The scopes that a caller must have, all of them.
    #[serde(default)]
    pub(crate) scopes: Vec<String>,
    /// The columns that are null to callers who lack a scope: column → scope.
    #[serde(default)]
    pub(crate) mask: BTreeMap<String, String>,
    /// How many requests a caller may send: `100/m`; behind the slash `s`, `m`, `h` or `d`. Counted in each process.
    #[schemars(regex(pattern = r"^[1-9][0-9]*/[smhd]$"), example = &"100/m")]
    pub(crate) rate_limit: Option<String>,
    /// How many requests a caller may send in a longer while: `10000/d`. Counted over all processes.
    #[schemars(regex(pattern = r"^[1-9][0-9]*/[smhd]$"), example = &"10000/d")]
    pub(crate) quota: Option<String>,
    /// Whether a caller may have the whole answer as files, with `Prefer: respond-async`.
    #[serde(default)]
    pub(crate) export: bool,
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
    /// Whoever has a token of this issuer's.
    Jwt(JwtForm),
}

/// Whose tokens are taken.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct JwtForm {
    /// Who signs them, as their `iss` has it.
    #[schemars(example = &"https://login.example.org/")]
    pub(crate) issuer: String,
    /// For whom they are, as their `aud` has it.
    pub(crate) audience: String,
    /// Where the signer's public keys are (JSON Web Key Set), by `https`.
    #[schemars(example = &"https://login.example.org/.well-known/jwks.json")]
    pub(crate) jwks: String,
    /// How they are signed; `RS256` unless said otherwise. No other way counts, whatever a token says.
    pub(crate) algorithm: Option<Algorithm>,
}

/// Whether, and how long, an answer may be kept.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CachingForm {
    /// Whether it may.
    pub(crate) enabled: bool,
    /// How long; an hour at most.
    pub(crate) ttl: Option<DurationText>,
    /// How long beyond that a caller may use it while it fetches a fresh one (`stale-while-revalidate`).
    pub(crate) stale: Option<DurationText>,
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
    /// Whether it is several values with commas between, for `= ANY(:name)`; a hundred at most.
    #[serde(default)]
    pub(crate) list: bool,
    /// The only values that it may have, of the type `string`.
    #[serde(default, rename = "enum")]
    pub(crate) one_of: Vec<String>,
    /// The regular expression that the whole of it matches, of the type `string`.
    pub(crate) pattern: Option<String>,
    /// The fewest characters, of the type `string`.
    pub(crate) min_length: Option<u32>,
    /// The most characters, of the type `string`.
    pub(crate) max_length: Option<u32>,
    /// The caller's claim that it is taken from: then no request can say it, and a caller without it is refused.
    #[schemars(example = &"tenant")]
    pub(crate) claim: Option<String>,
    /// What it is for; it stands in the API's documentation.
    pub(crate) description: Option<String>,
}
