//! What came, committed: a segment and its manifest; and the segments of another writer that was first.

use super::{Job, Pull};
use crate::checkpoint;
use millrace_model::definition::pipeline::Paginate;
use millrace_model::raw::Manifest;
use millrace_model::state::PartitionCursors;
use millrace_model::{Failure, keys};
use millrace_store::json;
use millrace_store::objects::ErrorKind;
use tracing::{info, warn};

impl Pull<'_> {
    /// Commits the open segment, unless it is empty. Where another writer was first, what it committed counts, and the
    /// pull goes on from there.
    pub(super) async fn commit(&mut self) -> Result<(), Failure> {
        // Where a slice has no pages, that it is done is all there is to commit.
        if self.segment.pages().is_empty() && self.position == self.checkpoint.next {
            return Ok(());
        }
        let Job { objects, input, .. } = self.job;
        let (bytes, pages) = self.segment.take().await?;
        let number = self.checkpoint.segments;
        let object = keys::raw_segment(
            &input.pipeline,
            &input.name,
            &input.run,
            number,
            &self.writer,
        );
        let manifest = Manifest {
            segment: number,
            object: (!pages.is_empty()).then(|| object.clone()),
            pages,
            start: self.starts.all.clone(),
            starts: self.own_starts(number),
            paginate: self.chosen(),
            next: self.position.clone(),
            cursor: self.cursor.clone(),
            cursors: std::mem::take(&mut self.cursors),
            requests: self.tally.requests - self.requests_committed,
            committed_at: jiff::Timestamp::now().to_string(),
            written_by: self.job.written_by.to_owned(),
        };
        let size = bytes.len();
        if manifest.object.is_some() {
            objects.put(&object, bytes).await?;
        }
        let key = keys::raw_manifest(&input.pipeline, &input.name, &input.run, number);
        match json::create(objects, &key, &manifest).await {
            Ok(_) => {}
            Err(error) if error.kind == ErrorKind::Exists => {
                let winner = checkpoint::read(objects, &key).await?;
                // The manifest may be this writer's own, where only the answer to its put was lost.
                if winner.object != manifest.object {
                    info!(
                        segment = number,
                        "another writer has committed this segment; going on from there"
                    );
                    self.tally.drop_pages(&manifest.pages);
                    if manifest.object.is_some()
                        && let Err(error) = objects.delete(&object).await
                    {
                        warn!(%error, "the bodies that do not count could not be removed");
                    }
                    return self.follow(winner).await;
                }
            }
            Err(error) => return Err(error.into()),
        }
        info!(
            segment = number,
            pages = manifest.pages.len(),
            bytes = size,
            "segment committed"
        );
        self.requests_committed = self.tally.requests;
        self.checkpoint.take(&manifest)
    }

    /// Where the partitions start, for the first segment.
    fn own_starts(&self, segment: u32) -> PartitionCursors {
        match segment {
            0 => self.starts.partitions.clone(),
            _ => PartitionCursors::new(),
        }
    }

    /// The paginator that an answer has shown.
    fn chosen(&self) -> Option<Paginate> {
        let is_chosen = self.source.paginate != self.job.resource.paginate;
        is_chosen.then(|| self.source.paginate.clone())
    }

    /// Goes on behind the segments that another writer has committed.
    async fn follow(&mut self, winner: Manifest) -> Result<(), Failure> {
        let Job { objects, input, .. } = self.job;
        let mut next = Some(winner);
        while let Some(manifest) = next {
            self.checkpoint.take(&manifest)?;
            let key = keys::raw_manifest(
                &input.pipeline,
                &input.name,
                &input.run,
                self.checkpoint.segments,
            );
            next = json::get(objects, &key).await?;
        }
        self.position = self.checkpoint.next.clone();
        self.cursor.clone_from(&self.checkpoint.cursor);
        self.segment.forget_last();
        self.slice = None;
        self.told = None;
        self.ahead.give_up();
        if let Some(paginate) = &self.checkpoint.paginate {
            self.source.page_by(paginate.clone());
        }
        if self.starts != self.checkpoint.starts {
            self.starts.clone_from(&self.checkpoint.starts);
            self.source.requests = self.job.requests(self.starts.all.as_ref());
            self.slices = self.job.slices(&self.starts).await?;
        }
        Ok(())
    }
}
