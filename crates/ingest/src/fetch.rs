//! One request, and what became of it.

use crate::answer::{self, Rules};
use crate::auth::Credential;
use crate::cursor::Reader;
use crate::limits::Limits;
use crate::paginate::{self, Answer, Choice, Hints};
use crate::redact::Redaction;
use crate::request::{Request, Requests};
use crate::retry::{Class, classify};
use crate::scan::{Found, ScanError};
use crate::segment::{About, Body, Reading, Segment, Untaken};
use crate::sender::{REDIRECTS, Sender, Sent, told};
use crate::targets::Targets;
use crate::throttle::retry_after;
use crate::wire::Unsent;
use futures::StreamExt;
use http::header;
use jiff::Timestamp;
use millrace_model::definition::answer::Meaning;
use millrace_model::definition::format::Format;
use millrace_model::definition::pipeline::{CursorValue, Paginate, Resource};
use millrace_model::raw::{Origin, Position};
use millrace_model::{Failure, FailureName};
use millrace_records::FormReader;
use reqwest::Response;
use serde_json::Value;
use std::error::Error;
use std::time::Duration;

/// How many characters of a refusal's body are told.
const EXCERPT: usize = 500;

/// How many bytes of a body that brings no records the rules look at.
const JUDGED: usize = 64 * 1024;

/// What is told instead of a body where that may hold personal data.
const UNTOLD: &str = "(what it says is not told: the resource has personal data)";

/// A resource as it is asked.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    pub(crate) resource: &'a Resource,
    pub(crate) requests: Requests,
    /// The credential of the next request.
    pub(crate) credential: Credential,
    /// How the next page is asked for, which the first answer may have to show.
    pub(crate) paginate: Paginate,
    sender: Sender,
    targets: Targets,
    aside: Targets,
    /// Which bytes of a body are records.
    records: millrace_records::Rules,
    rules: Rules,
    limits: Limits,
}

/// The page that is asked for.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) position: &'a Position,
    /// What is sent, without the credential.
    pub(crate) request: &'a Request,
    /// Which part of the resource it belongs to.
    pub(crate) origin: Origin,
}

/// What became of a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// A body was taken into the segment.
    Taken(Box<Taken>),
    /// It should be tried again.
    Again {
        /// What happened.
        trouble: String,
        /// Whether the source said `later`.
        is_rate_limit: bool,
        /// After how long the source wants to be asked again.
        asked: Option<Duration>,
    },
    /// The credential is refused.
    Unauthorized {
        /// The answer's status.
        status: u16,
    },
    /// The answer is that to the request before. A source, or a cache before it, may do so once; one that goes on would
    /// never come to an end.
    Repeated(Refusal),
    /// There are no records, and no more pages.
    Empty,
    /// It will never do.
    Refused(Refusal),
}

/// A body that was taken.
#[derive(Debug)]
pub(crate) struct Taken {
    /// What was found in it.
    pub(crate) found: Found,
    /// How long it is.
    pub(crate) bytes: u64,
    /// Where it leads.
    pub(crate) next: Position,
    /// The paginator that it shows, where that was not known.
    pub(crate) choice: Option<Box<Choice>>,
}

/// A request that failed for good.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// The answer's status.
    pub(crate) status: u16,
    /// What is wrong.
    pub(crate) problem: String,
    /// The beginning of the answer's body, where that is what is wrong.
    pub(crate) excerpt: String,
}

impl Refusal {
    /// Of an answer that says no more than its status.
    pub(crate) fn of_status(status: u16) -> Self {
        Self {
            status,
            problem: String::new(),
            excerpt: String::new(),
        }
    }

    /// What is wrong with the request of that name, in a sentence.
    pub(crate) fn told(&self, name: &str) -> String {
        let Self {
            status,
            problem,
            excerpt,
        } = self;
        match (problem.is_empty(), excerpt.is_empty()) {
            (true, true) => format!("{name} answered {status}"),
            (true, false) => format!("{name} answered {status}: {excerpt}"),
            (false, _) if (300..400).contains(status) => {
                format!("{name} answered {status}: it {problem}")
            }
            (false, _) => format!("{name} answered {status}, but the body {problem}"),
        }
    }
}

impl<'a> Source<'a> {
    pub(crate) fn new(
        sender: Sender,
        resource: &'a Resource,
        requests: Requests,
        paginate: Paginate,
        limits: Limits,
    ) -> Self {
        let rules = Rules::of(resource);
        Self {
            targets: targets(resource, &paginate, &rules),
            rules,
            aside: Targets::aside(),
            records: millrace_records::Rules::of(resource),
            resource,
            requests,
            credential: Credential::none(),
            paginate,
            sender,
            limits,
        }
    }

    /// What sends its requests.
    pub(crate) fn sender(&self) -> &Sender {
        &self.sender
    }

    /// Asks for pages that way from now on.
    pub(crate) fn page_by(&mut self, paginate: Paginate) {
        self.targets = targets(self.resource, &paginate, &self.rules);
        self.paginate = paginate;
    }

    /// Makes of what was sent what became of it; a body is taken into the segment as it streams in.
    pub(crate) async fn outcome(
        &self,
        wanted: &Wanted<'_>,
        sent: Sent,
        segment: &mut Segment,
    ) -> Result<Outcome, Failure> {
        let Sent {
            requested_at,
            answer,
            _pass,
        } = sent;
        let mut response = match answer {
            Ok(response) => response,
            Err(Unsent::Network(error)) => return self.unsent(error),
            Err(Unsent::Silent) => return Ok(silent(self.sender.first_byte())),
            Err(Unsent::Failed(failure)) => return Err(failure),
        };
        let status = response.status().as_u16();
        let asked = retry_after(response.headers(), Timestamp::now());
        let class = classify(status, asked.is_some());
        if class == Class::Good {
            // On the heap: a body's reader, redactor and scanner are the larger part of all that a pull holds.
            let taken = self.take(wanted, response, requested_at, asked, segment);
            return Box::pin(taken).await;
        }
        let start = self.start_of(&mut response).await;
        let values = serde_json::from_slice(&start).unwrap_or_default();
        if let Some(meaning) = self.meaning(status, &values, &wanted.origin)? {
            let refusal = self.refusal(&response, &start);
            return Ok(meant(meaning, refusal, asked));
        }
        match class {
            Class::Good | Class::Refused => Ok(Outcome::Refused(self.refusal(&response, &start))),
            Class::Unauthorized => Ok(Outcome::Unauthorized { status }),
            Class::Later => Ok(Outcome::Again {
                trouble: answered(status),
                is_rate_limit: true,
                asked,
            }),
            Class::Transient => Ok(Outcome::Again {
                trouble: answered(status),
                is_rate_limit: false,
                asked,
            }),
        }
    }

    async fn take(
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
        let mut pieces = response.bytes_stream();
        while let Some(piece) = pieces.next().await {
            match piece {
                Ok(piece) => {
                    if let Err(untaken) = body.write(piece).await {
                        return self.untaken(wanted, &about, &untaken);
                    }
                }
                Err(error) => {
                    let trouble =
                        format!("answered {status}, but the body broke off: {}", told(error));
                    return Ok(Outcome::Again {
                        trouble,
                        is_rate_limit: false,
                        asked: None,
                    });
                }
            }
        }
        let mut found = match body.end().await {
            Ok(found) => found,
            Err(untaken) => return self.untaken(wanted, &about, &untaken),
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
        let answer = Answer {
            url: &wanted.request.url,
            hints: &hints,
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
        let bytes = body.length();
        body.keep(found.records, about)
            .await
            .map_err(|error| internal(wanted, &error))?;
        Ok(Outcome::Taken(Box::new(Taken {
            found,
            bytes,
            next: self.requests.unsigned(next),
            choice,
        })))
    }

    /// What an answer means by the resource's rules. One that is not asked for records cannot mean that there are none.
    fn meaning(
        &self,
        status: u16,
        values: &Value,
        origin: &Origin,
    ) -> Result<Option<Meaning>, Failure> {
        let meaning = self.rules.meaning(status, values)?;
        Ok(meaning.filter(|meaning| *meaning != Meaning::Empty || !origin.is_aside))
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

    /// A refusal by what the body says.
    fn judged(&self, status: u16, found: &Found) -> Refusal {
        let excerpt = match self.sender.redaction() {
            Some(_) => UNTOLD.to_owned(),
            None => self.credential.scrub(&answer::values(found).to_string()),
        };
        Refusal {
            status,
            problem: String::new(),
            excerpt: excerpt.chars().take(EXCERPT).collect(),
        }
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

    /// What a request that got no answer means.
    fn unsent(&self, error: reqwest::Error) -> Result<Outcome, Failure> {
        if error.is_builder() {
            let message = format!(
                "the request cannot be built: {}",
                self.credential.scrub(&told(error))
            );
            return Err(Failure::new(FailureName::BadDefinition, message));
        }
        if error.is_redirect() {
            let problem = format!("redirects more than {REDIRECTS} times");
            return Ok(Outcome::Refused(Refusal {
                status: 310,
                problem,
                excerpt: String::new(),
            }));
        }
        let trouble = self
            .credential
            .scrub(&format!("got no answer: {}", told(error)));
        Ok(Outcome::Again {
            trouble,
            is_rate_limit: false,
            asked: None,
        })
    }

    /// The beginning of a body that brings no records: what is told of it, and what the rules look at.
    async fn start_of(&self, response: &mut Response) -> Vec<u8> {
        let most = if self.rules.is_empty() {
            4 * EXCERPT
        } else {
            JUDGED
        };
        let mut start = Vec::new();
        // What can be read of the body will do: the status already says that the request failed.
        while let Ok(Some(piece)) = response.chunk().await {
            start.extend_from_slice(&piece);
            if start.len() >= most {
                break;
            }
        }
        start
    }

    fn refusal(&self, response: &Response, start: &[u8]) -> Refusal {
        let status = response.status().as_u16();
        let location = response
            .headers()
            .get(header::LOCATION)
            .and_then(|value| value.to_str().ok());
        let problem = match location {
            Some(location) if (300..400).contains(&status) => {
                let location = self.credential.scrub(location);
                format!(
                    "redirects to `{location}`, where no credential is sent; change the connection's base_url"
                )
            }
            _ => String::new(),
        };
        if self.sender.redaction().is_some() {
            // An answer that is no list of records may hold personal data anywhere, and what is told is kept.
            return Refusal {
                status,
                problem,
                excerpt: UNTOLD.to_owned(),
            };
        }
        let start = &start[..start.len().min(4 * EXCERPT)];
        let text = self.credential.scrub(&String::from_utf8_lossy(start));
        Refusal {
            status,
            problem,
            excerpt: text.trim().chars().take(EXCERPT).collect(),
        }
    }
}

/// What an answer's meaning makes of it.
fn meant(meaning: Meaning, refusal: Refusal, asked: Option<Duration>) -> Outcome {
    let again = |is_rate_limit| Outcome::Again {
        trouble: format!("answered {}: {}", refusal.status, refusal.excerpt),
        is_rate_limit,
        asked,
    };
    match meaning {
        Meaning::Again => again(false),
        Meaning::RateLimited => again(true),
        Meaning::Unauthorized => Outcome::Unauthorized { status: 401 },
        Meaning::Empty => Outcome::Empty,
        Meaning::Error => Outcome::Refused(refusal),
    }
}

/// What has to be known of a resource's bodies.
fn targets(resource: &Resource, paginate: &Paginate, rules: &Rules) -> Targets {
    let field = resource.incremental.as_ref();
    let targets = Targets::new(
        &resource.records,
        field.map(|incremental| (&incremental.field, Reader::of(incremental))),
        paginate::next_path(paginate),
    )
    .and_last(paginate::last_field(paginate))
    .and_below(rules.paths());
    if *paginate == Paginate::Auto {
        targets.and_all_meta()
    } else {
        targets.and_meta(paginate::watched(paginate))
    }
}

fn silent(first_byte: Duration) -> Outcome {
    Outcome::Again {
        trouble: format!("got no answer within {first_byte:?}"),
        is_rate_limit: false,
        asked: None,
    }
}

fn answered(status: u16) -> String {
    format!("answered {status}")
}

fn internal(wanted: &Wanted<'_>, error: &dyn Error) -> Failure {
    Failure::new(
        FailureName::Internal,
        format!("{}: the body {error}", wanted.request.name()),
    )
}
