//! What is sent for a resource, beside its path, parameters and headers; and into which slices its pull is cut.
//!
//! Texts here may be templates (`crate::template`).

use super::millis;
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::time::Duration;

/// How a request is made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RequestForm {
    /// The method.
    pub method: Method,
    /// A URL in the place of `base_url` and path, absolute or relative to `base_url`; no credential goes to another host.
    pub url: Option<String>,
    /// What is sent as the body.
    pub body: Option<Body>,
}

/// The methods by which records are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// Without a body.
    #[default]
    Get,
    /// With one.
    Post,
}

impl Method {
    /// Its name, as it is sent.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

/// The body of a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// JSON. Parameters of the paginator and of `incremental` become fields of it.
    Json(Value),
    /// `application/x-www-form-urlencoded`. Parameters become fields of it.
    Form(BTreeMap<String, String>),
    /// A GraphQL query. Parameters become variables.
    Graphql {
        /// The query, as it is: GraphQL's own variables are its templates.
        query: String,
        /// Its variables.
        variables: Value,
    },
    /// XML, SOAP included. Values are escaped.
    Xml(String),
    /// Text.
    Text(String),
}

/// Into which slices a pull is cut: each parent record, with each tuple of partitions, with each window of time. Every
/// slice is paged through on its own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Slices {
    /// The resource whose records are the parents; it is pulled by the same run, before this one.
    pub parent: Option<String>,
    /// Lists of values, by name.
    pub partitions: IndexMap<String, Vec<Value>>,
    /// Windows of time.
    pub windows: Option<Windows>,
    /// Fields that every record gets of its slice, by name: expressions such as `parent.id`.
    pub carry: BTreeMap<String, String>,
}

impl Slices {
    /// Whether there is only one, which has nothing to say.
    pub fn is_whole(&self) -> bool {
        self.parent.is_none() && self.partitions.is_empty() && self.windows.is_none()
    }

    /// How many partitions there are: one where there are no lists.
    pub fn partition_count(&self) -> u64 {
        let counts = self.partitions.values().map(|values| values.len() as u64);
        counts.product()
    }

    /// The partition of that number: a value of each list, of which the last one turns fastest.
    pub fn partition(&self, mut number: u64) -> Map<String, Value> {
        let mut partition = Map::new();
        for (name, values) in self.partitions.iter().rev() {
            let count = (values.len() as u64).max(1);
            let value = values.get((number % count) as usize).cloned();
            partition.insert(name.clone(), value.unwrap_or_default());
            number /= count;
        }
        partition
    }
}

/// Windows of time, side by side, up to the moment at which the run began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Windows {
    /// Where the first one begins, in milliseconds since 1970; none where `incremental` says so.
    pub start: Option<i64>,
    /// How long each is; the last one may be shorter.
    #[serde(with = "millis")]
    pub step: Duration,
}

/// A report that the source makes while one waits: asked for, polled, and then downloaded by the resource's own request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The request that asks for it.
    pub create: SideRequest,
    /// The request that asks how far it is. Its templates see the last answer as `job`.
    pub poll: SideRequest,
    /// How long to wait between two polls.
    #[serde(with = "millis")]
    pub every: Duration,
    /// The expression that holds when it is ready.
    pub done: String,
    /// The expression that holds when there will be none.
    pub failed: Option<String>,
    /// How long to go on asking.
    #[serde(with = "millis")]
    pub within: Duration,
}

/// A request beside those that bring records.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SideRequest {
    /// What is appended to the connection's `base_url`.
    pub path: String,
    /// Query parameters.
    pub params: BTreeMap<String, String>,
    /// How it is made.
    pub request: RequestForm,
}
