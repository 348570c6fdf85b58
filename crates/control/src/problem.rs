//! Errors of the API as RFC 9457 problem details.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use millrace_model::definition::Problem as Flaw;
use millrace_model::ledger::RunId;
use millrace_model::{Failure, FailureName};
use serde::Serialize;

/// What went wrong with a request.
#[derive(Debug, Serialize)]
pub(crate) struct Problem {
    title: &'static str,
    status: u16,
    detail: String,
    /// The run that the problem is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<RunId>,
    /// What is wrong with the definitions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<ListedFlaw>,
}

#[derive(Debug, Serialize)]
struct ListedFlaw {
    file: String,
    line: Option<u32>,
    field: String,
    message: String,
}

impl Problem {
    /// A problem of that status.
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: detail.into(),
            run: None,
            problems: Vec::new(),
        }
    }

    /// The same, about that run.
    pub(crate) fn of_run(self, run: RunId) -> Self {
        Self {
            run: Some(run),
            ..self
        }
    }

    /// The same, with what is wrong with the definitions.
    pub(crate) fn with_flaws(self, flaws: Vec<Flaw>) -> Self {
        let listed = |Flaw {
                          file,
                          line,
                          field,
                          message,
                      }| ListedFlaw {
            file,
            line,
            field,
            message,
        };
        Self {
            problems: flaws.into_iter().map(listed).collect(),
            ..self
        }
    }

    /// What it says.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// The answer that says so.
    pub(crate) fn into_response(self) -> Response<Bytes> {
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match self.status {
            401 => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            503 => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
            }
            _ => {}
        }
        response
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        match failure.name {
            FailureName::RateLimited | FailureName::Transient | FailureName::Conflict => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                format!(
                    "{}; try again, with the same Idempotency-Key",
                    failure.message
                ),
            ),
            FailureName::BadDefinition => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, failure.message)
            }
            _ => Self::new(StatusCode::INTERNAL_SERVER_ERROR, failure.message),
        }
    }
}
