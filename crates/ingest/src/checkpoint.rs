//! How far a run is, as its committed segments tell.

use crate::request;
use futures::{StreamExt, TryStreamExt};
use millrace_model::definition::pipeline::{CursorValue, Paginate};
use millrace_model::ledger::RunId;
use millrace_model::raw::{Manifest, Position};
use millrace_model::state::{self, PartitionCursors};
use millrace_model::{Failure, FailureName, keys};
use millrace_store::json;
use millrace_store::objects::{self, Objects};
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

/// How many manifests are read at once.
const AT_ONCE: usize = 16;

/// The values of the incremental parameter in a run's requests.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Starts {
    /// In those that have none of their own; none where the resource is not incremental.
    pub(crate) all: Option<CursorValue>,
    /// In those of a partition.
    pub(crate) partitions: PartitionCursors,
}

/// How far a run is.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    /// How many segments are committed.
    pub(crate) segments: u32,
    /// How many records they hold.
    pub(crate) records: u64,
    /// How the pages are asked for, where an answer has shown it.
    pub(crate) paginate: Option<Paginate>,
    /// Where the run goes on.
    pub(crate) next: Position,
    /// The values of the incremental parameter in the run's requests; none before the first segment.
    pub(crate) starts: Starts,
    /// The largest value of the incremental field.
    pub(crate) cursor: Option<CursorValue>,
    /// The largest value in each partition.
    pub(crate) cursors: PartitionCursors,
    /// The slice that was pulled last.
    slice: Option<u64>,
    /// Digests of its requests whose bodies are committed.
    committed: HashSet<u64>,
    /// Digests of its requests whose bodies are not.
    open: HashSet<u64>,
}

impl Checkpoint {
    /// Of a run that has not begun.
    pub(crate) fn empty() -> Self {
        Self {
            segments: 0,
            records: 0,
            paginate: None,
            next: Position::Start,
            starts: Starts::default(),
            cursor: None,
            cursors: PartitionCursors::new(),
            slice: None,
            committed: HashSet::new(),
            open: HashSet::new(),
        }
    }

    /// Reads the run's manifests.
    pub(crate) async fn read(
        objects: &dyn Objects,
        pipeline: &str,
        resource: &str,
        run: &RunId,
    ) -> Result<Self, Failure> {
        let mut checkpoint = Self::empty();
        let folder = keys::raw_manifests(pipeline, resource, run);
        let mut manifests = objects::all(objects, &folder)
            .map(async |entry| read(objects, &entry?.key).await)
            .buffered(AT_ONCE);
        while let Some(manifest) = manifests.try_next().await? {
            checkpoint.take(&manifest)?;
        }
        Ok(checkpoint)
    }

    /// Takes the next committed segment.
    pub(crate) fn take(&mut self, manifest: &Manifest) -> Result<(), Failure> {
        if manifest.segment != self.segments {
            let message = format!(
                "the run's segment {} is missing, though segment {} is there; start another run",
                self.segments, manifest.segment
            );
            return Err(Failure::new(FailureName::Internal, message));
        }
        self.segments += 1;
        for page in &manifest.pages {
            self.records = self.records.saturating_add(page.records);
        }
        self.paginate.clone_from(&manifest.paginate);
        self.next = manifest.next.clone();
        self.starts.all.clone_from(&manifest.start);
        if manifest.segment == 0 {
            self.starts.partitions.clone_from(&manifest.starts);
        }
        self.cursor.clone_from(&manifest.cursor);
        state::advance(&mut self.cursors, manifest.cursors.clone());
        self.open.clear();
        for page in manifest.pages.iter().filter(|page| !page.origin.is_aside) {
            self.enter(page.origin.slice);
            let key = request::key(&page.url, page.origin.request.as_deref());
            self.committed.insert(digest(&key));
        }
        Ok(())
    }

    /// What was pulled of other slices leads nowhere any more.
    fn enter(&mut self, slice: Option<u64>) {
        if self.slice != slice {
            self.slice = slice;
            self.committed.clear();
            self.open.clear();
        }
    }

    /// Notes that a request was answered, into a segment that is still open.
    pub(crate) fn note_pulled(&mut self, slice: Option<u64>, key: &str) {
        self.enter(slice);
        self.open.insert(digest(key));
    }

    /// Whether a request was answered in this slice.
    pub(crate) fn was_pulled(&self, slice: Option<u64>, key: &str) -> bool {
        let digest = digest(key);
        self.slice == slice && (self.open.contains(&digest) || self.committed.contains(&digest))
    }
}

/// The manifest of that key.
pub(crate) async fn read(objects: &dyn Objects, key: &str) -> Result<Manifest, Failure> {
    json::get(objects, key).await?.ok_or_else(|| {
        let message = format!(
            "the manifest `{key}` was listed and is gone; somebody removes objects of a live run"
        );
        Failure::new(FailureName::Internal, message)
    })
}

fn digest(url: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    url.hash(&mut hasher);
    hasher.finish()
}

/// A name for a URL, fit for a key.
pub(crate) fn name_of(url: &str) -> String {
    hex::encode(&Sha256::digest(url)[..8])
}
