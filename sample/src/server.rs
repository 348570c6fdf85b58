//! The server: keeps count, asks for credentials, and misbehaves as told.

use crate::answer::{Answer, Asked, answer};
use crate::behaviour::{Behaviour, Control, Correct, Corrected, opens_keyed};
use crate::catalogue::Catalogue;
use crate::stats::{Book, Sent, Stats, Ticket};
use crate::{Options, answer as answers};
use axum::body::Body;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::stream::{self, StreamExt};
use serde_json::json;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// A source that runs in this process; dropping it ends it, once the answers under way are sent.
#[derive(Debug)]
pub struct Running {
    /// Where it is: `http://127.0.0.1:40123`.
    pub url: String,
    /// The address that it listens at.
    pub address: SocketAddr,
    source: Arc<Source>,
    _stop: oneshot::Sender<()>,
}

#[derive(Debug)]
struct Source {
    catalogue: Catalogue,
    behaviour: RwLock<Behaviour>,
    book: Book,
}

impl Running {
    /// What it was asked so far.
    pub fn stats(&self) -> Stats {
        self.source.book.stats()
    }

    /// The bodies that it sent, oldest first, of very many only the last 10,000.
    pub fn sent(&self) -> Vec<Sent> {
        self.source.book.sent()
    }

    /// How it behaves.
    pub fn behaviour(&self) -> Behaviour {
        self.source.behaviour()
    }

    /// Makes it behave so from now on.
    pub fn behave(&self, behaviour: Behaviour) {
        self.source.behave(behaviour);
    }

    /// Corrects reports.
    pub fn correct(&self, correct: &Correct) -> Corrected {
        self.source.correct(correct)
    }

    /// Sets how many reports there are.
    pub fn set_records(&self, records: u32) {
        self.source.catalogue.set_records(records);
    }

    /// Where its event service is: the `base_url` of a connection.
    pub fn event_url(&self) -> String {
        format!("{}{}", self.url, answers::EVENT)
    }
}

pub(crate) async fn start(options: Options) -> std::io::Result<Running> {
    let listener = TcpListener::bind((options.host, options.port)).await?;
    let address = listener.local_addr()?;
    let source = Arc::new(Source {
        catalogue: Catalogue::new(options.records),
        behaviour: RwLock::new(options.behaviour),
        book: Book::new(),
    });
    let router = Router::new()
        .route("/_control", get(read_control).post(write_control))
        .route(
            "/_stats",
            get(async |State(source): State<Arc<Source>>| Json(source.book.stats())),
        )
        .route(
            "/_sent",
            get(async |State(source): State<Arc<Source>>| Json(source.book.sent())),
        )
        .fallback(respond)
        .with_state(source.clone());
    let (stop, stopped) = oneshot::channel::<()>();
    tokio::spawn(async move {
        let ended = axum::serve(listener, router).with_graceful_shutdown(async {
            // An error says that the sender was dropped, which is how the source is ended.
            let _ = stopped.await;
        });
        if let Err(error) = ended.await {
            eprintln!("the sample source ended: {error}");
        }
    });
    Ok(Running {
        url: format!("http://{address}"),
        address,
        source,
        _stop: stop,
    })
}

impl Source {
    fn behaviour(&self) -> Behaviour {
        self.behaviour
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn behave(&self, behaviour: Behaviour) {
        *self
            .behaviour
            .write()
            .unwrap_or_else(PoisonError::into_inner) = behaviour;
    }

    fn correct(&self, correct: &Correct) -> Corrected {
        let mut numbers: Vec<u32> = correct
            .ids
            .iter()
            .filter_map(|id| self.catalogue.find(id))
            .collect();
        numbers.extend(self.catalogue.spread(correct.count));
        numbers.sort_unstable();
        numbers.dedup();
        let updated = self
            .catalogue
            .correct(&numbers, correct.magnitude, correct.updated);
        Corrected {
            ids: numbers
                .iter()
                .map(|number| self.catalogue.id(*number))
                .collect(),
            updated,
        }
    }
}

async fn read_control(State(source): State<Arc<Source>>) -> Json<serde_json::Value> {
    Json(json!({"behaviour": source.behaviour(), "records": source.catalogue.records()}))
}

async fn write_control(
    State(source): State<Arc<Source>>,
    Json(control): Json<Control>,
) -> Response {
    match source.behaviour().with(&control) {
        Ok(behaviour) => source.behave(behaviour),
        Err(error) => return (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    }
    if let Some(records) = control.records {
        source.catalogue.set_records(records);
    }
    let corrected = control.correct.map(|correct| source.correct(&correct));
    let records = source.catalogue.records();
    Json(json!({"behaviour": source.behaviour(), "records": records, "corrected": corrected}))
        .into_response()
}

/// Leaves the book when the answer is made, or when the client goes away before.
struct Guest<'a>(&'a Book);

impl Drop for Guest<'_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

async fn respond(State(source): State<Arc<Source>>, request: Request) -> Response {
    let ticket = source.book.arrive();
    let _guest = Guest(&source.book);
    let behaviour = source.behaviour();
    tokio::time::sleep(Duration::from_millis(behaviour.delay_ms)).await;

    let uri = request
        .uri()
        .path_and_query()
        .map_or("/", |uri| uri.as_str())
        .to_owned();
    let (mut answer, headers) = decide(&source.catalogue, &behaviour, ticket, &request, &uri);
    if request.method() == axum::http::Method::HEAD {
        answer.body.clear();
    }
    let every = |n: Option<u64>| answer.status == 200 && is_due(n, ticket);
    let (cut, stall) = (every(behaviour.cut_every), every(behaviour.stall_every));
    source.book.note(
        &uri,
        answer.status,
        &answer.body,
        answer.records,
        cut || stall,
    );

    let compress = behaviour.gzip
        && !answer.body.is_empty()
        && request
            .headers()
            .get(header::ACCEPT_ENCODING)
            .is_some_and(|value| value.to_str().unwrap_or_default().contains("gzip"));
    let body = if compress {
        gzip(&answer.body)
    } else {
        answer.body
    };
    let length = body.len();
    let mut response = Response::new(match (cut, stall) {
        (false, false) => Body::from(body),
        (true, _) => halfway(&body).chain_error(),
        (false, true) => halfway(&body).chain_silence(),
    });
    *response.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().extend(headers);
    if answer.status != 204 {
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static(answer.content_type),
        );
        response
            .headers_mut()
            .insert(header::CONTENT_LENGTH, length.into());
    }
    if compress {
        response
            .headers_mut()
            .insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// The answer to a request, and the headers that go with it.
fn decide(
    catalogue: &Catalogue,
    behaviour: &Behaviour,
    ticket: Ticket,
    request: &Request,
    uri: &str,
) -> (Answer, HeaderMap) {
    let mut headers = HeaderMap::new();
    let parameters = Query::<Vec<(String, String)>>::try_from_uri(request.uri())
        .map(|query| query.0)
        .unwrap_or_default();
    if behaviour
        .limit_per_second
        .is_some_and(|limit| ticket.in_second > limit)
    {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        return (Answer::text(429, "Error 429: Too Many Requests\n"), headers);
    }
    if let Some(every) = behaviour
        .status_every
        .as_ref()
        .filter(|every| is_due(Some(every.n), ticket))
    {
        let retry_after = every
            .retry_after
            .as_ref()
            .and_then(|value| HeaderValue::from_str(value).ok());
        if let Some(retry_after) = retry_after {
            headers.insert(header::RETRY_AFTER, retry_after);
        }
        return (
            Answer::text(every.status, format!("Error {}: as told\n", every.status)),
            headers,
        );
    }
    let path = request.uri().path();
    let admitted = behaviour.admits(request.headers(), &parameters)
        && (path != "/keyed" || opens_keyed(request.headers(), &parameters));
    if !admitted {
        headers.insert(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static("Bearer, Basic realm=\"sample\""),
        );
        return (Answer::text(401, "Error 401: Unauthorized\n"), headers);
    }
    let host = request
        .headers()
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or("localhost");
    let origin = format!("http://{host}");
    let empty_list = behaviour.empty_list;
    (
        answer(
            catalogue,
            &Asked {
                origin: &origin,
                uri,
                path,
                parameters: &parameters,
                empty_list,
            },
        ),
        headers,
    )
}

fn is_due(every: Option<u64>, ticket: Ticket) -> bool {
    every.is_some_and(|n| n > 0 && ticket.number.is_multiple_of(n))
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    // Writing into a vector cannot fail.
    let _ = encoder.write_all(body);
    encoder.finish().unwrap_or_default()
}

/// The first half of a body.
struct Halfway(Bytes);

fn halfway(body: &[u8]) -> Halfway {
    Halfway(Bytes::copy_from_slice(&body[..body.len() / 2]))
}

impl Halfway {
    fn chain_error(self) -> Body {
        // The pause lets the first half leave before the connection is closed.
        let end = stream::once(async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            Err(std::io::Error::other("cut as told"))
        });
        Body::from_stream(stream::iter([Ok(self.0)]).chain(end))
    }

    fn chain_silence(self) -> Body {
        Body::from_stream(stream::iter([Ok::<_, std::io::Error>(self.0)]).chain(stream::pending()))
    }
}
