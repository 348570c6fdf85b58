//! What publish notes of a table, and serve reads.

use millrace_model::definition::KeyPattern;
use millrace_model::definition::pipeline::DocumentForm;
use serde::{Deserialize, Serialize};

/// What is known of a table in Redis.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// What was published last, as a whole; none where nothing was yet.
    #[serde(default)]
    pub published: Option<Published>,
    /// The time of the newest publish, by which its rows are told from older ones: milliseconds since 1970 by the server's
    /// clock, and always later than the one before.
    pub clock: u64,
    /// What is being written, or was when a publish was killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub under_way: Option<UnderWay>,
}

/// How much of a table a publish writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnderWay {
    /// All of it.
    Everything,
    /// What the lake says has changed.
    Changes,
}

/// A version of a table that lies in Redis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// The Delta table's key in the lake.
    pub source: String,
    /// Its version.
    pub version: u64,
    /// A digest of the names of the files behind that version.
    pub files: String,
    /// The run that published it.
    pub run: String,
    /// When, in milliseconds since 1970 by the server's clock.
    pub at: u64,
    /// How its rows lie there. Where it changes, all are written anew.
    #[serde(flatten)]
    pub layout: Layout,
}

/// How the rows of a table lie in Redis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// Under which keys.
    pub key: KeyPattern,
    /// As what.
    pub form: DocumentForm,
    /// How many seconds each stays after it was written; none where for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u64>,
    /// The columns, in the table's order.
    pub columns: Vec<Column>,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What its values are.
    #[serde(flatten)]
    pub kind: ColumnType,
}

/// What the values of a column are. In a document each is JSON; in a hash it is the same without the quotes around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ColumnType {
    /// Text.
    Text,
    /// JSON of any form.
    Json,
    /// Whole numbers.
    Int,
    /// Numbers.
    Double,
    /// Decimal numbers.
    Decimal {
        /// All digits.
        precision: u8,
        /// Those behind the point.
        scale: i8,
    },
    /// True or false.
    Bool,
    /// Days: `2026-11-21`.
    Date,
    /// Moments: `2026-11-21T08:00:00Z`.
    Timestamp,
    /// Moments without a time zone: `2026-11-21T08:00:00`.
    LocalTimestamp,
    /// Bytes, as Base64.
    Bytes,
}

impl ColumnType {
    /// Whether its values are JSON strings.
    pub fn is_quoted(self) -> bool {
        match self {
            Self::Text | Self::Date | Self::Timestamp | Self::LocalTimestamp | Self::Bytes => true,
            Self::Json | Self::Int | Self::Double | Self::Decimal { .. } | Self::Bool => false,
        }
    }

    /// Whether its values can stand in a key: each of them is written in one way only.
    pub fn is_exact(self) -> bool {
        !matches!(self, Self::Json | Self::Double | Self::Bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_comes_out_as_it_went_in() {
        let column = |name: &str, kind| Column {
            name: name.to_owned(),
            kind,
        };
        let note = Note {
            published: Some(Published {
                source: "tables/earthquakes/quakes".to_owned(),
                version: 7,
                files: "ab".to_owned(),
                run: "earthquakes-20261121T020000Z-4f2a9c1b".to_owned(),
                at: 1_800_000_000_000,
                layout: Layout {
                    key: KeyPattern::parse("quake:{id}").unwrap(),
                    form: DocumentForm::Hash,
                    ttl: Some(60),
                    columns: vec![
                        column("id", ColumnType::Text),
                        column(
                            "price",
                            ColumnType::Decimal {
                                precision: 12,
                                scale: 2,
                            },
                        ),
                    ],
                },
            }),
            clock: 1_800_000_000_000,
            under_way: Some(UnderWay::Changes),
        };
        let text = serde_json::to_string(&note).unwrap();
        assert_eq!(serde_json::from_str::<Note>(&text).unwrap(), note, "{text}");
    }
}
