//! The three kinds of definitions, validated. What an author may write is parsed from YAML elsewhere in this crate; what
//! stands here is what the steps work with, and it serialises to the JSON in which a run pins its definition.

pub mod answer;
pub mod auth;
pub mod connection;
mod datasource;
pub mod endpoint;
pub mod endpoint_tests;
pub mod expectation;
pub mod format;
mod key_pattern;
pub mod model;
pub mod nesting;
pub mod paginate;
pub mod parse;
pub mod personal_data;
pub mod pipeline;
pub mod problem;
mod publish;
pub mod record_schema;
pub mod request;
pub mod rows;
pub mod set;
pub(crate) mod wire;
mod yaml;

use self::model::Model;
use self::pipeline::{Resource, Table};
use crate::mode::RunMode;
use crate::{Failure, FailureName};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use connection::Connection;
pub use datasource::Datasource;
pub use endpoint::Endpoint;
pub use endpoint_tests::EndpointTests;
pub use key_pattern::KeyPattern;
pub use pipeline::Pipeline;
pub use problem::Problem;

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
    /// What the run does beside what the pipeline says.
    #[serde(default, skip_serializing_if = "RunMode::is_regular")]
    pub mode: RunMode,
}

impl Pinned {
    /// The connection of that name. `BadDefinition` where there is none.
    pub fn connection(&self, name: &str) -> Result<&Connection, Failure> {
        let mut connections = self.connections.iter();
        let found = connections.find(|connection| connection.name == name);
        found.ok_or_else(|| missing("connection", name))
    }

    /// The pipeline's resource of that name. `BadDefinition` where there is none.
    pub fn resource(&self, name: &str) -> Result<&Resource, Failure> {
        let found = self.pipeline.resource(name);
        found.ok_or_else(|| missing("resource", name))
    }

    /// The pipeline's table of that name. `BadDefinition` where there is none.
    pub fn table(&self, name: &str) -> Result<&Table, Failure> {
        let found = self.pipeline.table(name);
        found.ok_or_else(|| missing("table", name))
    }

    /// The pipeline's model of that name. `BadDefinition` where there is none.
    pub fn model(&self, name: &str) -> Result<&Model, Failure> {
        let found = self.pipeline.model(name);
        found.ok_or_else(|| missing("model", name))
    }

    /// The JSON in which it is kept: fields in the order of their declaration, maps in the order of their keys, so that
    /// equal definitions have equal bytes.
    pub fn to_json(&self) -> Vec<u8> {
        // Nothing in a definition can fail to serialise: its maps have text as keys, and its numbers come from JSON.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Its version: the SHA-256 of its JSON in hexadecimal, which is also its name in the lake.
    pub fn version(&self) -> String {
        hex::encode(Sha256::digest(self.to_json()))
    }
}

/// What a step is told to work on, and the definition that its run began with does not have.
fn missing(kind: &str, name: &str) -> Failure {
    let message = format!("the run's definition has no {kind} `{name}`; start another run");
    Failure::new(FailureName::BadDefinition, message)
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

    /// The name of the column that a field becomes where none is declared: `properties.magType` → `properties_mag_type`.
    /// It is of `a-z`, `0-9` and `_` with a letter first, so that SQL names it without quotes.
    pub fn column_name(&self) -> String {
        self.column_name_by("_")
    }

    /// The same with something else between the names: `properties__mag_type`.
    pub fn column_name_by(&self, separator: &str) -> String {
        let mut name = String::new();
        let mut after_lower = false;
        for letter in self.0.chars() {
            if letter.is_ascii_uppercase() && after_lower {
                name.push('_');
            }
            after_lower = letter.is_ascii_lowercase() || letter.is_ascii_digit();
            match letter {
                '.' => name.push_str(separator),
                _ if letter.is_ascii_alphanumeric() => name.push(letter.to_ascii_lowercase()),
                _ => name.push('_'),
            }
        }
        if !name.starts_with(|first: char| first.is_ascii_lowercase()) {
            name.insert_str(0, "c_");
        }
        name
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

#[cfg(test)]
mod tests {
    use super::FieldPath;

    #[test]
    fn a_column_has_a_name_that_sql_takes_without_quotes() {
        for (path, column) in [
            ("id", "id"),
            ("properties.mag", "properties_mag"),
            ("properties.magType", "properties_mag_type"),
            ("HTTPStatus", "httpstatus"),
            ("created-at", "created_at"),
            ("2fa", "c_2fa"),
            ("_links.next", "c__links_next"),
            ("größe", "gr__e"),
        ] {
            assert_eq!(FieldPath(path.to_owned()).column_name(), column, "{path}");
        }
        let path = FieldPath("properties.magType.$x".to_owned());
        assert_eq!(path.column_name_by("__"), "properties__mag_type___x");
    }
}
