//! The way of a request to its source and of the answer back: over the network, over the network and onto a cassette, or
//! from a cassette alone; and who looks on.

mod cassette;

pub use cassette::{Heading, Player, Recorder};

use crate::auth::{Credential, SCRUBBED};
use crate::redact::Redaction;
use crate::request::Request;
use bytes::Bytes;
use cassette::{Answered, Asked};
use http::HeaderMap;
use millrace_model::definition::Connection;
use millrace_model::definition::connection::{Auth, Politeness};
use millrace_model::{Failure, FailureName};
use reqwest::{Body, Client, Response};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Somebody who looks on while a source is asked, as `millrace try` does. Nothing that is shown is secret.
pub trait Watch: fmt::Debug + Send + Sync {
    /// A request was answered.
    fn answered(&self, exchange: &Exchange);

    /// An answer was taken for a page.
    fn taken(&self, page: &Taken);
}

/// A request and the head of its answer.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// Whether it obtained a credential. Then nothing is told but method, URL, status and duration.
    pub is_for_credential: bool,
    /// `GET`.
    pub method: String,
    /// The URL, without secrets.
    pub url: String,
    /// What was sent as headers; secrets are replaced.
    pub headers: Vec<(String, String)>,
    /// What was sent as the body, where it is text.
    pub body: Option<String>,
    /// The answer's status.
    pub status: u16,
    /// The answer's headers.
    pub answer_headers: Vec<(String, String)>,
    /// How long the answer's head took.
    pub took: Duration,
}

/// A page that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// How many records it has.
    pub records: u64,
    /// How long its body is, in bytes.
    pub bytes: u64,
    /// The request that it leads to (`GET https://…`); none where there is no further page.
    pub next: Option<String>,
}

/// How requests go.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wire {
    watch: Option<Arc<dyn Watch>>,
    tape: Tape,
}

#[derive(Clone, Debug, Default)]
enum Tape {
    #[default]
    None,
    Records(Arc<Recorder>),
    Plays(Arc<Player>),
}

/// A request on its way, and what of the exchange nobody may see.
#[derive(Clone, Copy)]
pub(crate) struct Sealed<'a> {
    pub(crate) request: &'a Request,
    pub(crate) credential: &'a Credential,
    pub(crate) redaction: Option<&'a Redaction>,
}

/// Why there is no answer.
pub(crate) enum Unsent {
    /// The network, or what is behind it.
    Network(reqwest::Error),
    /// Nothing came in time.
    Silent,
    /// It has nothing to do with the source.
    Failed(Failure),
}

impl Wire {
    /// With somebody who looks on.
    pub(crate) fn watched_by(self, watch: Arc<dyn Watch>) -> Self {
        let watch = Some(watch);
        Self { watch, ..self }
    }

    /// Who looks on.
    pub(crate) fn watch(&self) -> Option<&Arc<dyn Watch>> {
        self.watch.as_ref()
    }

    /// Over the network and onto a cassette.
    pub(crate) fn recording(self, recorder: Arc<Recorder>) -> Self {
        let tape = Tape::Records(recorder);
        Self { tape, ..self }
    }

    /// From a cassette alone.
    pub(crate) fn playing(self, player: Arc<Player>) -> Self {
        let tape = Tape::Plays(player);
        Self { tape, ..self }
    }

    /// Whether nobody looks on, and nothing but the network is between.
    pub(crate) fn is_plain(&self) -> bool {
        self.watch.is_none() && matches!(self.tape, Tape::None)
    }

    /// Whether answers come from a cassette. They are as they were stored, without personal data.
    pub(crate) fn plays(&self) -> bool {
        matches!(self.tape, Tape::Plays(_))
    }

    /// The connection as far as it is reached: a cassette asks for no credential, and sets no limits.
    pub(crate) fn reached<'c>(&self, connection: &'c Connection) -> Cow<'c, Connection> {
        if !self.plays() {
            return Cow::Borrowed(connection);
        }
        Cow::Owned(Connection {
            auth: Auth::None,
            politeness: Politeness::default(),
            ..connection.clone()
        })
    }

    /// Sends a request; its answer's head has to come within `patience`.
    pub(crate) async fn send(
        &self,
        client: &Client,
        request: reqwest::Request,
        sealed: Sealed<'_>,
        patience: Duration,
    ) -> Result<Response, Unsent> {
        let sent_headers = self
            .watch
            .as_ref()
            .map(|_| shown(request.headers(), sealed.credential));
        let began = Instant::now();
        let response = match &self.tape {
            Tape::Plays(player) => {
                let asked = sealed.asked();
                rebuilt(&player.answer(&asked).map_err(Unsent::Failed)?)?
            }
            Tape::None | Tape::Records(_) => {
                match tokio::time::timeout(patience, client.execute(request)).await {
                    Ok(sent) => sent.map_err(Unsent::Network)?,
                    Err(_) => return Err(Unsent::Silent),
                }
            }
        };
        if let (Some(watch), Some(headers)) = (&self.watch, sent_headers) {
            watch.answered(&Exchange {
                is_for_credential: false,
                method: sealed.request.method.as_str().to_owned(),
                url: sealed.request.shown.clone(),
                headers,
                body: sealed.asked().body,
                status: response.status().as_u16(),
                answer_headers: shown(response.headers(), sealed.credential),
                took: began.elapsed(),
            });
        }
        match &self.tape {
            Tape::Records(recorder) => recorded(recorder, response, sealed).await,
            Tape::None | Tape::Plays(_) => Ok(response),
        }
    }
}

impl Sealed<'_> {
    /// The request as it may be kept.
    fn asked(&self) -> Asked {
        let body = self.request.body.as_ref();
        Asked {
            method: self.request.method.as_str().to_owned(),
            url: self.request.shown.clone(),
            body: body
                .and_then(|body| std::str::from_utf8(body).ok())
                .map(|body| self.credential.scrub(body)),
            body_sha256: self.request.digest.clone(),
        }
    }

    /// The answer's body as it may be kept; none where it cannot be.
    fn kept(&self, body: &Bytes) -> Option<Bytes> {
        let body = match self.redaction {
            None => body.clone(),
            Some(redaction) => {
                let mut redactor = redaction.begin();
                let kept = redactor.write(body).ok()?;
                [kept, redactor.end()].concat().into()
            }
        };
        Some(match std::str::from_utf8(&body) {
            Ok(text) => self.credential.scrub(text).into(),
            Err(_) => body,
        })
    }
}

/// Puts an answer on the cassette, and gives it back as it came.
async fn recorded(
    recorder: &Recorder,
    mut response: Response,
    sealed: Sealed<'_>,
) -> Result<Response, Unsent> {
    let (status, headers) = (response.status(), response.headers().clone());
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(Unsent::Network)? {
        body.extend_from_slice(&piece);
        Recorder::check_length(body.len()).map_err(Unsent::Failed)?;
    }
    let body = Bytes::from(body);
    let kept = match sealed.redaction {
        // Where no records are, personal data may be anywhere.
        Some(_) if !status.is_success() => Some(Bytes::new()),
        _ => sealed.kept(&body),
    };
    if let Some(kept) = kept {
        let headers = shown(&headers, sealed.credential);
        let answered = Answered::new(status.as_u16(), headers, &kept);
        recorder
            .keep(sealed.asked(), answered)
            .map_err(Unsent::Failed)?;
    }
    let mut whole = http::Response::new(Body::from(body));
    *whole.status_mut() = status;
    *whole.headers_mut() = headers;
    Ok(whole.into())
}

/// A recorded answer as if it had come over the network.
fn rebuilt(answered: &Answered) -> Result<Response, Unsent> {
    let malformed = |error: &dyn fmt::Display| {
        let message = format!("an answer on the cassette cannot be used: {error}");
        Unsent::Failed(Failure::new(FailureName::BadAnswer, message))
    };
    let body = answered.body().map_err(|error| malformed(&error))?;
    let mut response = http::Response::builder().status(answered.status);
    for (name, value) in &answered.headers {
        response = response.header(name, value);
    }
    let response = response.body(Body::from(body));
    Ok(response.map_err(|error| malformed(&error))?.into())
}

/// Headers as they may be shown and kept.
fn shown(headers: &HeaderMap, credential: &Credential) -> Vec<(String, String)> {
    let value = |name: &str, value: &http::HeaderValue| {
        // A cookie may open what the credential opens.
        if value.is_sensitive() || name == "set-cookie" {
            return SCRUBBED.to_owned();
        }
        credential.scrub(&String::from_utf8_lossy(value.as_bytes()))
    };
    headers
        .iter()
        .map(|(name, header)| (name.as_str().to_owned(), value(name.as_str(), header)))
        .collect()
}
