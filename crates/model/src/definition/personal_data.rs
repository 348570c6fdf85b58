//! Fields that are about people, and what becomes of them before anything is stored.

use super::{FieldPath, SecretRef};
use serde::{Deserialize, Serialize};

/// Fields that are about people, and what becomes of them before anything is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonalData {
    /// The key of the hashes: a text, or a JSON object whose `key` it is; none where nothing is hashed.
    pub key: Option<SecretRef>,
    /// The fields. A path steps through lists by itself: `contacts.email` is the field of each contact.
    pub fields: Vec<(FieldPath, Treatment)>,
}

/// What becomes of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Treatment {
    /// It is not there any more.
    Drop,
    /// Each value in it becomes the HMAC-SHA256 of its text, in hexadecimal.
    Hash,
    /// Each text in it becomes `***`, and every other value null.
    Mask,
    /// Each value in it becomes one that is shared by many; null where it is not of the kind that is meant.
    Generalise(Generalisation),
}

/// What a value becomes that is shared by many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Generalisation {
    /// Of a day or a moment, the first day of its year.
    Year,
    /// Of a day or a moment, the first day of its month.
    Month,
    /// So many of its first characters.
    Prefix(u16),
    /// Of a number, the greatest multiple of this one that is not greater.
    Bucket(u64),
    /// Of an internet address, the network: 24 bits of an IPv4's, 48 of an IPv6's.
    Network,
}
