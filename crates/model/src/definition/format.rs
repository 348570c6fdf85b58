//! In which form a resource's records come.

use super::FieldPath;
use serde::{Deserialize, Serialize};

/// In which form the bodies of a resource come. Whether they are packed by gzip or zip shows in themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Format {
    /// What they are.
    #[serde(default)]
    pub kind: FormatKind,
    /// The encoding of their text, by a name of the WHATWG's Encoding Standard; none where they say it, or are UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
    /// The names of those files in a zip that are read, with `*` for anything; all where this is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<String>,
}

/// What a body is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FormatKind {
    /// What its media type says, or its file's name in a zip, and JSON where these say nothing.
    #[default]
    Auto,
    /// JSON.
    Json,
    /// One JSON value a line.
    JsonLines,
    /// Rows of fields.
    Csv(Csv),
    /// Elements.
    Xml(Xml),
}

/// How CSV is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Csv {
    /// What stands between two fields: an ASCII character.
    pub delimiter: char,
    /// The names of the columns; none where the first row has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<Vec<String>>,
    /// How many lines stand before the header, or before the first row where there is no header.
    #[serde(default)]
    pub skip_rows: u64,
    /// The texts that stand for no value.
    pub null: Vec<String>,
}

impl Default for Csv {
    fn default() -> Self {
        Self {
            delimiter: ',',
            header: None,
            skip_rows: 0,
            null: vec![String::new()],
        }
    }
}

/// How XML becomes records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Xml {
    /// The elements of a record that are lists even where there is only one of them, by their paths in the record.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lists: Vec<FieldPath>,
}
