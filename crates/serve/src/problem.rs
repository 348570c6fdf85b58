//! Errors as callers see them: problem objects of RFC 9457.

use http::StatusCode;
use serde::Serialize;

/// An error: what a caller is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// What kind of error it is, as a relative URL that stays the same.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The kind in a few words.
    pub title: &'static str,
    /// The status of the answer.
    #[serde(serialize_with = "status_number")]
    pub status: StatusCode,
    /// What happened this time, and what to do.
    pub detail: String,
    /// The parameter that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
    /// How many seconds to wait before the next try.
    #[serde(skip)]
    pub retry_after: Option<u32>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn status_number<S: serde::Serializer>(
    status: &StatusCode,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

impl Problem {
    fn new(
        kind: &'static str,
        title: &'static str,
        status: StatusCode,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            title,
            status,
            detail: detail.into(),
            parameter: None,
            retry_after: None,
        }
    }

    /// 400: a parameter is not what it should be.
    pub fn parameter(name: &str, detail: impl Into<String>) -> Self {
        let problem = Self::new(
            "/problems/bad-parameter",
            "Bad parameter",
            StatusCode::BAD_REQUEST,
            detail,
        );
        Self {
            parameter: Some(name.to_owned()),
            ..problem
        }
    }

    /// 401: no key.
    pub fn unauthorized() -> Self {
        let detail = "this route needs a key: send it as `x-api-key: <key>` or `Authorization: Bearer <key>`";
        Self::new(
            "/problems/unauthorized",
            "No key",
            StatusCode::UNAUTHORIZED,
            detail,
        )
    }

    /// 403: a key that opens nothing here.
    pub fn forbidden() -> Self {
        let detail = "the key that was sent is not one of those that open this route";
        Self::new(
            "/problems/forbidden",
            "Wrong key",
            StatusCode::FORBIDDEN,
            detail,
        )
    }

    /// 401: a token that does not say who sends it, in a way that counts here. Which of its parts is wrong is not told.
    pub fn bad_token() -> Self {
        let detail = "the token is not one that this route takes: it may have expired, be meant for somebody else, or be \
                      signed otherwise; fetch a new one and send it as `Authorization: Bearer <token>`";
        Self::new(
            "/problems/unauthorized",
            "Bad token",
            StatusCode::UNAUTHORIZED,
            detail,
        )
    }

    /// 403: a caller who may do other things.
    pub fn scope(scope: &str) -> Self {
        Self::new(
            "/problems/forbidden",
            "Scope missing",
            StatusCode::FORBIDDEN,
            format!("this route needs the scope `{scope}`, which the caller does not have"),
        )
    }

    /// 403: a caller of whom something is not known that the route needs.
    pub fn claim(claim: &str) -> Self {
        Self::new(
            "/problems/forbidden",
            "Claim missing",
            StatusCode::FORBIDDEN,
            format!(
                "this route needs the caller's claim `{claim}`, which is missing or of another type"
            ),
        )
    }

    /// 400: a header that says two things.
    pub fn header_twice(name: &str) -> Self {
        Self::new(
            "/problems/bad-header",
            "Bad header",
            StatusCode::BAD_REQUEST,
            format!("the header `{name}` was sent more than once: send it once"),
        )
    }

    /// 429: more requests than the caller may send.
    pub fn too_many(limit: u32, seconds: u32) -> Self {
        let problem = Self::new(
            "/problems/too-many-requests",
            "Too many requests",
            StatusCode::TOO_MANY_REQUESTS,
            format!(
                "more than the {limit} requests came that a caller may send here: try again in {seconds} s"
            ),
        );
        Self {
            retry_after: Some(seconds),
            ..problem
        }
    }

    /// 404: no such route.
    pub fn not_found(path: &str) -> Self {
        let detail = format!(
            "there is no route `{}`; `/docs` lists those that there are",
            excerpt(path)
        );
        Self::new(
            "/problems/not-found",
            "No such route",
            StatusCode::NOT_FOUND,
            detail,
        )
    }

    /// 405: another method.
    pub fn method(method: &str, allowed: &str) -> Self {
        let detail = format!("`{}` is not allowed here: {allowed} are", excerpt(method));
        Self::new(
            "/problems/method-not-allowed",
            "Method not allowed",
            StatusCode::METHOD_NOT_ALLOWED,
            detail,
        )
    }

    /// 406: a form that there is none of.
    pub fn not_acceptable() -> Self {
        let forms: Vec<&str> = crate::format::Format::ALL
            .iter()
            .map(|format| format.media_type())
            .collect();
        let detail = format!(
            "the answer comes as {}: name one of them in `Accept`, or leave it out",
            forms.join(", ")
        );
        Self::new(
            "/problems/not-acceptable",
            "No such form",
            StatusCode::NOT_ACCEPTABLE,
            detail,
        )
    }

    /// 503: more requests than connections, for longer than it is worth waiting.
    pub fn busy() -> Self {
        let problem = Self::new(
            "/problems/busy",
            "Too busy",
            StatusCode::SERVICE_UNAVAILABLE,
            "more requests came than can be answered at once: try again shortly",
        );
        Self {
            retry_after: Some(1),
            ..problem
        }
    }

    /// 413: more than is read of any request.
    pub fn body_too_large(limit_bytes: usize) -> Self {
        let detail = format!(
            "the request's body is larger than {} MiB",
            limit_bytes / 1024 / 1024
        );
        Self::new(
            "/problems/body-too-large",
            "Body too large",
            StatusCode::PAYLOAD_TOO_LARGE,
            detail,
        )
    }

    /// 400: a body that is no JSON object.
    pub fn no_object() -> Self {
        Self::new(
            "/problems/bad-body",
            "Bad body",
            StatusCode::BAD_REQUEST,
            "the body must be a JSON object of parameter → value",
        )
    }

    /// 415: a body of another kind.
    pub fn media_type() -> Self {
        Self::new(
            "/problems/unsupported-media-type",
            "Unsupported media type",
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the parameters of a POST come as JSON: send `Content-Type: application/json`",
        )
    }

    /// 400: the body broke off, or took too long.
    pub fn body_unreadable() -> Self {
        Self::new(
            "/problems/bad-body",
            "Bad body",
            StatusCode::BAD_REQUEST,
            "the request's body did not arrive as it was announced",
        )
    }

    /// 413 for the other direction: the answer would be larger than what may be sent.
    pub fn too_large(limit_bytes: usize, rows: usize) -> Self {
        let detail = format!(
            "the answer is larger than {} MiB, which it exceeded at row {rows}: ask for fewer rows at a time with a \
             lower `limit`",
            limit_bytes / 1024 / 1024
        );
        let problem = Self::new(
            "/problems/answer-too-large",
            "Answer too large",
            StatusCode::UNPROCESSABLE_ENTITY,
            detail,
        );
        Self {
            parameter: Some("limit".to_owned()),
            ..problem
        }
    }

    /// 504: the query took too long.
    pub fn timeout(limit: std::time::Duration) -> Self {
        let detail = format!(
            "the query took longer than the {} ms that this route allows: narrow it down by its parameters",
            limit.as_millis()
        );
        Self::new(
            "/problems/query-timeout",
            "Query timed out",
            StatusCode::GATEWAY_TIMEOUT,
            detail,
        )
    }

    /// 503: the query needs more memory than there is.
    pub fn exhausted() -> Self {
        let problem = Self::new(
            "/problems/out-of-memory",
            "Out of memory",
            StatusCode::SERVICE_UNAVAILABLE,
            "the query needs more memory than there is at the moment: narrow it down by its parameters, or try again",
        );
        Self {
            retry_after: Some(1),
            ..problem
        }
    }

    /// 503: nobody can answer now.
    pub fn unavailable() -> Self {
        let problem = Self::new(
            "/problems/unavailable",
            "Temporarily unavailable",
            StatusCode::SERVICE_UNAVAILABLE,
            "the data cannot be reached at the moment: try again in a few seconds",
        );
        Self {
            retry_after: Some(5),
            ..problem
        }
    }

    /// 400: parameters that are what they should be one by one, and that the query cannot take.
    pub fn bad_values(message: &str) -> Self {
        let detail = format!(
            "the query cannot take these parameters: {}",
            excerpt(message)
        );
        Self::new(
            "/problems/bad-parameter",
            "Bad parameter",
            StatusCode::BAD_REQUEST,
            detail,
        )
    }

    /// 503: the tables that the route reads are not there yet.
    pub fn not_published() -> Self {
        let problem = Self::new(
            "/problems/not-published",
            "Not published yet",
            StatusCode::SERVICE_UNAVAILABLE,
            "the data of this route has not been published yet: try again when its pipeline has run",
        );
        Self {
            retry_after: Some(60),
            ..problem
        }
    }

    /// 500: the operator's concern; the log has what the caller is not told.
    pub fn internal() -> Self {
        let detail = "the answer could not be made; the operator's log says why";
        Self::new(
            "/problems/internal",
            "Internal error",
            StatusCode::INTERNAL_SERVER_ERROR,
            detail,
        )
    }
}

/// What a caller sent, short enough to be sent back.
pub fn excerpt(text: &str) -> String {
    const LONGEST: usize = 100;
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_most_a_hundred_characters_are_sent_back() {
        assert_eq!(excerpt("é".repeat(100).as_str()).chars().count(), 100);
        assert_eq!(excerpt("é".repeat(101).as_str()).chars().count(), 101);
        assert!(excerpt("é".repeat(5000).as_str()).ends_with('…'));
    }
}
