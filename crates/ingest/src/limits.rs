//! How much is held in memory, and how patient a pull is.

use std::time::Duration;

/// How much is held in memory, and how patient a pull is. The defaults are what Millrace runs with; tests are less
/// patient.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The largest body that is taken, uncompressed.
    pub body_bytes: u64,
    /// How large a segment may grow, compressed, before it is committed.
    pub segment_bytes: usize,
    /// How long a page may lie in an open segment before that is committed.
    pub segment_age: Duration,
    /// The first retry comes at most this much later; the ceiling doubles with each further one.
    pub backoff_first: Duration,
    /// The ceiling of the time before a retry.
    pub backoff_most: Duration,
    /// How long a page is retried, waits that the source asked for not counted.
    pub retry_for: Duration,
    /// How often a page is retried.
    pub retries: u32,
    /// How long the renewal of a token that several share may take, before another one begins it anew.
    pub lease: Duration,
    /// How much time before the deadline is kept for the checkpoint.
    pub reserve: Duration,
    /// After how many pages a resource is left, as if that were all; none for all there are. For those who only want to
    /// see some.
    pub pages: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 256 * 1024 * 1024,
            segment_bytes: 8 * 1024 * 1024,
            segment_age: Duration::from_secs(5),
            backoff_first: Duration::from_millis(500),
            backoff_most: Duration::from_secs(30),
            retry_for: Duration::from_mins(2),
            retries: 20,
            lease: Duration::from_mins(1),
            reserve: Duration::from_secs(2),
            pages: None,
        }
    }
}
