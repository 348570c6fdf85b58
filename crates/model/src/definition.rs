//! The three kinds of definitions, validated. What an author may write is parsed from YAML elsewhere in this crate; what
//! stands here is what the steps work with, and it serialises to the JSON in which a run pins its definition.

pub mod connection;
pub mod endpoint;
pub mod pipeline;

use serde::{Deserialize, Serialize};

pub use connection::Connection;
pub use endpoint::Endpoint;
pub use pipeline::Pipeline;

/// Everything that a run needs to know, fixed at the moment when it starts: a definition that changes while the run is
/// under way does not change the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pinned {
    /// The pipeline that runs.
    pub pipeline: Pipeline,
    /// The connections that its resources name.
    pub connections: Vec<Connection>,
    /// The endpoints that read a table which this pipeline publishes: publish makes the indexes that they need.
    pub endpoints: Vec<Endpoint>,
}

impl Pinned {
    /// The connection of that name.
    pub fn connection(&self, name: &str) -> Option<&Connection> {
        self.connections.iter().find(|connection| connection.name == name)
    }
}

/// A dotted path into a record or a body: `properties.updated`. The empty path is the value itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FieldPath(pub String);

impl FieldPath {
    /// The path's segments, outermost first.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('.').filter(|segment| !segment.is_empty())
    }
}

/// Where a secret is found: `aws::secret/millrace/crm` names the secret `millrace/crm`; `#token` behind it names one
/// field of a secret that holds a JSON object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SecretRef {
    /// The secret's name in Secrets Manager.
    pub name: String,
    /// The field of its JSON object; none takes the secret as it is.
    pub field: Option<String>,
}

/// Durations in the pinned JSON: whole milliseconds.
pub mod millis {
    use serde::{Deserialize, Deserializer, Serializer};
    use std::time::Duration;

    /// Writes a duration as whole milliseconds.
    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(duration.as_millis() as u64)
    }

    /// Reads a duration from whole milliseconds.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}
