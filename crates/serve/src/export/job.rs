//! What is kept of an export: what was asked for, which never changes, and how far it is.

use crate::format::Format;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, Request};
use jiff::{SignedDuration, Timestamp};
use millrace_model::{Failure, FailureName};
use millrace_store::secrets::Caller;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

/// From when on whoever made the files counts as gone, and another one may: it says more often that it is there.
const GONE: SignedDuration = SignedDuration::from_secs(40);
/// How often files are begun anew.
const ATTEMPTS: u32 = 3;

/// What was asked for.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Job {
    method: String,
    /// Path and query.
    uri: String,
    content_type: Option<String>,
    body: String,
    caller: Option<CallerDocument>,
    pub format: Format,
    pub created_at: Timestamp,
}

/// Who asked, as it was known then: a token may have expired when the files are made.
#[derive(Debug, Serialize, Deserialize)]
struct CallerDocument {
    name: String,
    scopes: Vec<String>,
    claims: Map<String, Value>,
}

impl Job {
    pub fn new(request: &Request<Bytes>, format: Format, caller: Option<&Caller>) -> Self {
        let content_type = request.headers().get(CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok());
        Self {
            method: request.method().to_string(),
            uri: request.uri().to_string(),
            content_type: content_type.map(str::to_owned),
            body: String::from_utf8_lossy(request.body()).into_owned(),
            caller: caller.map(|caller| CallerDocument {
                name: caller.name.clone(),
                scopes: caller.scopes.clone(),
                claims: caller.claims.clone(),
            }),
            format,
            created_at: Timestamp::now(),
        }
    }

    /// The route's path, as it was asked for.
    pub fn path(&self) -> &str {
        self.uri.split('?').next().unwrap_or_default()
    }

    pub fn caller_name(&self) -> Option<&String> {
        self.caller.as_ref().map(|caller| &caller.name)
    }

    pub fn caller(&self) -> Option<Caller> {
        self.caller.as_ref().map(|caller| Caller {
            name: caller.name.clone(),
            scopes: caller.scopes.clone(),
            claims: caller.claims.clone(),
        })
    }

    /// The request once more.
    pub fn request(&self) -> Result<Request<Bytes>, Failure> {
        let method = Method::from_bytes(self.method.as_bytes()).unwrap_or(Method::GET);
        let mut request = Request::builder().method(method).uri(&self.uri);
        if let Some(content_type) = &self.content_type {
            request = request.header(CONTENT_TYPE, content_type);
        }
        request
            .body(Bytes::from(self.body.clone()))
            .map_err(|error| {
                let message = format!("what was asked for of an export is no request: {error}");
                Failure::new(FailureName::Internal, message)
            })
    }
}

/// How far an export is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct State {
    pub status: Status,
    /// Who makes the files.
    maker: Option<Uuid>,
    /// When it was last heard of.
    seen_at: Option<Timestamp>,
    attempts: u32,
    pub files: Vec<Part>,
    /// What the files hold was published then.
    pub as_of: Option<Timestamp>,
    pub failure: Option<String>,
}

/// One of the files.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Part {
    pub rows: u64,
    pub bytes: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    #[default]
    Queued,
    Running,
    Done,
    Failed,
}

impl State {
    pub fn is_over(&self) -> bool {
        matches!(self.status, Status::Done | Status::Failed)
    }

    /// Whether nobody makes it, though it was begun long enough ago.
    pub fn is_left(&self) -> bool {
        let gone = |seen: Timestamp| Timestamp::now().duration_since(seen) > GONE;
        self.status == Status::Running && self.seen_at.is_none_or(gone)
    }

    /// The same, made by another one; none where somebody makes it, or it is over.
    pub fn taken(self, maker: Uuid) -> Option<Self> {
        if self.is_over() || (self.status == Status::Running && !self.is_left()) {
            return None;
        }
        if self.attempts == ATTEMPTS {
            let failure = "the files could not be made; ask again, or for less".to_owned();
            return Some(self.failed(failure));
        }
        Some(Self {
            status: Status::Running,
            maker: Some(maker),
            seen_at: Some(Timestamp::now()),
            attempts: self.attempts + 1,
            ..Self::default()
        })
    }

    /// With these files so far; none where another one makes it by now.
    pub fn going_on(self, maker: Uuid, files: &[Part]) -> Option<Self> {
        (self.is_made_by(maker)).then(|| Self {
            seen_at: Some(Timestamp::now()),
            files: files.to_vec(),
            ..self
        })
    }

    pub fn is_made_by(&self, maker: Uuid) -> bool {
        self.status == Status::Running && self.maker == Some(maker)
    }

    pub fn done(self, files: Vec<Part>, as_of: Option<Timestamp>) -> Self {
        Self {
            status: Status::Done,
            files,
            as_of,
            ..self
        }
    }

    pub fn failed(self, failure: String) -> Self {
        Self {
            status: Status::Failed,
            failure: Some(failure),
            files: Vec::new(),
            ..self
        }
    }
}
