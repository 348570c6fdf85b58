//! The envelope: `{"data": […], "error": […], "page": {"next": …}}`, whatever happens.

use crate::dataset::Dataset;
use crate::format::Format;
use crate::problem::Problem;
use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, RETRY_AFTER, VARY,
    WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use http::{Response, StatusCode};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use millrace_model::definition::endpoint::Caching;
use serde::Serialize;
use serde_json::{Value, json};
use std::time::{Duration, UNIX_EPOCH};

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

/// What goes with an answer's rows.
#[derive(Debug)]
pub struct Rows<'a> {
    /// In which form they are.
    pub format: Format,
    /// The next page's cursor.
    pub next: Option<&'a str>,
    /// What tells this answer from all others; none where nobody can tell.
    pub etag: Option<&'a HeaderValue>,
    /// What the answer was made from.
    pub dataset: Option<&'a Dataset>,
    /// How long it may be kept.
    pub cache: Option<Caching>,
}

/// An answer with rows.
pub fn rows(body: Bytes, about: &Rows<'_>) -> Response<Bytes> {
    let mut response = with_headers(StatusCode::OK, body, Some(about.format.content_type()));
    describe(&mut response, about);
    response
}

/// An answer to who has the rows already.
pub fn not_modified(about: &Rows<'_>) -> Response<Bytes> {
    let mut response = with_headers(StatusCode::NOT_MODIFIED, Bytes::new(), None);
    describe(&mut response, about);
    response
}

fn describe(response: &mut Response<Bytes>, about: &Rows<'_>) {
    let headers = response.headers_mut();
    headers.insert(
        VARY,
        HeaderValue::from_static("accept, authorization, x-api-key"),
    );
    if let Some(etag) = about.etag {
        headers.insert(ETAG, etag.clone());
    }
    if let Some(Caching { ttl, stale }) = about.cache {
        // Whole seconds are all that HTTP knows; what may be kept for less may not be kept.
        let stale = match stale.as_secs() {
            0 => String::new(),
            seconds => format!(", stale-while-revalidate={seconds}"),
        };
        let value = HeaderValue::try_from(format!("private, max-age={}{stale}", ttl.as_secs()));
        if let Ok(value) = value {
            headers.insert(CACHE_CONTROL, value);
        }
    }
    let mut own = |name: &'static str, value: String| {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    if let Some(dataset) = about.dataset {
        let age = jiff::Timestamp::now().duration_since(dataset.as_of);
        own("x-millrace-as-of", format!("{:.0}", dataset.as_of));
        if let Some(run) = &dataset.run {
            own("x-millrace-run", run.clone());
        }
        own("x-millrace-age", age.as_secs().max(0).to_string());
    }
    // In JSON, it stands in the body.
    if let Some(next) = about.next.filter(|_| about.format != Format::Json) {
        own("x-millrace-next", next.to_owned());
    }
}

/// Says how long the endpoint will be there: `Deprecation` (RFC 9745) and `Sunset` (RFC 8594).
pub fn lifetime(response: &mut Response<Bytes>, deprecated: Option<Date>, sunset: Option<Date>) {
    let seconds = |day: Date| {
        let moment = day.to_zoned(TimeZone::UTC).ok()?;
        u64::try_from(moment.timestamp().as_second()).ok()
    };
    let headers = response.headers_mut();
    if let Some(seconds) = deprecated.and_then(seconds)
        && let Ok(value) = HeaderValue::try_from(format!("@{seconds}"))
    {
        headers.insert(HeaderName::from_static("deprecation"), value);
    }
    if let Some(seconds) = sunset.and_then(seconds) {
        let moment = UNIX_EPOCH + Duration::from_secs(seconds);
        if let Ok(value) = HeaderValue::try_from(httpdate::fmt_http_date(moment)) {
            headers.insert(HeaderName::from_static("sunset"), value);
        }
    }
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

/// An answer of one object.
pub fn one(data: &Value) -> Response<Bytes> {
    let body = json!({ "data": [data], "error": [], "page": { "next": null } });
    json(StatusCode::OK, body.to_string().into())
}

/// The same, of what is still to come.
pub fn accepted(data: &Value) -> Response<Bytes> {
    let mut response = one(data);
    *response.status_mut() = StatusCode::ACCEPTED;
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
