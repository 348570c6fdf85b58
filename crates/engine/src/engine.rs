use crate::error::Error;
use crate::session::{Manner, Session};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use jiff::Timestamp;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

/// How many of the greatest consumers of memory an error names.
const NAMED: NonZeroUsize = NonZeroUsize::new(3).unwrap();
/// How much of the memory may be taken by what is known of files' footers.
const FOOTERS: usize = 8;

/// What queries may use, all of them together.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of memory for sorting, grouping and joining. What streams through comes on top: some batches a core.
    pub memory: usize,
    /// The folder in which what does not fit is put; made where it is not there, and emptied at the end.
    pub spill: PathBuf,
    /// How many bytes there may be in it.
    pub spill_bytes: u64,
    /// How many cores a query uses.
    pub threads: usize,
}

/// Answers queries within limits.
#[derive(Clone, Debug)]
pub struct Engine {
    pub(crate) runtime: Arc<RuntimeEnv>,
    pub(crate) limits: Limits,
}

impl Engine {
    /// An engine with those limits.
    pub fn new(limits: Limits) -> Result<Self, Error> {
        let pool = TrackConsumersPool::new(FairSpillPool::new(limits.memory), NAMED);
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(pool))
            .with_temp_file_path(&limits.spill)
            .with_max_temp_directory_size(limits.spill_bytes)
            .with_metadata_cache_limit(limits.memory / FOOTERS)
            .build_arc()
            .map_err(Error::running)?;
        Ok(Self { runtime, limits })
    }

    /// A view of the lake in which a table's name alone means one of the schema `own`, and `now()` is that moment.
    pub fn session(&self, own: &str, now: Timestamp, manner: Manner) -> Session {
        Session::new(self, own, now, manner)
    }
}
