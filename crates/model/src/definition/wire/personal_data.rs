//! `personal_data` of a resource.

use super::form::SecretName;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Fields that are about people, and what becomes of them before anything is stored.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PersonalDataForm {
    /// The secret whose text is the key of the hashes, or a JSON object whose `key` it is. Needed where a field is hashed.
    pub(crate) key: Option<SecretName>,
    /// The fields of a record, by path: `email: hash`, `address.street: drop`. A path steps through lists by itself.
    #[schemars(length(min = 1))]
    pub(crate) fields: BTreeMap<String, TreatmentForm>,
}

/// What becomes of a field.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TreatmentForm {
    /// It is not there any more.
    Drop,
    /// Each value in it becomes the HMAC-SHA256 of its text, in hexadecimal: the same values stay the same.
    Hash,
    /// Each text in it becomes `***`, and every other value null.
    Mask,
    /// Each day or moment in it becomes the first day of its year, and every other value null.
    Year,
    /// Each day or moment in it becomes the first day of its month, and every other value null.
    Month,
    /// Each internet address in it becomes its network, of 24 bits (IPv4) or 48 (IPv6), and every other value null.
    Network,
    /// Each value in it becomes a text, so many of its first characters.
    Prefix(u16),
    /// Each number in it becomes the greatest multiple of this one that is not greater, and every other value null.
    Bucket(u64),
}
