//! `connections/<name>.yaml`.

use super::form::{AsWritten, DurationText, SecretName};
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
    /// The most requests that may be sent: so many a second, minute or hour.
    #[schemars(regex(pattern = r"^[1-9][0-9]*/(s|m|h)$"), example = &"5/s")]
    pub(crate) rate_limit: Option<String>,
    /// Headers of every request. A secret does not stand here but under `auth`.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, AsWritten>,
    /// How long one request may take, to the last byte of the body; `60s` unless said otherwise.
    pub(crate) timeout: Option<DurationText>,
}

/// How requests prove who sends them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AuthForm {
    /// They do not.
    None,
    /// `Authorization: Bearer …`. The secret is the token, or a JSON object whose `token` it is.
    Bearer(SecretForm),
    /// `Authorization: Basic …`. The secret is a JSON object with `username` and `password`.
    Basic(SecretForm),
    /// A key in a header, a query parameter or a cookie. The secret is the key, or a JSON object whose `key` it is.
    ApiKey(ApiKeyForm),
}

/// Where a credential is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecretForm {
    /// The secret's name.
    pub(crate) secret: SecretName,
}

/// Where an API key is, and where it is sent: one of `header`, `query` and `cookie`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["header"] }, { "required": ["query"] }, { "required": ["cookie"] }]))]
pub(crate) struct ApiKeyForm {
    /// The secret's name.
    pub(crate) secret: SecretName,
    /// The header in which the key is sent.
    #[schemars(example = &"X-Api-Key")]
    pub(crate) header: Option<String>,
    /// The query parameter in which the key is sent.
    #[schemars(example = &"key")]
    pub(crate) query: Option<String>,
    /// The cookie in which the key is sent.
    #[schemars(example = &"session")]
    pub(crate) cookie: Option<String>,
}
