//! Requests that failed for good, as they lie under `dead/`.

use crate::definition::pipeline::CursorValue;
use crate::raw::Position;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A request that failed for good, with all that it takes to make it again, but for the credential: the definition says
/// how, and what is here says with which values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeadRequest {
    /// Its method.
    pub method: String,
    /// Its URL, with the values of secret parameters replaced.
    pub url: String,
    /// The answer's status.
    pub status: u16,
    /// What is wrong, in the source's words where it had any.
    pub message: String,
    /// When it failed, RFC 3339.
    pub failed_at: String,
    /// The version of the definition by which it was made.
    pub definition: String,
    /// Where the pull was.
    pub position: Position,
    /// From where the run asked for what changed.
    pub start: Option<CursorValue>,
    /// The slice that it belongs to.
    pub slice: Option<DeadSlice>,
    /// Whether the run went on with the next slice, so that what the slice holds is missing until it is sent again.
    pub was_skipped: bool,
}

/// A slice of a resource, as its requests were made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeadSlice {
    /// What templates see of it: `parent`, `partition`, `window`.
    pub scope: Value,
    /// Fields that each of its records gets.
    pub carried: Option<Map<String, Value>>,
}
