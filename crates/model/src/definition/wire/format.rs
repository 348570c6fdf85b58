//! `format` of a resource.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use std::borrow::Cow;

/// The name of a form, where nothing more is to be said of it.
#[derive(Debug)]
pub(crate) struct FormatName(pub(crate) String);

/// The forms.
pub(crate) const FORMAT_NAMES: [&str; 4] = ["json", "json_lines", "csv", "xml"];

impl From<String> for FormatName {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl JsonSchema for FormatName {
    fn schema_name() -> Cow<'static, str> {
        "FormatName".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": FORMAT_NAMES })
    }
}

/// In which form the bodies come, and how it is written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FormatForm {
    /// JSON.
    Json(JsonForm),
    /// One JSON value a line.
    JsonLines(JsonForm),
    /// Rows of fields; each becomes a record of texts.
    Csv(CsvForm),
    /// Elements; `records` leads to the element of which each is a record.
    Xml(XmlForm),
}

/// JSON, or JSON Lines.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct JsonForm {
    /// The encoding of the text; UTF-8 unless said otherwise.
    #[schemars(example = &"windows-1252")]
    pub(crate) encoding: Option<String>,
    /// The names of those files in a zip that are read, with `*` for anything.
    #[schemars(example = &"*.json")]
    pub(crate) files: Option<String>,
}

/// CSV.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CsvForm {
    /// What stands between two fields; a comma unless said otherwise.
    #[schemars(example = &";")]
    pub(crate) delimiter: Option<String>,
    /// The names of the columns, where the first row does not have them.
    pub(crate) header: Option<Vec<String>>,
    /// How many lines stand before the header, or before the first row where there is no header.
    #[serde(default)]
    pub(crate) skip_rows: u64,
    /// The texts that stand for no value; the empty one unless said otherwise.
    #[schemars(example = &["", "NA"])]
    pub(crate) null: Option<Vec<String>>,
    /// The encoding of the text; that of the answer's header, else UTF-8, unless said otherwise.
    #[schemars(example = &"windows-1252")]
    pub(crate) encoding: Option<String>,
    /// The names of those files in a zip that are read, with `*` for anything.
    #[schemars(example = &"orders_*.csv")]
    pub(crate) files: Option<String>,
}

/// XML.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct XmlForm {
    /// The elements of a record that are lists even where there is only one of them: `[lines.line]`.
    #[serde(default)]
    pub(crate) lists: Vec<String>,
    /// The encoding of the text; that of the answer's header or the text's own declaration, else UTF-8, unless said
    /// otherwise.
    #[schemars(example = &"iso-8859-1")]
    pub(crate) encoding: Option<String>,
    /// The names of those files in a zip that are read, with `*` for anything.
    #[schemars(example = &"*.xml")]
    pub(crate) files: Option<String>,
}
