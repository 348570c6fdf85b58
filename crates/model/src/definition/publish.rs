//! Where a table goes, for endpoints to read it.

use super::{Datasource, KeyPattern, millis};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A table's way to a store that endpoints read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publish {
    /// The table; `quakes__geometry_coordinates` names a child table of `quakes`.
    pub table: String,
    /// The store.
    pub to: Datasource,
    /// The schema under which endpoints read it.
    pub schema: String,
    /// The table as which they do.
    pub relation: String,
    /// Which rows the store keeps; all of them where this is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recent: Option<Recent>,
    /// How its rows lie in Redis, where that is the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub documents: Option<Documents>,
}

/// The rows that a store keeps of a table, where it does not keep all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recent {
    /// The column that says how old a row is: a moment, or a day. A row without a value of it is not kept.
    pub by: String,
    /// How old a row may be when a run starts.
    #[serde(with = "millis")]
    pub keep: Duration,
}

/// How the rows of a table lie in Redis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Documents {
    /// Under which keys.
    pub key: KeyPattern,
    /// As what.
    pub form: DocumentForm,
    /// How long each stays there after it was written, in whole seconds; none where for good.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "seconds")]
    pub ttl: Option<Duration>,
}

/// As what a row lies under its key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DocumentForm {
    /// As a JSON object, in a string.
    #[default]
    Document,
    /// As a hash: a field for each column that is not NULL.
    Hash,
}

impl Publish {
    /// `schema.table`, as the definition's `as` says it.
    pub fn target(&self) -> String {
        format!("{}.{}", self.schema, self.relation)
    }

    /// What the step is called that publishes it. One table may go to several stores under one name.
    pub fn step(&self) -> String {
        match self.to {
            Datasource::OperationalStore | Datasource::Lake => self.target(),
            Datasource::Redis => format!("redis:{}", self.target()),
        }
    }
}

/// A duration in the pinned JSON, where there is one: whole seconds.
mod seconds {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::time::Duration;

    #[allow(clippy::ref_option)] // serde's form.
    pub fn serialize<S: Serializer>(
        duration: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        duration
            .map(|duration| duration.as_secs())
            .serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        let seconds = Option::<u64>::deserialize(deserializer)?;
        Ok(seconds.map(Duration::from_secs))
    }
}
