//! One request, sent: until its answer begins.

use crate::auth::Credential;
use crate::redact::Redaction;
use crate::request::Request;
use crate::throttle::Pass;
use crate::wire::{Sealed, Unsent, Wire};
use millrace_model::definition::Connection;
use millrace_model::definition::connection::{Auth, Timeouts};
use millrace_model::definition::pipeline::Method;
use millrace_model::{Failure, FailureName};
use reqwest::redirect::{self, Policy};
use reqwest::{Client, Response};
use std::error::Error;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// How many redirects are followed.
pub(crate) const REDIRECTS: usize = 5;

/// How many bytes of a body that nobody reads yet are taken from the network, over HTTP/2. Over HTTP/1 it is what the
/// system's buffers hold.
const WINDOW: u32 = 1024 * 1024;

/// How many such bodies there may be on one connection, without the one that is read having to wait for them.
const WINDOWS: u32 = 17;

/// Sends a connection's requests.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    client: Client,
    timeouts: Timeouts,
    wire: Wire,
    redaction: Option<Arc<Redaction>>,
}

/// What came of sending a request.
pub(crate) struct Sent {
    /// When that was, RFC 3339.
    pub(crate) requested_at: String,
    /// The beginning of the answer.
    pub(crate) answer: Result<Response, Unsent>,
    /// The request is under way until its body has come.
    pub(crate) _pass: Pass,
}

impl Sender {
    pub(crate) fn new(
        connection: &Connection,
        wire: Wire,
        redaction: Option<Arc<Redaction>>,
    ) -> Result<Self, Failure> {
        Ok(Self {
            client: client(connection)?,
            timeouts: connection.timeouts,
            wire,
            redaction,
        })
    }

    /// What becomes of personal data; none where the resource has none.
    pub(crate) fn redaction(&self) -> Option<&Redaction> {
        self.redaction.as_deref()
    }

    /// How long an answer may be waited for.
    pub(crate) fn first_byte(&self) -> Duration {
        self.timeouts.first_byte
    }

    /// Sends a request with a credential.
    pub(crate) async fn send(
        &self,
        request: &Request,
        credential: &Credential,
        pass: Pass,
    ) -> Sent {
        let requested_at = jiff::Timestamp::now().to_string();
        let mut answer = self.answer(request, credential).await;
        if let Ok(response) = &answer {
            pass.answered();
            if let Err(failure) = pass.told(response.headers()).await {
                answer = Err(Unsent::Failed(failure));
            }
        }
        Sent {
            requested_at,
            answer,
            _pass: pass,
        }
    }

    async fn answer(&self, request: &Request, credential: &Credential) -> Result<Response, Unsent> {
        let method = match request.method {
            Method::Get => http::Method::GET,
            Method::Post => http::Method::POST,
        };
        let mut built = self
            .client
            .request(method, request.url.clone())
            .headers(request.headers.clone());
        if let Some(body) = &request.body {
            built = built.body(body.clone());
        }
        let mut built = built.build().map_err(Unsent::Network)?;
        if !request.is_foreign {
            credential.apply(&mut built).map_err(Unsent::Failed)?;
        }
        let sealed = Sealed {
            request,
            credential,
            redaction: self.redaction(),
        };
        let patience = self.timeouts.connect + self.timeouts.first_byte;
        self.wire.send(&self.client, built, sealed, patience).await
    }
}

/// A client for a connection. Where a credential goes with the requests, redirects are followed to the same host alone.
fn client(connection: &Connection) -> Result<Client, Failure> {
    let has_credential = connection.auth != Auth::None;
    let policy = Policy::custom(move |attempt| {
        let is_allowed = !has_credential
            || attempt
                .previous()
                .last()
                .is_some_and(|from| stays(from, attempt.url()));
        if attempt.previous().len() > REDIRECTS {
            attempt.error(TooManyRedirects)
        } else if is_allowed {
            attempt.follow()
        } else {
            redirect::Attempt::stop(attempt)
        }
    });
    Client::builder()
        .redirect(policy)
        .referer(false)
        .timeout(connection.timeouts.whole)
        .read_timeout(connection.timeouts.first_byte)
        .connect_timeout(connection.timeouts.connect)
        .http2_initial_stream_window_size(WINDOW)
        .http2_initial_connection_window_size(WINDOW * WINDOWS)
        .user_agent(concat!("millrace/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| {
            Failure::new(
                FailureName::Internal,
                format!("no HTTP client can be made: {}", told(error)),
            )
        })
}

/// Whether a redirect stays with the host, and does not leave TLS.
fn stays(from: &Url, to: &Url) -> bool {
    from.origin() == to.origin()
        || (from.host() == to.host()
            && (from.scheme(), to.scheme()) == ("http", "https")
            && from.port().is_none()
            && to.port().is_none())
}

#[derive(Debug, thiserror::Error)]
#[error("too many redirects")]
struct TooManyRedirects;

/// The error and its causes, without the URL, which may hold a key.
pub(crate) fn told(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing into a text cannot fail.
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}
