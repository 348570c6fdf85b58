//! What a source's answers mean where their status does not say it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What an answer means for which a condition holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerRule {
    /// An expression over `answer`, the values of the body outside of the records, and `status`.
    pub when: String,
    /// What the answer means then.
    pub means: Meaning,
}

/// What an answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Meaning {
    /// The request fails for good.
    Error,
    /// The source has a moment of weakness; the request is sent again.
    Again,
    /// The source is asked too often; the request is sent again later.
    RateLimited,
    /// The credential has run out; it is renewed once.
    Unauthorized,
    /// There are no records, and no more pages.
    Empty,
}
