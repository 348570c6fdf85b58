use crate::error::Error;
use crate::held::Held;
use crate::session::{Manner, Session};
use crate::table::Relation;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use jiff::Timestamp;
use millrace_lake::Table;
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
    /// The folder in which what does not fit is put; made where it is not there, and emptied at the end. Not looked at where
    /// nothing may be there.
    pub spill: PathBuf,
    /// How many bytes there may be in it.
    pub spill_bytes: u64,
    /// How many cores a query uses.
    pub threads: usize,
}

impl Limits {
    /// So many bytes of memory, the folder for what does not fit, so many bytes in it, so many cores: for mains, which have
    /// them from the environment.
    pub fn new(memory: usize, spill: PathBuf, spill_bytes: u64, threads: usize) -> Self {
        Self {
            memory,
            spill,
            spill_bytes,
            threads,
        }
    }
}

/// Answers queries within limits.
#[derive(Clone, Debug)]
pub struct Engine {
    pub(crate) runtime: Arc<RuntimeEnv>,
    pub(crate) limits: Limits,
    held: Arc<Held>,
}

impl Engine {
    /// An engine with those limits.
    pub fn new(limits: Limits) -> Result<Self, Error> {
        let pool = TrackConsumersPool::new(FairSpillPool::new(limits.memory), NAMED);
        let disk = DiskManagerBuilder::default();
        let disk = match limits.spill_bytes {
            0 => disk.with_mode(DiskManagerMode::Disabled),
            bytes => disk
                .with_mode(DiskManagerMode::Directories(vec![limits.spill.clone()]))
                .with_max_temp_directory_size(bytes),
        };
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(pool))
            .with_disk_manager_builder(disk)
            .with_metadata_cache_limit(limits.memory / FOOTERS)
            .build_arc()
            .map_err(Error::running)?;
        Ok(Self {
            runtime,
            limits,
            held: Arc::new(Held::new(0)),
        })
    }

    /// The same, with so many bytes of memory, beside those of its limits, for the rows of relations.
    #[must_use]
    pub fn holding(mut self, bytes: usize) -> Self {
        self.held = Arc::new(Held::new(bytes));
        self
    }

    /// A version of a table, to be asked many times. `key` are columns that name a row, where there are such.
    pub fn relation(&self, table: &Table, key: &[String]) -> Result<Relation, Error> {
        Relation::new(table, key, &self.runtime, &self.held).map_err(Error::running)
    }

    /// A view of the lake in which a table's name alone means one of the schema `own`, and `now()` is that moment.
    pub fn session(&self, own: &str, now: Timestamp, manner: Manner) -> Session {
        Session::new(self, own, now, manner)
    }
}
