//! A connection: how a system is reached.

use super::{SecretRef, millis};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// How a system is reached. Secrets are named, never held.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Connection {
    /// Its name, which is the file's name as well.
    pub name: String,
    /// What every path of a resource is appended to; without a slash at the end.
    pub base_url: String,
    /// How requests prove who sends them.
    pub auth: Auth,
    /// The most requests that may be sent; none where the system names no limit.
    pub rate_limit: Option<RateLimit>,
    /// Headers of every request.
    pub headers: BTreeMap<String, String>,
    /// How long one request may take, from connect to the last byte of the body.
    #[serde(with = "millis")]
    pub timeout: Duration,
}

/// How requests prove who sends them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Auth {
    /// They do not.
    None,
    /// `Authorization: Bearer …`; the secret is the token, or a JSON object whose `token` it is.
    Bearer {
        /// Where the token is.
        secret: SecretRef,
    },
    /// `Authorization: Basic …`; the secret is a JSON object with `username` and `password`.
    Basic {
        /// Where they are.
        secret: SecretRef,
    },
    /// A key in a header, a parameter or a cookie; the secret is the key, or a JSON object whose `key` it is.
    ApiKey {
        /// Where the key is.
        secret: SecretRef,
        /// Where it is sent.
        place: KeyPlace,
    },
}

impl Auth {
    /// The secret that it needs, if any.
    pub fn secret(&self) -> Option<&SecretRef> {
        match self {
            Self::None => None,
            Self::Bearer { secret } | Self::Basic { secret } | Self::ApiKey { secret, .. } => {
                Some(secret)
            }
        }
    }
}

/// Where an API key is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyPlace {
    /// In the header of this name.
    Header(String),
    /// In the query parameter of this name.
    Query(String),
    /// In the cookie of this name.
    Cookie(String),
}

/// At most so many requests in so long a time: `5/s`, `100/m`, `1000/h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateLimit {
    /// How many requests.
    pub requests: u32,
    /// In how long.
    #[serde(with = "millis")]
    pub per: Duration,
}
