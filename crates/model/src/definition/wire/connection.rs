//! `connections/<name>.yaml`.

use super::auth::AuthForm;
use super::form::{AsWritten, DurationText, OneOrMany};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// How a system is reached; secrets by name, never by value.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Millrace connection")]
pub(crate) struct ConnectionFile {
    /// The connection's name: the file's name without `.yaml`.
    #[schemars(regex(pattern = r"^[a-z][a-z0-9_-]{0,47}$"), example = &"usgs")]
    pub(crate) connection: String,
    /// What every path of a resource is appended to: `http` or `https`, without user, query or fragment.
    #[schemars(regex(pattern = r"^https?://[^@?#\s]+$"), example = &"https://earthquake.usgs.gov/fdsnws/event/1")]
    pub(crate) base_url: String,
    /// How requests prove who sends them; `none` unless said otherwise.
    pub(crate) auth: Option<AuthForm>,
    /// The most requests that may be sent by all that use the credential: so many in so long a time. Of several limits
    /// in a list each is kept.
    pub(crate) rate_limit: Option<OneOrMany<RateText>>,
    /// Limits of their own for parts of the API, by a name that resources give as `rate_scope`.
    #[serde(default)]
    pub(crate) rate_scopes: BTreeMap<String, OneOrMany<RateText>>,
    /// How many requests may be under way at once, of all that use the credential.
    #[schemars(range(min = 1, max = 1000))]
    pub(crate) concurrency: Option<u32>,
    /// The longest wait that a step sits out; a longer one is left to the state machine. `1m` unless said otherwise.
    pub(crate) wait_limit: Option<DurationText>,
    /// Headers of every request. A secret does not stand here but under `auth`.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, AsWritten>,
    /// How long one request may take, to the last byte of the body; `60s` unless said otherwise.
    pub(crate) timeout: Option<DurationText>,
    /// How long a connection may take to be made; `10s` unless said otherwise.
    pub(crate) connect_timeout: Option<DurationText>,
    /// How long the first byte of an answer may take, and each silence within its body; `30s` unless said otherwise.
    pub(crate) first_byte_timeout: Option<DurationText>,
}

/// So many requests in so long a time: `5/s`, `100/10s`, `1000/h`, `50000/d`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline, extend("pattern" = r"^[1-9][0-9]*/[0-9]*(s|m|h|d)$"))]
#[schemars(example = &"5/s", example = &"100/10s")]
pub(crate) struct RateText(pub(crate) String);

impl From<String> for RateText {
    fn from(text: String) -> Self {
        Self(text)
    }
}
