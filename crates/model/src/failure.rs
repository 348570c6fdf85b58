//! How a step fails, named for what the conductor should do about it.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A failure's name: part of the interface, since the state machine retries by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FailureName {
    /// The other side said `later`, for longer than the step would wait. Retried.
    RateLimited,
    /// Nothing is wrong but the moment: a timeout, a reset, a 5xx, an object store that is busy. Retried.
    Transient,
    /// Somebody else did the same at the same time. Retried, and then finds it done.
    Conflict,
    /// A credential is missing or wrong. Not retried.
    Unauthorized,
    /// A definition does not say what can be done. Not retried.
    BadDefinition,
    /// The source refused the request, or answered what the definition does not allow for. Not retried.
    BadAnswer,
    /// The data breaks what the definition expects of it. Not retried.
    BadData,
    /// A defect of Millrace's own, or of the ground it stands on. Not retried.
    Internal,
}

impl FailureName {
    /// The name as the state machine reads it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RateLimited => "RateLimited",
            Self::Transient => "Transient",
            Self::Conflict => "Conflict",
            Self::Unauthorized => "Unauthorized",
            Self::BadDefinition => "BadDefinition",
            Self::BadAnswer => "BadAnswer",
            Self::BadData => "BadData",
            Self::Internal => "Internal",
        }
    }

    /// Whether the same step, tried again, may well succeed.
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::RateLimited | Self::Transient | Self::Conflict)
    }
}

impl fmt::Display for FailureName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A step's failure. The message says what happened, to what, and what to do; it never holds a secret's value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{name}: {message}")]
pub struct Failure {
    /// What the conductor should do about it.
    pub name: FailureName,
    /// What a person should know about it.
    pub message: String,
}

impl Failure {
    /// A failure of that name.
    pub fn new(name: FailureName, message: impl Into<String>) -> Self {
        Self {
            name,
            message: message.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_has_one_name_in_json_and_for_the_state_machine() {
        for name in [
            FailureName::RateLimited,
            FailureName::Transient,
            FailureName::Conflict,
            FailureName::Unauthorized,
            FailureName::BadDefinition,
            FailureName::BadAnswer,
            FailureName::BadData,
            FailureName::Internal,
        ] {
            assert_eq!(serde_json::to_value(name).ok(), Some(name.as_str().into()));
        }
    }
}
