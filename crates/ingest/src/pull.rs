//! A resource's pull: page after page into segments, until there is no more, or no more time.

mod ahead;
mod commit;
mod page;
mod shown;
mod sliced;
mod start;

use crate::auth::Authenticator;
use crate::checkpoint::{Checkpoint, Starts};
use crate::fetch::Source;
use crate::limits::Limits;
use crate::redact::Redaction;
use crate::scan::Found;
use crate::segment::Segment;
use crate::sender::Sender;
use crate::slices::{Slice, Slices};
use crate::tally::Tally;
use crate::throttle::Throttle;
use crate::wire::Wire;
use ahead::Ahead;
use millrace_model::definition::pipeline::{CursorValue, Resource};
use millrace_model::definition::{Connection, Pinned};
use millrace_model::raw::Position;
use millrace_model::state::PartitionCursors;
use millrace_model::step::{Deadline, Observer, Place, StepInput};
use millrace_model::{Failure, FailureName};
use millrace_store::objects::Objects;
use std::sync::Arc;
use std::time::Duration;
use tracing::info;

/// What a pull works on and with.
#[derive(Clone, Copy)]
pub(crate) struct Job<'a> {
    pub(crate) objects: &'a dyn Objects,
    pub(crate) auth: &'a Authenticator,
    /// What becomes of personal data; none where the resource has none.
    pub(crate) redaction: Option<&'a Arc<Redaction>>,
    pub(crate) observer: &'a dyn Observer,
    pub(crate) input: &'a StepInput,
    pub(crate) pinned: &'a Pinned,
    pub(crate) connection: &'a Connection,
    pub(crate) resource: &'a Resource,
    pub(crate) deadline: Deadline,
    pub(crate) limits: Limits,
    /// How requests go.
    pub(crate) wire: &'a Wire,
    /// Where it runs, for the manifests.
    pub(crate) written_by: &'a str,
}

/// How long to wait before looking again whether a parent resource is complete, where nobody else waits.
const PARENT_POLL: Duration = Duration::from_secs(2);

/// How a pull ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// All is there.
    Complete,
    /// The deadline is near.
    Deadline,
    /// A page took longer than there was time.
    PageTooSlow,
    /// The source is to be left alone for that long.
    Wait(Duration),
    /// The parent resource is not complete yet.
    Parent,
}

/// A pull under way.
pub(crate) struct Pull<'a> {
    job: Job<'a>,
    source: Source<'a>,
    throttles: Vec<Arc<Throttle>>,
    /// What is committed.
    pub(crate) checkpoint: Checkpoint,
    /// What is not.
    segment: Segment,
    /// Where the pull goes on, behind the pages that are not committed.
    position: Position,
    slices: Slices<'a>,
    /// The slice of the position, once it is made ready.
    slice: Option<Slice>,
    /// How many pages of it were taken.
    pages_of_slice: u64,
    /// Whether the slice before it had one page.
    slices_are_short: bool,
    /// What was found in its last page.
    told: Option<Found>,
    ahead: Ahead,
    starts: Starts,
    cursor: Option<CursorValue>,
    /// How far the partitions come in the segment.
    cursors: PartitionCursors,
    /// How many requests the committed segments took.
    requests_committed: u64,
    slowest: Duration,
    pages_of_records: u64,
    /// How many of the last pages had no records.
    empty_pages: u32,
    writer: String,
    pub(crate) tally: Tally,
}

impl<'a> Pull<'a> {
    /// Begins where the checkpoint says.
    pub(crate) async fn new(
        job: Job<'a>,
        checkpoint: Checkpoint,
        throttles: Vec<Arc<Throttle>>,
    ) -> Result<Self, Failure> {
        let resource = job.resource;
        let starts = if checkpoint.segments > 0 {
            checkpoint.starts.clone()
        } else {
            job.starts().await?
        };
        let requests = job.requests(starts.all.as_ref());
        let paginate = checkpoint.paginate.clone();
        let sender = Sender::new(job.connection, job.wire.clone(), job.redaction.cloned())?;
        Ok(Self {
            source: Source::new(
                sender,
                resource,
                requests,
                paginate.unwrap_or_else(|| resource.paginate.clone()),
                job.limits,
            ),
            throttles,
            segment: Segment::new()?,
            position: checkpoint.next.clone(),
            slices: job.slices(&starts).await?,
            slice: None,
            pages_of_slice: 0,
            slices_are_short: false,
            told: None,
            ahead: Ahead::default(),
            starts,
            cursor: checkpoint.cursor.clone(),
            cursors: PartitionCursors::new(),
            requests_committed: 0,
            slowest: Duration::ZERO,
            pages_of_records: 0,
            empty_pages: 0,
            writer: format!("{:016x}", rand::random::<u64>()),
            tally: Tally::default(),
            checkpoint,
            job,
        })
    }

    /// Pulls until all is there, or until it has to stop; what came is committed either way.
    pub(crate) async fn run(&mut self) -> Result<Ending, Failure> {
        let mut idle_waits = 0;
        loop {
            let pages_before = self.tally.pages;
            let ending = self.pages().await;
            // What came before a failure is kept, so that nothing is asked for twice. The failure is what matters then,
            // and not that this may fail as well.
            let committed = self.commit().await;
            self.ahead.give_up();
            let ending = ending?;
            committed?;
            match ending {
                // Another writer's segments may end elsewhere.
                Ending::Complete if self.position != Position::End => {}
                Ending::Parent if self.job.deadline.place() == Place::Unbounded => {
                    tokio::time::sleep(PARENT_POLL).await;
                }
                // Nobody else would wait for a task.
                Ending::Wait(wait) if self.job.deadline.place() == Place::Unbounded => {
                    idle_waits = if self.tally.pages == pages_before {
                        idle_waits + 1
                    } else {
                        0
                    };
                    if idle_waits > self.job.limits.retries {
                        let message = format!(
                            "the source of `{}` asked to wait {idle_waits} times in a row: lower the connection's \
                             rate_limit, or run later",
                            self.job.input.name
                        );
                        return Err(Failure::new(FailureName::RateLimited, message));
                    }
                    info!(seconds = wait.as_secs(), "waiting, as the source asks");
                    self.tally.waited += wait;
                    tokio::time::sleep(wait).await;
                }
                _ => return Ok(ending),
            }
        }
    }

    /// Whether this invocation has brought the pull on.
    pub(crate) fn has_progressed(&self) -> bool {
        self.tally.pages > 0
    }

    async fn pages(&mut self) -> Result<Ending, Failure> {
        while self.position != Position::End {
            if self.job.deadline.left() < self.margin() {
                return Ok(Ending::Deadline);
            }
            if let Some(ending) = self.enter().await? {
                return Ok(ending);
            }
            if self.position == Position::End {
                break;
            }
            if let Some(ending) = self.page().await? {
                return Ok(ending);
            }
            if self.position != Position::End
                && self
                    .segment
                    .is_due(self.job.limits.segment_bytes, self.job.limits.segment_age)
            {
                self.commit().await?;
            }
        }
        Ok(Ending::Complete)
    }

    /// How much time there must be to ask for another page.
    fn margin(&self) -> Duration {
        self.job.limits.reserve.max(self.slowest * 2)
    }

    /// Sits a wait out, unless it is so long that the segment should be committed first, or that the conductor should
    /// sit it out.
    async fn pause(&mut self, wait: Duration) -> Option<Ending> {
        let fits = wait <= self.job.connection.politeness.wait_limit
            && wait.saturating_add(self.margin()) <= self.job.deadline.left();
        if !wait.is_zero() && !fits {
            return Some(Ending::Wait(wait));
        }
        self.tally.waited += wait;
        tokio::time::sleep(wait).await;
        None
    }
}
