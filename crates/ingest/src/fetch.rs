//! One request, and what became of it.

mod body;
mod outcome;

pub(crate) use outcome::{Outcome, Refusal, Taken};

use outcome::meant;

use crate::answer::{self, Rules};
use crate::auth::Credential;
use crate::cursor::Reader;
use crate::limits::Limits;
use crate::paginate;
use crate::request::{Request, Requests};
use crate::retry::{Class, classify};
use crate::scan::Found;
use crate::segment::Segment;
use crate::sender::{REDIRECTS, Sender, Sent, told};
use crate::targets::Targets;
use crate::throttle::retry_after;
use crate::wire::Unsent;
use http::header;
use jiff::Timestamp;
use millrace_model::definition::answer::Meaning;
use millrace_model::definition::pipeline::{Paginate, Resource};
use millrace_model::raw::{Origin, Position};
use millrace_model::{Failure, FailureName};
use reqwest::Response;
use serde_json::Value;
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
