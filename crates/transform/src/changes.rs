//! What a step makes of the rows that a table has already.

use crate::plan::Edits;
use millrace_lake::KeySet;

/// What becomes of the rows that a table has.
#[derive(Debug)]
pub(crate) enum Changes {
    /// Nothing.
    None,
    /// Those with one of these keys go; `deletes` where not all of them have a successor.
    Replaced {
        /// The keys.
        keys: KeySet,
        /// Whether some have no successor.
        deletes: bool,
    },
    /// Versions are closed.
    Versions(Box<Edits>),
}

impl Changes {
    /// Whether versions of a history are no more.
    pub(crate) fn removes_versions(&self) -> bool {
        matches!(self, Self::Versions(edits) if !edits.removed.is_empty())
    }
}
