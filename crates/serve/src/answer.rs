//! The envelope: `{"data": […], "error": […], "page": {"next": …}}`, whatever happens.

use crate::problem::Problem;
use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{Response, StatusCode};
use serde::Serialize;
use std::time::Duration;

/// What stands before the rows.
pub const HEAD: &[u8] = b"{\"data\":[";

/// Ends a body that holds `HEAD` and rows.
pub fn finish(body: &mut Vec<u8>, next: Option<&str>) {
    body.extend_from_slice(b"],\"error\":[],\"page\":{\"next\":");
    match next {
        // Cursors are base64url, which JSON takes as it is.
        Some(cursor) => {
            body.push(b'"');
            body.extend_from_slice(cursor.as_bytes());
            body.push(b'"');
        }
        None => body.extend_from_slice(b"null"),
    }
    body.extend_from_slice(b"}}");
}

/// An answer with rows.
pub fn rows(body: Vec<u8>, cache: Option<Duration>) -> Response<Bytes> {
    let mut response = json(StatusCode::OK, body.into());
    if let Some(ttl) = cache {
        // Whole seconds are all that HTTP knows; what may be kept for less may not be kept.
        let value = HeaderValue::try_from(format!("private, max-age={}", ttl.as_secs()));
        if let Ok(value) = value {
            response.headers_mut().insert(CACHE_CONTROL, value);
        }
    }
    response
}

/// An answer with an error.
pub fn problem(problem: &Problem) -> Response<Bytes> {
    #[derive(Serialize)]
    struct Envelope<'a> {
        data: [(); 0],
        error: [&'a Problem; 1],
    }
    let body = serde_json::to_vec(&Envelope {
        data: [],
        error: [problem],
    })
    .unwrap_or_default();
    let mut response = json(problem.status, body.into());
    let headers = response.headers_mut();
    if problem.status == StatusCode::UNAUTHORIZED {
        headers.insert(
            WWW_AUTHENTICATE,
            HeaderValue::from_static("Bearer realm=\"millrace\""),
        );
    }
    if let Some(seconds) = problem.retry_after {
        headers.insert(RETRY_AFTER, seconds.into());
    }
    response
}

/// An answer that says which methods there are: to `OPTIONS`, and to those that are not.
pub fn allow(mut response: Response<Bytes>, allowed: &'static str) -> Response<Bytes> {
    response
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

/// An empty answer.
pub fn empty() -> Response<Bytes> {
    with_headers(StatusCode::NO_CONTENT, Bytes::new(), None)
}

/// What a load balancer asks for.
pub fn health(status: StatusCode, state: &str) -> Response<Bytes> {
    json(status, format!("{{\"status\":\"{state}\"}}").into())
}

/// A document that anybody may read.
pub fn document(content_type: &'static str, body: Bytes) -> Response<Bytes> {
    with_headers(StatusCode::OK, body, Some(content_type))
}

fn json(status: StatusCode, body: Bytes) -> Response<Bytes> {
    with_headers(status, body, Some("application/json"))
}

fn with_headers(
    status: StatusCode,
    body: Bytes,
    content_type: Option<&'static str>,
) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if let Some(content_type) = content_type {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(
        HeaderName::from_static("referrer-policy"),
        HeaderValue::from_static("no-referrer"),
    );
    headers.insert(
        HeaderName::from_static("x-frame-options"),
        HeaderValue::from_static("DENY"),
    );
    response
}
