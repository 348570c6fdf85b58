//! A resource's pull: page after page into segments, until there is no more, or no more time.

mod shown;
mod sliced;

use crate::auth::Authenticator;
use crate::checkpoint::{self, Checkpoint};
use crate::cursor::starting_value;
use crate::fetch::{Outcome, Refusal, Source, Wanted};
use crate::limits::Limits;
use crate::paginate::{self, Choice};
use crate::redact::Redaction;
use crate::report::Purpose;
use crate::retry::Retries;
use crate::scan::Found;
use crate::segment::Segment;
use crate::slices::{Slice, Slices};
use crate::tally::Tally;
use crate::throttle::{Entry, Throttle};
use crate::wire::Wire;
use millrace_model::definition::pipeline::{CursorValue, Paginate, Resource};
use millrace_model::definition::{Connection, Pinned};
use millrace_model::mode::RunMode;
use millrace_model::raw::{Manifest, Position};
use millrace_model::state::ResourceState;
use millrace_model::step::{Deadline, Observer, Place, StepInput};
use millrace_model::{Failure, FailureName, keys};
use millrace_store::json;
use millrace_store::objects::{ErrorKind, Objects};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::{debug, info, warn};

/// The status by which a source says that a link has run out.
const GONE: u16 = 410;

/// How often a page is asked for again that comes as the page before did.
const REPEATS: u32 = 2;

/// What a pull works on and with.
#[derive(Clone, Copy)]
pub(crate) struct Job<'a> {
    pub(crate) objects: &'a dyn Objects,
    pub(crate) auth: &'a Authenticator,
    /// What becomes of personal data; none where the resource has none.
    pub(crate) redaction: Option<&'a Redaction>,
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
    throttle: Arc<Throttle>,
    /// What is committed.
    pub(crate) checkpoint: Checkpoint,
    /// What is not.
    segment: Segment,
    /// Where the pull goes on, behind the pages that are not committed.
    position: Position,
    slices: Slices<'a>,
    /// The slice of the position, once it is made ready.
    slice: Option<Slice>,
    start: Option<CursorValue>,
    cursor: Option<CursorValue>,
    /// How many requests the committed segments took.
    requests_committed: u64,
    slowest: Duration,
    pages_of_records: u64,
    writer: String,
    pub(crate) tally: Tally,
}

impl<'a> Pull<'a> {
    /// Begins where the checkpoint says.
    pub(crate) async fn new(
        job: Job<'a>,
        checkpoint: Checkpoint,
        throttle: Arc<Throttle>,
    ) -> Result<Self, Failure> {
        let resource = job.resource;
        let start = if checkpoint.segments > 0 {
            checkpoint.start.clone()
        } else {
            job.starting_cursor().await?
        };
        let requests = job.requests(start.as_ref());
        let paginate = checkpoint.paginate.clone();
        Ok(Self {
            source: Source::new(
                job.connection,
                resource,
                requests,
                paginate.unwrap_or_else(|| resource.paginate.clone()),
                job.limits,
                throttle.clone(),
                job.redaction,
            )?
            .over(job.wire.clone()),
            throttle,
            segment: Segment::new()?,
            position: checkpoint.next.clone(),
            slices: job.slices(start.as_ref()).await?,
            slice: None,
            start,
            cursor: checkpoint.cursor.clone(),
            requests_committed: 0,
            slowest: Duration::ZERO,
            pages_of_records: 0,
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

    /// Pulls the page at the position, or tells why not.
    async fn page(&mut self) -> Result<Option<Ending>, Failure> {
        let request = self.request()?;
        let (slice, purpose) = (
            self.slice.as_ref().map(|slice| slice.number),
            self.purpose(),
        );
        let name = request.name();
        if purpose == Purpose::Records && self.checkpoint.was_pulled(slice, &request.key()) {
            let message = format!(
                "{name}: the source leads back to this page, which the run has pulled already, so the pull would \
                 never end; check the definition's `paginate`"
            );
            return Err(Failure::new(FailureName::BadAnswer, message));
        }
        let mut retries = Retries::default();
        let mut is_renewed = false;
        let mut repeats = 0;
        loop {
            let pass = match self.throttle.enter().await? {
                Entry::Go(pass) => pass,
                Entry::Wait(wait) => {
                    if let Some(ending) = self.pause(wait).await {
                        return Ok(Some(ending));
                    }
                    continue;
                }
                Entry::Down(wait) => {
                    if retries.count() > 0 && !retries.has_time_for(wait, &self.job.limits) {
                        let trouble = "gets no sound answer";
                        return Err(given_up(&name, trouble, false, retries.count()));
                    }
                    if let Some(ending) = self.pause(wait).await {
                        return Ok(Some(ending));
                    }
                    continue;
                }
            };
            if !is_renewed {
                self.source.credential = self.job.auth.credential().await?;
            }
            self.tally.requests += 1;
            let began = Instant::now();
            let position = self.position.clone();
            let wanted = Wanted {
                position: position.inner(),
                request: &request,
                origin: self.origin(&request),
            };
            let asked = self.source.ask(&wanted, &mut self.segment, pass);
            let outcome = match self.job.deadline.place() {
                Place::Unbounded => asked.await?,
                Place::Lambda => {
                    let time = self
                        .job
                        .deadline
                        .left()
                        .saturating_sub(self.job.limits.reserve / 2);
                    match tokio::time::timeout(time, asked).await {
                        Ok(outcome) => outcome?,
                        Err(_) => return Ok(Some(Ending::PageTooSlow)),
                    }
                }
            };
            let took = began.elapsed();
            match outcome {
                Outcome::Taken {
                    found,
                    bytes,
                    next,
                    choice,
                } => {
                    self.throttle.succeeded().await?;
                    if purpose == Purpose::Records {
                        self.choose(choice, &found);
                        self.checkpoint.note_pulled(slice, &request.key());
                    }
                    self.slowest = self.slowest.max(took);
                    self.go_on(next, &found)?;
                    self.advance(found.cursor);
                    self.tally.take_page(found.records, bytes);
                    debug!(name, records = found.records, bytes, "page");
                    self.job.observer.progress(&self.tally.counts());
                    if purpose == Purpose::Records {
                        self.show(found.records, bytes);
                        self.leave_if_enough();
                        return Ok(None);
                    }
                    return self.after_aside().await;
                }
                // What one slice may not be asked for says nothing about the others.
                Outcome::Unauthorized { status: 403 } if self.passes_over() => {
                    let refusal = Refusal::of_status(403);
                    return self.refused(&request, &refusal).await.map(|()| None);
                }
                Outcome::Unauthorized { status } => {
                    if status != 401 || is_renewed || !self.renew().await? {
                        let refused = &self.source.credential;
                        return Err(self.job.auth.refusal(refused, &name, status));
                    }
                    is_renewed = true;
                }
                Outcome::Again {
                    trouble,
                    is_rate_limit,
                    asked,
                } => {
                    match asked {
                        Some(wait) => self.throttle.pause(wait).await?,
                        None if !is_rate_limit => self.throttle.failed().await?,
                        None => {}
                    }
                    let Some(wait) = retries.next(asked, took, &self.job.limits) else {
                        return Err(given_up(&name, &trouble, is_rate_limit, retries.count()));
                    };
                    warn!(
                        request = name,
                        trouble,
                        wait_ms = wait.as_millis() as u64,
                        "the request will be sent again"
                    );
                    self.tally.retries += 1;
                    if let Some(ending) = self.pause(wait).await {
                        // Without any progress the conductor would wait and call for ever.
                        if self.has_progressed() || asked.is_some() || is_rate_limit {
                            return Ok(Some(ending));
                        }
                        return Err(given_up(&name, &trouble, is_rate_limit, retries.count()));
                    }
                }
                Outcome::Repeated(refusal) => {
                    repeats += 1;
                    let wait = retries.next(None, took, &self.job.limits);
                    let Some(wait) = wait.filter(|_| repeats <= REPEATS) else {
                        return self.refused(&request, &refusal).await.map(|()| None);
                    };
                    warn!(
                        request = name,
                        "the page before came again; it is asked for anew"
                    );
                    self.tally.retries += 1;
                    if let Some(ending) = self.pause(wait).await {
                        return Ok(Some(ending));
                    }
                }
                Outcome::Empty => {
                    self.throttle.succeeded().await?;
                    self.go_on(Position::End, &Found::default())?;
                    return Ok(None);
                }
                Outcome::Refused(refusal) if refusal.status == GONE && self.begins_at_token() => {
                    self.begin_anew().await?;
                    return Ok(None);
                }
                Outcome::Refused(refusal) => {
                    return self.refused(&request, &refusal).await.map(|()| None);
                }
            }
        }
    }

    /// Notes how far the incremental field has come. Of several tokens the first one counts: what changed while the
    /// pages came is behind it.
    fn advance(&mut self, cursor: Option<CursorValue>) {
        let is_known_token = matches!(self.cursor, Some(CursorValue::Token(_)));
        if cursor > self.cursor && !is_known_token {
            self.cursor = cursor;
        }
    }

    /// Whether the next request is the link that the run before was given.
    fn begins_at_token(&self) -> bool {
        self.position == Position::Start && matches!(self.start, Some(CursorValue::Token(_)))
    }

    /// Begins without the link that the run before was given, since the source does not know it any more.
    async fn begin_anew(&mut self) -> Result<(), Failure> {
        let note = "the source does not know any more what changed since the run before; everything is pulled anew";
        warn!(resource = self.job.input.name, note);
        self.job.observer.note(note);
        self.start = None;
        self.source.requests = self.job.requests(None);
        self.slices = self.job.slices(None).await?;
        Ok(())
    }

    /// Notes the paginator that the first answer shows, or that it shows none.
    fn choose(&mut self, choice: Option<Box<Choice>>, found: &Found) {
        if let Some(choice) = choice {
            let Choice { paginate, reason } = *choice;
            info!(
                resource = self.job.input.name,
                reason, "the paginator was found"
            );
            self.job.observer.note(&reason);
            self.source.page_by(paginate);
        } else if self.source.paginate == Paginate::Auto
            && let Some(doubt) = paginate::doubt(found)
        {
            warn!(resource = self.job.input.name, doubt);
            self.job.observer.note(&doubt);
        }
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

    /// Renews the credential that was refused, and tells whether there is another one.
    async fn renew(&mut self) -> Result<bool, Failure> {
        let renewed = self.job.auth.renewed(&self.source.credential).await?;
        let is_other = renewed.is_some();
        if let Some(credential) = renewed {
            self.source.credential = credential;
        }
        Ok(is_other)
    }

    /// Commits the open segment, unless it is empty. Where another writer was first, what it committed counts, and the
    /// pull goes on from there.
    async fn commit(&mut self) -> Result<(), Failure> {
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
            start: self.start.clone(),
            paginate: self.chosen(),
            next: self.position.clone(),
            cursor: self.cursor.clone(),
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
        if let Some(paginate) = &self.checkpoint.paginate {
            self.source.page_by(paginate.clone());
        }
        if self.start != self.checkpoint.start {
            self.start.clone_from(&self.checkpoint.start);
            self.source.requests = self.job.requests(self.start.as_ref());
            self.slices = self.job.slices(self.start.as_ref()).await?;
        }
        Ok(())
    }
}

impl Job<'_> {
    /// The value from which the run starts, as the runs before it left it.
    async fn starting_cursor(&self) -> Result<Option<CursorValue>, Failure> {
        let has_token = self.resource.paginate == Paginate::OdataDelta;
        if self.resource.incremental.is_none() && !has_token {
            return Ok(None);
        }
        let from_start = self.resource.incremental.as_ref();
        match &self.pinned.mode {
            RunMode::Regular => {}
            RunMode::FullRefresh => return Ok(from_start.map(|it| it.start.clone())),
            RunMode::Backfill { from, .. } => return Ok(from_start.map(|_| from.clone())),
            RunMode::Retry { .. } => {
                let dead = match self.letters().await? {
                    Some(letters) => letters.at(0).await?,
                    None => None,
                };
                // All requests of a run have the same start.
                return Ok(dead.and_then(|dead| dead.start));
            }
        }
        let key = keys::state(&self.input.pipeline, &self.input.name);
        let state: Option<ResourceState> = json::get(self.objects, &key).await?;
        let Some(incremental) = &self.resource.incremental else {
            let cursor = state.and_then(|state| state.cursor);
            return Ok(cursor.filter(|cursor| matches!(cursor, CursorValue::Token(_))));
        };
        Ok(Some(starting_value(
            incremental,
            state.and_then(|state| state.cursor),
        )))
    }
}

fn given_up(name: &str, trouble: &str, is_rate_limit: bool, times: u32) -> Failure {
    let (failure, advice) = if is_rate_limit {
        (
            FailureName::RateLimited,
            "lower the connection's rate_limit, or run later",
        )
    } else {
        (
            FailureName::Transient,
            "the source may be down, or its base_url wrong",
        )
    };
    Failure::new(
        failure,
        format!("{name} {trouble}, {times} times in a row: {advice}"),
    )
}
