//! An endpoint: what is served.

use super::{Datasource, KeyPattern, SecretRef, millis};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// A set of routes that belong together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// The contract's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// From when on its consumers should look for another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deprecated: Option<jiff::civil::Date>,
    /// The day from which on it may no longer answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sunset: Option<jiff::civil::Date>,
    /// Its routes, in the order of the file.
    pub routes: Vec<Route>,
}

/// A path, the query that answers it, and who may ask.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Route {
    /// The path: `/quakes`, `/quakes/{id}`.
    pub path: String,
    /// The store that answers.
    pub datasource: Datasource,
    /// The one that answers with the rows that are too old for `datasource`; none where that one answers alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub older: Option<Datasource>,
    /// One `SELECT`, with `:name` where a parameter is bound; empty where the route is a lookup.
    pub query: String,
    /// What is looked up in Redis; none where a query says what is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lookup: Option<Lookup>,
    /// The methods: `GET`, and `POST` where parameters may come as a JSON body.
    pub methods: Vec<String>,
    /// The parameters, each bound by its type.
    pub params: Vec<Param>,
    /// The columns of the answer by which a caller may sort it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sort: Vec<String>,
    /// The columns of the answer from which a caller may choose; empty where it gets them all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
    /// How callers say who they are; none where anybody may ask.
    pub auth: Option<Auth>,
    /// The scopes that a caller must have, all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// The columns that are null to callers who lack a scope: column → scope.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub mask: BTreeMap<String, String>,
    /// How many requests a caller may send to one process in a while; none where as many as it likes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<Rate>,
    /// How many requests a caller may send in a longer while, to all processes together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<Rate>,
    /// Whether a caller may have the whole answer as files.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub export: bool,
    /// How long an answer may be kept; none where it may not.
    pub caching: Option<Caching>,
    /// How long the query may take; 10 s unless said otherwise.
    #[serde(with = "millis")]
    pub timeout: Duration,
}

/// Rows that are looked up by their key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lookup {
    /// Under which keys they lie; each column in it is a parameter.
    pub key: KeyPattern,
    /// The columns of the answer; empty where all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
}

impl Route {
    /// The datasource whose function answers it: of two, the one that can see the other.
    pub fn answered_by(&self) -> Datasource {
        self.older.unwrap_or(self.datasource)
    }
}

/// How callers say who they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Auth {
    /// By a key. The secret is a JSON object of consumer → key, each key in plain text or as `sha256:` and its digest in
    /// hexadecimal, or of consumer → several keys, their expiry, and the consumer's scopes and claims.
    Keys(SecretRef),
    /// By a token that somebody else signed.
    Jwt(Jwt),
}

/// Whose tokens are taken.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Jwt {
    /// Who signs them: `iss`.
    pub issuer: String,
    /// For whom they are: `aud`.
    pub audience: String,
    /// Where the signer's public keys are: a JSON Web Key Set.
    pub jwks: String,
    /// How they are signed; no other way counts, whatever a token says.
    pub algorithm: Algorithm,
}

/// How a token is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Algorithm {
    /// RSA with SHA-256 (PKCS #1 v1.5).
    #[serde(rename = "RS256")]
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

/// So many requests in a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// How many.
    pub requests: u32,
    /// In how long.
    #[serde(with = "millis")]
    pub window: Duration,
}

/// How long an answer may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caching {
    /// As fresh.
    #[serde(with = "millis")]
    pub ttl: Duration,
    /// Beyond that, while a fresh one is fetched.
    #[serde(default, with = "millis", skip_serializing_if = "Duration::is_zero")]
    pub stale: Duration,
}

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
    /// Whether it is several values with commas between, bound as one array.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub list: bool,
    /// The only values that it may have, of texts; empty where it may have others.
    #[serde(default, rename = "enum", skip_serializing_if = "Vec::is_empty")]
    pub one_of: Vec<String>,
    /// The regular expression that the whole of it matches, of texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// The fewest characters, of texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_length: Option<u32>,
    /// The most characters, of texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_length: Option<u32>,
    /// The caller's claim that it is taken from; then no request can say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<String>,
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
    /// A number with all its digits.
    Decimal,
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
