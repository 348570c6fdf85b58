//! Where a run starts: as the runs before it left it, or as it was asked to.

use super::{Job, Pull};
use crate::checkpoint::Starts;
use crate::cursor::starting_value;
use crate::slices::partition_name;
use millrace_model::definition::pipeline::{CursorValue, Paginate};
use millrace_model::mode::RunMode;
use millrace_model::raw::Position;
use millrace_model::state::{PartitionCursors, ResourceState};
use millrace_model::{Failure, keys};
use millrace_store::json;
use tracing::warn;

impl Job<'_> {
    /// The values from which the run starts.
    pub(super) async fn starts(&self) -> Result<Starts, Failure> {
        let all = |all| Starts {
            all,
            ..Starts::default()
        };
        let incremental = self.resource.incremental.as_ref();
        if incremental.is_none() && self.resource.paginate != Paginate::OdataDelta {
            return Ok(all(None));
        }
        match &self.pinned.mode {
            RunMode::Regular => {}
            RunMode::FullRefresh => return Ok(all(incremental.map(|it| it.start.clone()))),
            RunMode::Backfill { from, .. } => return Ok(all(incremental.map(|_| from.clone()))),
            RunMode::Retry { .. } => {
                let dead = match self.letters().await? {
                    Some(letters) => letters.at(0).await?,
                    None => None,
                };
                // All requests of a run have the same start, or their slices say it.
                return Ok(all(dead.and_then(|dead| dead.start)));
            }
        }
        let key = keys::state(&self.input.pipeline, &self.input.name);
        let state: Option<ResourceState> = json::get(self.objects, &key).await?;
        let state = state.unwrap_or_default();
        let Some(incremental) = incremental else {
            let cursor = state.cursor;
            return Ok(all(
                cursor.filter(|cursor| matches!(cursor, CursorValue::Token(_)))
            ));
        };
        if state.cursors.is_empty() {
            return Ok(all(Some(starting_value(incremental, state.cursor))));
        }
        let slices = &self.resource.slices;
        let partitions: PartitionCursors = (0..slices.partition_count())
            .map(|number| {
                let name = partition_name(&slices.partition(number));
                let seen = state.cursors.get(&name).cloned();
                (name, starting_value(incremental, seen))
            })
            .collect();
        Ok(Starts {
            all: partitions.values().cloned().reduce(earlier),
            partitions,
        })
    }
}

impl Pull<'_> {
    /// Whether the next request is the link that the run before was given.
    pub(super) fn begins_at_token(&self) -> bool {
        self.position == Position::Start && matches!(self.starts.all, Some(CursorValue::Token(_)))
    }

    /// Begins without the link that the run before was given, since the source does not know it any more.
    pub(super) async fn begin_anew(&mut self) -> Result<(), Failure> {
        let note = "the source does not know any more what changed since the run before; everything is pulled anew";
        warn!(resource = self.job.input.name, note);
        self.job.observer.note(note);
        self.starts = Starts::default();
        self.ahead.give_up();
        self.source.requests = self.job.requests(None);
        self.slices = self.job.slices(&self.starts).await?;
        Ok(())
    }
}

/// The one of two values that comes first.
fn earlier(one: CursorValue, other: CursorValue) -> CursorValue {
    if other < one { other } else { one }
}
