//! The columns of an answer.

/// A column of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What its values are to a consumer.
    pub kind: Kind,
    /// What stands before a value in JSON: `"name":`.
    pub(crate) prefix: Vec<u8>,
}

impl Column {
    /// A column of that name.
    pub fn new(name: &str, kind: Kind) -> Self {
        let mut prefix = serde_json::json!(name).to_string().into_bytes();
        prefix.push(b':');
        Self {
            name: name.to_owned(),
            kind,
            prefix,
        }
    }
}

/// The digits of decimal numbers: `decimal(12,2)` has twelve, two of them behind the point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digits {
    /// All of them; from 1 to 38.
    pub precision: u8,
    /// Those behind the point.
    pub scale: i8,
}

/// What values are to a consumer, as the contract has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true`, `false`.
    Bool,
    /// Whole numbers of at most 32 bits.
    Int32,
    /// Whole numbers of at most 64 bits.
    Int64,
    /// Numbers of 32 bits.
    Float,
    /// Numbers of 64 bits.
    Double,
    /// Decimal numbers, and how many digits they have at most where that is known.
    Decimal(Option<Digits>),
    /// Text.
    Text,
    /// JSON of any form.
    Json,
    /// Days.
    Date,
    /// Times of day.
    Time,
    /// Moments without a time zone.
    LocalTimestamp,
    /// Moments.
    Timestamp,
    /// UUIDs.
    Uuid,
    /// Bytes.
    Bytes,
    /// Lists of one of the others.
    List(Box<Kind>),
}
