//! Why a tree can't be read as a wire type.

use crate::definition::problem::{Step, nearest};
use serde::de::{Expected, Unexpected};
use std::fmt;

/// Why a wire type can't be read of a node.
#[derive(Debug)]
pub(super) struct Fault {
    /// Innermost step first: the steps are added on the way out.
    pub(super) path: Vec<Step>,
    pub(super) kind: Kind,
}

/// What kind of fault it is, as far as it tells how to repair it.
#[derive(Debug)]
pub(super) enum Kind {
    UnknownField {
        name: String,
        known: &'static [&'static str],
    },
    UnknownValue {
        known: &'static [&'static str],
        meant: Option<&'static str>,
    },
    Missing(&'static str),
    Other(String),
    /// What follows from a fault that is told already.
    Consequence,
}

impl Fault {
    pub(super) fn new(kind: Kind) -> Self {
        Self {
            path: Vec::new(),
            kind,
        }
    }

    /// The fault, as seen from one step further outside.
    pub(super) fn within(mut self, step: Step) -> Self {
        self.path.push(step);
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", self.kind)
    }
}

impl std::error::Error for Fault {}

impl serde::de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(Kind::Other(message.to_string()))
    }

    // The value itself is never repeated: it may be a secret that was written where its name belongs.
    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(Kind::Other(format!("{expected} is expected")))
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(Kind::Other(format!("{expected} is expected")))
    }

    fn unknown_field(name: &str, known: &'static [&'static str]) -> Self {
        Self::new(Kind::UnknownField {
            name: name.to_owned(),
            known,
        })
    }

    fn unknown_variant(name: &str, known: &'static [&'static str]) -> Self {
        Self::new(Kind::UnknownValue {
            known,
            meant: nearest(name, known.iter().copied()),
        })
    }

    fn missing_field(name: &'static str) -> Self {
        Self::new(Kind::Missing(name))
    }
}
