//! A connection: how a system is reached.

pub use super::auth::{Auth, KeyPlace};
use super::millis;
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
    /// How much may be asked of it.
    pub politeness: Politeness,
    /// Headers of every request.
    pub headers: BTreeMap<String, String>,
    /// How long a request may take.
    pub timeouts: Timeouts,
}

/// How much may be asked of a system by all that use one credential of it, wherever they run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Politeness {
    /// The most requests that may be sent, each of them kept; empty where the system names no limit.
    pub rates: Vec<RateLimit>,
    /// The same for the parts of the system that have limits of their own, by the name that resources give as
    /// `rate_scope`.
    pub scopes: BTreeMap<String, Vec<RateLimit>>,
    /// How many requests may be under way at once; none where the system names no such limit.
    pub concurrency: Option<u32>,
    /// The longest wait that a step sits out; a longer one is the conductor's.
    #[serde(with = "millis")]
    pub wait_limit: Duration,
}

impl Default for Politeness {
    fn default() -> Self {
        Self {
            rates: Vec::new(),
            scopes: BTreeMap::new(),
            concurrency: None,
            wait_limit: Duration::from_mins(1),
        }
    }
}

/// How long a request may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeouts {
    /// Until there is a connection.
    #[serde(with = "millis")]
    pub connect: Duration,
    /// From the request to the answer's first byte, and from any byte of the body to the next one.
    #[serde(with = "millis")]
    pub first_byte: Duration,
    /// From connect to the last byte of the body.
    #[serde(with = "millis")]
    pub whole: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            first_byte: Duration::from_secs(30),
            whole: Duration::from_mins(1),
        }
    }
}

/// At most so many requests in so long a time, wherever that begins: `5/s`, `100/10s`, `1000/h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateLimit {
    /// How many requests.
    pub requests: u32,
    /// In how long.
    #[serde(with = "millis")]
    pub per: Duration,
}
