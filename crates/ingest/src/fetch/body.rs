//! The body of an answer, taken into the segment.

use super::outcome::{Outcome, Refusal, Taken, meant};
use super::{Source, Wanted};
use crate::answer;
use crate::paginate::{self, Answer, Choice, Hints};
use crate::redact::Redaction;
use crate::scan::{Found, ScanError};
use crate::segment::{About, Body, Reading, Segment, Untaken};
use crate::sender::told;
use futures::StreamExt;
use http::header;
use millrace_model::definition::answer::Meaning;
use millrace_model::definition::format::Format;
use millrace_model::definition::pipeline::{CursorValue, Paginate};
use millrace_model::raw::Position;
use millrace_model::{Failure, FailureName};
use millrace_records::FormReader;
use reqwest::Response;
use std::error::Error;
use std::time::Duration;

/// Why a body could not be read.
enum Unread {
    Broken(reqwest::Error),
    Untaken(Untaken),
}

/// Reads a body to its end as it streams in.
async fn read(body: &mut Body<'_>, response: Response) -> Result<Found, Unread> {
    let mut pieces = response.bytes_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(Unread::Broken)?;
        body.write(piece).await.map_err(Unread::Untaken)?;
    }
    body.end().await.map_err(Unread::Untaken)
}

fn broken_off(status: u16, error: reqwest::Error) -> Outcome {
    Outcome::Again {
        trouble: format!("answered {status}, but the body broke off: {}", told(error)),
        is_rate_limit: false,
        asked: None,
    }
}

impl Source<'_> {
    pub(super) async fn take(
        &self,
        wanted: &Wanted<'_>,
        response: Response,
        requested_at: String,
        asked: Option<Duration>,
        segment: &mut Segment,
    ) -> Result<Outcome, Failure> {
        let status = response.status().as_u16();
        let content_type = response.headers().get(header::CONTENT_TYPE);
        let content_type = content_type
            .and_then(|value| value.to_str().ok())
            .map(ToOwned::to_owned);
        let about = About {
            url: wanted.request.shown.clone(),
            status,
            content_type,
            requested_at,
            origin: wanted.origin.clone(),
        };
        let location = response.headers().get(header::LOCATION);
        let location = location
            .and_then(|location| location.to_str().ok())
            .map(str::to_owned);
        let hints = Hints::of(response.headers(), &self.paginate);
        let reading = self.reading(wanted, about.content_type.as_deref());
        let mut body = segment
            .begin(reading)
            .await
            .map_err(|error| internal(wanted, &error))?;
        let found = match read(&mut body, response).await {
            Ok(found) => found,
            Err(Unread::Broken(error)) => return Ok(broken_off(status, error)),
            Err(Unread::Untaken(untaken)) => return self.untaken(wanted, &about, &untaken),
        };
        if let Some(meaning) = self.meaning(status, &answer::values(&found), &wanted.origin)? {
            if meaning == Meaning::Empty {
                return self.taken_empty(wanted, body, about).await;
            }
            return Ok(meant(meaning, self.judged(status, &found), asked));
        }
        if let Some(missing) = body.missing() {
            return self.untaken(wanted, &about, &missing);
        }
        if wanted.origin.is_aside {
            return self.taken_aside(wanted, body, found, about, location).await;
        }
        let records = found.records;
        match self
            .followed(wanted, &mut body, found, &hints, status)
            .await?
        {
            Outcome::Taken(taken) => {
                let kept = body.keep(records, about).await;
                kept.map_err(|error| internal(wanted, &error))?;
                Ok(Outcome::Taken(taken))
            }
            other => Ok(other),
        }
    }

    /// What a body with records leads to, unless it is the one before over again.
    async fn followed(
        &self,
        wanted: &Wanted<'_>,
        body: &mut Body<'_>,
        mut found: Found,
        hints: &Hints,
        status: u16,
    ) -> Result<Outcome, Failure> {
        let answer = Answer {
            url: &wanted.request.url,
            hints,
            found: &found,
        };
        let choice = match self.paginate {
            Paginate::Auto => paginate::detect(answer),
            _ => None,
        };
        let (next, choice) = match choice {
            None => (self.next(&self.paginate, wanted, answer)?, None),
            Some(choice) => {
                let next = self.next_by_choice(&choice, wanted, answer)?;
                (next, Some(Box::new(choice)))
            }
        };
        let repeats = body.repeats_the_last().await;
        if repeats.map_err(|error| internal(wanted, &error))? && found.records > 0 {
            let problem = "is the same, byte for byte, as the page before; the source pays no attention to what the \
                           definition's `paginate` sends, so the pull would never end"
                .to_owned();
            return Ok(Outcome::Repeated(Refusal {
                status,
                problem,
                excerpt: String::new(),
            }));
        }
        let next_run = paginate::next_run(&self.paginate, answer)?;
        if let Position::Url { url } = self.requests.unsigned(next_run) {
            found.cursor = Some(CursorValue::Token(url));
        }
        Ok(Outcome::Taken(Box::new(Taken {
            found,
            bytes: body.length(),
            next: self.requests.unsigned(next),
            choice,
        })))
    }

    /// Keeps an answer that says that there are no records.
    async fn taken_empty(
        &self,
        wanted: &Wanted<'_>,
        body: Body<'_>,
        mut about: About,
    ) -> Result<Outcome, Failure> {
        about.origin.is_aside = true;
        body.keep(0, about)
            .await
            .map_err(|error| internal(wanted, &error))?;
        Ok(Outcome::Empty)
    }

    fn reading(&self, wanted: &Wanted<'_>, content_type: Option<&str>) -> Reading<'_> {
        let (targets, reader) = if wanted.origin.is_aside {
            let reader = FormReader::new(&Format::default(), content_type, &[]);
            (&self.aside, reader)
        } else {
            (&self.targets, self.records.begin(content_type))
        };
        Reading {
            targets,
            reader,
            redactor: self.sender.redaction().map(Redaction::begin),
            limit: self.limits.body_bytes,
        }
    }

    /// Keeps an answer that has no records; where it leads, its values decide.
    async fn taken_aside(
        &self,
        wanted: &Wanted<'_>,
        body: Body<'_>,
        mut found: Found,
        about: About,
        location: Option<String>,
    ) -> Result<Outcome, Failure> {
        if let Some(location) = location {
            let location = self.credential.scrub(&location);
            found
                .meta
                .entry("location".to_owned())
                .or_insert(location.into());
        }
        let bytes = body.length();
        body.keep(found.records, about)
            .await
            .map_err(|error| internal(wanted, &error))?;
        Ok(Outcome::Taken(Box::new(Taken {
            found,
            bytes,
            next: Position::End,
            choice: None,
        })))
    }

    fn next(
        &self,
        paginate: &Paginate,
        wanted: &Wanted<'_>,
        answer: Answer<'_>,
    ) -> Result<Position, Failure> {
        paginate::next(paginate, wanted.position, answer).map_err(|failure| {
            let message = self.credential.scrub(&failure.message);
            Failure::new(failure.name, message)
        })
    }

    /// Where an answer leads by the paginator that it shows itself, for which its body was not yet searched.
    fn next_by_choice(
        &self,
        choice: &Choice,
        wanted: &Wanted<'_>,
        answer: Answer<'_>,
    ) -> Result<Position, Failure> {
        let found = Found {
            next: paginate::next_path(&choice.paginate)
                .and_then(|path| answer.found.plain(&path.0)),
            ..answer.found.clone()
        };
        let answer = Answer {
            found: &found,
            ..answer
        };
        self.next(&choice.paginate, wanted, answer)
    }

    fn untaken(
        &self,
        wanted: &Wanted<'_>,
        about: &About,
        untaken: &Untaken,
    ) -> Result<Outcome, Failure> {
        match untaken {
            Untaken::Scan(ScanError::EndsEarly(_)) => {
                let trouble = format!("answered {}, but the body {untaken}", about.status);
                Ok(Outcome::Again {
                    trouble,
                    is_rate_limit: false,
                    asked: None,
                })
            }
            Untaken::Scan(_)
            | Untaken::Malformed(_)
            | Untaken::TooLarge(_)
            | Untaken::Unredacted(_) => {
                let kind = about.content_type.as_deref().unwrap_or("no content type");
                let problem = self.credential.scrub(&format!("({kind}) {untaken}"));
                Ok(Outcome::Refused(Refusal {
                    status: about.status,
                    problem,
                    excerpt: String::new(),
                }))
            }
            Untaken::Packing(_) => Err(internal(wanted, untaken)),
        }
    }
}

fn internal(wanted: &Wanted<'_>, error: &dyn Error) -> Failure {
    Failure::new(
        FailureName::Internal,
        format!("{}: the body {error}", wanted.request.name()),
    )
}
