//! What endpoints read.

use super::problem::{nearest, one_of};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Where the tables lie that a route reads, and to which others are published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Datasource {
    /// PostgreSQL: rows are copied there, and found by indexes.
    #[default]
    OperationalStore,
    /// The lake itself: what is published is read where it lies.
    Lake,
    /// Redis: each row lies there under a key, and is looked up by it.
    Redis,
}

impl Datasource {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::OperationalStore, Self::Lake, Self::Redis];

    /// As definitions write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OperationalStore => "operational_store",
            Self::Lake => "lake",
            Self::Redis => "redis",
        }
    }

    /// Reads what a definition says; an error says what it may.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let names = || Self::ALL.into_iter().map(Self::as_str);
        let known = Self::ALL.into_iter().find(|known| known.as_str() == text);
        known.ok_or_else(|| match nearest(text, names()) {
            Some(meant) => format!("there is no store `{text}`; did you mean `{meant}`?"),
            None => format!("there is no store `{text}`; write {}", one_of(names())),
        })
    }
}

impl fmt::Display for Datasource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
