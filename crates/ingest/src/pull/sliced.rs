//! The slices of a pull: into the next one, and on within it.

use super::{Ending, Job, Pull};
use crate::checkpoint::Starts;
use crate::cursor;
use crate::dead::{self, Letters};
use crate::fetch::Refusal;
use crate::report::{self, Purpose};
use crate::request::{self, Request, Requests};
use crate::scan::Found;
use crate::slices::{At, Slices};
use millrace_model::dead::{DeadRequest, DeadSlice};
use millrace_model::definition::pipeline::{CursorValue, OnRefusal};
use millrace_model::mode::RunMode;
use millrace_model::raw::{Origin, Position};
use millrace_model::{Failure, FailureName};
use serde_json::{Map, Value};
use tracing::warn;

impl<'a> Job<'a> {
    /// What is asked in a run that starts from there.
    pub(super) fn requests(&self, start: Option<&CursorValue>) -> Requests {
        let run = &self.input.run;
        let scope = request::run_scope(run.as_str(), run.began(), &self.pinned.pipeline.config);
        let until = self.until();
        Requests::new(self.connection, self.resource, scope, start, until.as_ref())
    }

    /// Until when the run asks for what changed; none where there is no such bound.
    fn until(&self) -> Option<CursorValue> {
        let to = match &self.pinned.mode {
            RunMode::Backfill { to, .. } => to.as_ref(),
            _ => None,
        };
        let now = self.input.run.began().as_millisecond();
        cursor::until(self.resource.incremental.as_ref()?, now, to)
    }

    /// The slices of a run that starts from there.
    pub(super) async fn slices(&self, starts: &Starts) -> Result<Slices<'a>, Failure> {
        let until = match self.until() {
            Some(CursorValue::Timestamp(until)) => until,
            _ => self.input.run.began().as_millisecond(),
        };
        Slices::new(
            self.objects,
            self.input,
            self.pinned,
            self.resource,
            until,
            self.letters().await?,
            starts.clone(),
        )
    }

    /// The requests that the run sends again; none where it is no retry.
    pub(super) async fn letters(&self) -> Result<Option<Letters<'a>>, Failure> {
        match &self.pinned.mode {
            RunMode::Retry { run } => Letters::read(self.objects, self.input, run).await.map(Some),
            _ => Ok(None),
        }
    }
}

impl Pull<'_> {
    /// Makes the slice of the position ready, or moves on to the end where there is none; says why not where it cannot.
    pub(super) async fn enter(&mut self) -> Result<Option<Ending>, Failure> {
        if !self.slices.is_cut() {
            return Ok(None);
        }
        let number = match &self.position {
            Position::Slice { slice, .. } => *slice,
            _ => 0,
        };
        if self
            .slice
            .as_ref()
            .is_some_and(|open| open.number == number)
        {
            return Ok(None);
        }
        let there = match self.ahead.slice(number) {
            Some(slice) => At::Slice(Box::new(slice)),
            None => self.slices.at(number, &self.source.requests).await?,
        };
        match there {
            At::NotYet => return Ok(Some(Ending::Parent)),
            At::End => {
                self.slice = None;
                self.position = Position::End;
            }
            At::Slice(slice) => {
                self.segment.forget_last();
                let is_at_start = match &self.position {
                    Position::Start => true,
                    Position::Slice { inner, report, .. } => {
                        report.is_none() && **inner == Position::Start
                    }
                    _ => false,
                };
                if is_at_start || slice.number != number {
                    self.position = at(slice.number, slice.begin.clone());
                }
                self.slices_are_short = self.slice.is_some() && self.pages_of_slice <= 1;
                self.pages_of_slice = 0;
                self.told = None;
                self.slice = Some(*slice);
            }
        }
        Ok(None)
    }

    /// What the next request is for.
    pub(super) fn purpose(&self) -> Purpose {
        Purpose::at(&self.position, self.job.resource.report.as_ref())
    }

    /// What templates see at the position, beside what they see in every request.
    pub(super) fn scope(&self) -> Value {
        let scope = self.slice.as_ref().map(|slice| slice.scope.clone());
        let mut scope = scope.unwrap_or_else(|| Value::Object(Map::new()));
        if let Some(report) = report::report(&self.position) {
            scope["job"] = report.answer.clone();
        }
        scope
    }

    /// The request of the position.
    pub(super) fn request(&self) -> Result<Request, Failure> {
        let requests = &self.source.requests;
        let scope = self.scope();
        match (self.purpose(), &self.job.resource.report) {
            (Purpose::Records, _) | (_, None) => {
                requests.page(&scope, &self.source.paginate, self.position.inner())
            }
            (purpose, Some(definition)) => report::request(definition, purpose, requests, &scope),
        }
    }

    /// Which part of the resource the answer to that request belongs to.
    pub(super) fn origin(&self, request: &Request) -> Origin {
        Origin {
            slice: self.slice.as_ref().map(|slice| slice.number),
            request: request.digest.clone(),
            carried: self.slice.as_ref().and_then(|slice| slice.carried.clone()),
            is_aside: self.purpose() != Purpose::Records,
        }
    }

    /// Goes on behind an answer that leads there.
    pub(super) fn go_on(&mut self, next: Position, found: &Found) -> Result<(), Failure> {
        let Position::Slice { slice, report, .. } = &self.position else {
            self.position = next;
            return Ok(());
        };
        let slice = *slice;
        self.position = match (self.purpose(), &self.job.resource.report) {
            (Purpose::Records, _) | (_, None) if next == Position::End => first_of(slice + 1),
            (Purpose::Records, _) | (_, None) => Position::Slice {
                slice,
                report: report.clone(),
                inner: Box::new(next),
            },
            (_, Some(definition)) => {
                let requests = &self.source.requests;
                let judged =
                    report::judge(definition, report.as_ref(), found, requests, &self.scope())?;
                Position::Slice {
                    slice,
                    report: Some(judged),
                    inner: Box::new(Position::Start),
                }
            }
        };
        Ok(())
    }

    /// Whether the run goes on with the next slice where a request of this one is refused.
    pub(super) fn passes_over(&self) -> bool {
        self.slice.is_some() && self.job.resource.on_refusal == OnRefusal::Skip
    }

    /// Keeps a request that failed for good, and passes over the slice to which it belongs where the definition says so;
    /// else makes a failure of it.
    pub(super) async fn refused(
        &mut self,
        request: &Request,
        refusal: &Refusal,
    ) -> Result<(), Failure> {
        let message = refusal.told(&request.name());
        let slice = self.slice.as_ref().filter(|_| self.passes_over());
        let number = slice.map(|slice| slice.number);
        let kept = self.bury(request, refusal.status, &message).await;
        let Some(number) = number else {
            if let Err(error) = kept {
                warn!(%error, "the failed request could not be kept");
            }
            return Err(Failure::new(FailureName::BadAnswer, message));
        };
        // What is passed over must be known to be missing.
        kept?;
        warn!(
            request = request.name(),
            message, "the slice is passed over"
        );
        self.tally.skipped += 1;
        self.job.observer.progress(&self.tally.counts());
        self.position = first_of(number + 1);
        Ok(())
    }

    async fn bury(&self, request: &Request, status: u16, message: &str) -> Result<(), Failure> {
        let slice = self.slice.as_ref();
        let dead = DeadRequest {
            method: request.method.as_str().to_owned(),
            url: request.shown.clone(),
            status,
            message: message.to_owned(),
            failed_at: jiff::Timestamp::now().to_string(),
            definition: self.job.input.definition.clone(),
            position: self.position.clone(),
            start: self.starts.all.clone(),
            slice: slice.map(|slice| DeadSlice {
                scope: slice.scope.clone(),
                carried: slice.carried.clone(),
            }),
            was_skipped: self.passes_over(),
        };
        let number = slice.map(|slice| slice.number);
        let name = format!("{number:?} {}", request.key());
        dead::bury(self.job.objects, self.job.input, &name, &dead).await
    }

    /// Behind an answer about a report that is not ready: keeps what was said, and waits before the next poll.
    pub(super) async fn after_aside(&mut self) -> Result<Option<Ending>, Failure> {
        self.segment.forget_last();
        self.commit().await?;
        match (&self.job.resource.report, self.purpose()) {
            (Some(definition), Purpose::Poll) => Ok(self.pause(definition.every).await),
            _ => Ok(None),
        }
    }
}

fn first_of(slice: u64) -> Position {
    at(slice, Position::Start)
}

fn at(slice: u64, inner: Position) -> Position {
    Position::Slice {
        slice,
        report: None,
        inner: Box::new(inner),
    }
}
