//! What was found in a body.

use millrace_model::definition::pipeline::CursorValue;
use serde_json::Value;
use std::collections::BTreeMap;

/// What was found in a body.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Found {
    /// How many records it has.
    pub(crate) records: u64,
    /// The largest value of their incremental field.
    pub(crate) cursor: Option<CursorValue>,
    /// The token or the URL of the next page.
    pub(crate) next: Option<String>,
    /// The last record's value of the field by which the pages are ordered.
    pub(crate) last: Option<String>,
    /// Plain values outside of the records, by their paths.
    pub(crate) meta: BTreeMap<String, Value>,
}

impl Found {
    /// The text at that path outside of the records; none where it is empty.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.meta
            .get(path)?
            .as_str()
            .filter(|text| !text.is_empty())
    }

    /// The text or the number at that path outside of the records, as text.
    pub(crate) fn plain(&self, path: &str) -> Option<String> {
        match self.meta.get(path)? {
            Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// The whole number at that path outside of the records, which may be written as text.
    pub(crate) fn number(&self, path: &str) -> Option<u64> {
        let value = self.meta.get(path)?;
        value
            .as_u64()
            .or_else(|| value.as_str()?.trim().parse().ok())
    }
}
