//! The slices of a pull: into the next one, and on within it.

use super::{Ending, Job, Pull};
use crate::report::{self, Purpose};
use crate::request::{self, Request, Requests};
use crate::scan::Found;
use crate::slices::{At, Slices};
use millrace_model::Failure;
use millrace_model::definition::pipeline::CursorValue;
use millrace_model::raw::{Origin, Position};
use serde_json::{Map, Value};

impl<'a> Job<'a> {
    /// What is asked in a run that starts from there.
    pub(super) fn requests(&self, start: Option<&CursorValue>) -> Requests {
        let run = &self.input.run;
        let scope = request::run_scope(run.as_str(), run.began(), &self.pinned.pipeline.config);
        Requests::new(self.connection, self.resource, scope, start)
    }

    /// The slices of a run that starts from there.
    pub(super) fn slices(&self, start: Option<&CursorValue>) -> Result<Slices<'a>, Failure> {
        let now = self.input.run.began();
        Slices::new(
            self.objects,
            self.input,
            self.pinned,
            self.resource,
            now,
            start,
        )
    }
}

impl Pull<'_> {
    /// Makes the slice of the position ready, or moves on to the end where there is none; says why not where it cannot.
    pub(super) async fn enter(&mut self) -> Result<Option<Ending>, Failure> {
        if !Slices::is_cut(self.job.resource) {
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
        match self.slices.at(number, &self.source.requests).await? {
            At::NotYet => return Ok(Some(Ending::Parent)),
            At::End => {
                self.slice = None;
                self.position = Position::End;
            }
            At::Slice(slice) => {
                self.segment.forget_last();
                if self.position == Position::Start || slice.number != number {
                    self.position = first_of(slice.number);
                }
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
    fn scope(&self) -> Value {
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
    Position::Slice {
        slice,
        report: None,
        inner: Box::new(Position::Start),
    }
}
