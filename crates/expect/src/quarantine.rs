//! How much of what is kept out of a table is kept elsewhere.

use millrace_model::{Failure, FailureName};

/// How many bytes; more of them mean that something else is wrong.
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// `BadData` where what a step keeps out of a table is more than there is room for in quarantine, in bytes.
pub fn check_room(table: &str, bytes: usize) -> Result<(), Failure> {
    if bytes <= MOST_BYTES {
        return Ok(());
    }
    Err(Failure::new(
        FailureName::BadData,
        format!(
            "more than {} MiB of records break what is expected of `{table}`; nothing was written. Correct the expectations, \
             or the source",
            MOST_BYTES / (1024 * 1024)
        ),
    ))
}
