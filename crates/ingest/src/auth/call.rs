//! Requests that obtain a credential: to a token endpoint, or to log in.

use crate::throttle::retry_after;
use crate::wire::{Exchange, Watch};
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use jiff::Timestamp;
use millrace_model::{Failure, FailureName};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long such a request may take, to the last byte of its answer.
const TIMEOUT: Duration = Duration::from_secs(20);

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How often it is sent.
const ATTEMPTS: u32 = 4;

/// The ceiling of the time before the first repetition; it doubles.
const BACKOFF: Duration = Duration::from_millis(300);

/// The longest wait that the server may ask for and that is sat out here.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// The longest answer that is read.
const LONGEST_ANSWER: usize = 1024 * 1024;

/// What sends such requests. It follows no redirects: what they carry is for the address in the definition alone.
#[derive(Debug)]
pub(super) struct Caller {
    client: Client,
    connection: String,
    /// Who looks on.
    pub(super) watch: Option<Arc<dyn Watch>>,
}

/// An answer that says something about the credential, good or bad.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// What one try came to.
enum Tried {
    Answered(Answer),
    Again {
        trouble: String,
        is_rate_limit: bool,
        asked: Option<Duration>,
    },
}

impl Caller {
    pub(super) fn new(connection: &str) -> Result<Self, Failure> {
        let client = Client::builder()
            .redirect(Policy::none())
            .timeout(TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(concat!("millrace/", env!("CARGO_PKG_VERSION")))
            .build();
        let client = client.map_err(|error| {
            let message = format!("no HTTP client can be made: {error}");
            Failure::new(FailureName::Internal, message)
        })?;
        Ok(Self {
            client,
            connection: connection.to_owned(),
            watch: None,
        })
    }

    /// Sends a POST to that URL, again where it may go better the next time; `complete` puts body and headers on it.
    pub(super) async fn post(
        &self,
        url: &str,
        complete: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Answer, Failure> {
        for attempt in 1.. {
            let (trouble, is_rate_limit, asked) =
                match self.once(url, complete(self.client.post(url))).await {
                    Tried::Answered(answer) => return Ok(answer),
                    Tried::Again {
                        trouble,
                        is_rate_limit,
                        asked,
                    } => (trouble, is_rate_limit, asked),
                };
            let ceiling = BACKOFF * 2_u32.pow(attempt - 1);
            let wait = asked.unwrap_or_else(|| ceiling.mul_f64(rand::random()));
            if attempt == ATTEMPTS || wait > LONGEST_WAIT {
                let name = if is_rate_limit {
                    FailureName::RateLimited
                } else {
                    FailureName::Transient
                };
                let message = format!(
                    "POST {url}, which obtains the credential of the connection `{}`, {trouble}",
                    self.connection
                );
                return Err(Failure::new(name, message));
            }
            tokio::time::sleep(wait).await;
        }
        unreachable!("the loop ends with the last attempt")
    }

    async fn once(&self, url: &str, request: RequestBuilder) -> Tried {
        let failed = |error: reqwest::Error| Tried::Again {
            trouble: format!("got no answer: {}", error.without_url()),
            is_rate_limit: false,
            asked: None,
        };
        let began = Instant::now();
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return failed(error),
        };
        let status = response.status().as_u16();
        if let Some(watch) = &self.watch {
            watch.answered(&Exchange {
                is_for_credential: true,
                method: "POST".to_owned(),
                url: url.to_owned(),
                headers: Vec::new(),
                body: None,
                status,
                answer_headers: Vec::new(),
                took: began.elapsed(),
            });
        }
        if matches!(status, 408 | 425 | 429 | 500..=599) {
            return Tried::Again {
                trouble: format!("answered {status}"),
                is_rate_limit: status == 429,
                asked: retry_after(response.headers(), Timestamp::now()),
            };
        }
        let headers = response.headers().clone();
        match read(response).await {
            Ok(body) => Tried::Answered(Answer {
                status,
                headers,
                body,
            }),
            Err(error) => failed(error),
        }
    }
}

/// The body, as far as it is not longer than any sensible one.
async fn read(mut response: Response) -> Result<Bytes, reqwest::Error> {
    let mut body = BytesMut::new();
    while let Some(piece) = response.chunk().await? {
        body.extend_from_slice(&piece);
        if body.len() > LONGEST_ANSWER {
            body.truncate(LONGEST_ANSWER);
            break;
        }
    }
    Ok(body.freeze())
}
