//! API Gateway's proxy events (REST APIs, payload 1.0) as HTTP requests, and answers in the form that it takes.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Request, Response};
use millrace_model::{Failure, FailureName};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use url::form_urlencoded;

/// What stands before the path in the URL that the caller sees: the stage, or a custom domain's base path. What a client
/// sends under this name is dropped.
pub const PREFIX: &str = "x-forwarded-prefix";

/// A proxy event; what nobody here reads is left out.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    http_method: String,
    path: String,
    #[serde(default)]
    headers: Option<BTreeMap<String, String>>,
    #[serde(default)]
    multi_value_headers: Option<BTreeMap<String, Vec<String>>>,
    #[serde(default)]
    query_string_parameters: Option<BTreeMap<String, String>>,
    #[serde(default)]
    multi_value_query_string_parameters: Option<BTreeMap<String, Vec<String>>>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
    #[serde(default)]
    request_context: Option<RequestContext>,
}

#[derive(Deserialize)]
struct RequestContext {
    /// The path with the stage.
    #[serde(default)]
    path: Option<String>,
}

/// An answer in the form that API Gateway takes.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    status_code: u16,
    multi_value_headers: BTreeMap<String, Vec<String>>,
    body: String,
    is_base64_encoded: bool,
}

/// Whether an event is a request.
pub fn is_request(event: &Value) -> bool {
    event.get("httpMethod").is_some()
}

/// The request that an event is.
pub fn request(event: Value) -> Result<Request<Bytes>, Failure> {
    let event: Event = serde_json::from_value(event).map_err(|error| refuse(&error))?;
    let prefix = prefix(&event);
    let uri = uri(&event)?;
    let mut request = Request::builder()
        .method(Method::from_bytes(event.http_method.as_bytes()).map_err(|error| refuse(&error))?)
        .uri(uri);
    for (name, value) in pairs(event.multi_value_headers, event.headers) {
        // One that is no header in HTTP cannot have come over HTTP.
        let header = HeaderName::from_bytes(name.as_bytes())
            .ok()
            .zip(HeaderValue::from_str(&value).ok());
        if let Some((name, value)) = header
            && name != PREFIX
        {
            request = request.header(name, value);
        }
    }
    if let Some(prefix) = prefix {
        request = request.header(PREFIX, prefix);
    }
    let body = event.body.unwrap_or_default();
    let body = if event.is_base64_encoded {
        BASE64_STANDARD
            .decode(body)
            .map_err(|error| refuse(&error))?
    } else {
        body.into_bytes()
    };
    request.body(body.into()).map_err(|error| refuse(&error))
}

/// The answer as API Gateway takes it: text as it is, anything else in Base64.
pub fn response(response: Response<Bytes>) -> Answer {
    let (parts, body) = response.into_parts();
    let mut headers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in &parts.headers {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        headers.entry(name.to_string()).or_default().push(value);
    }
    let encoded = parts.headers.contains_key(http::header::CONTENT_ENCODING);
    let text = if encoded {
        None
    } else {
        std::str::from_utf8(&body).ok()
    };
    let (body, is_base64_encoded) = match text {
        Some(text) => (text.to_owned(), false),
        None => (BASE64_STANDARD.encode(&body), true),
    };
    Answer {
        status_code: parts.status.as_u16(),
        multi_value_headers: headers,
        body,
        is_base64_encoded,
    }
}

/// The path and the query. API Gateway has decoded the query's parameters; the path is as it was sent, and whatever stands
/// in it that cannot is encoded.
fn uri(event: &Event) -> Result<PathAndQuery, Failure> {
    let mut uri = String::new();
    let path = event.path.as_bytes();
    for (at, byte) in path.iter().copied().enumerate() {
        let encodes = |digits: &[u8]| digits.iter().all(u8::is_ascii_hexdigit);
        match byte {
            b'%' if !path.get(at + 1..at + 3).is_some_and(encodes) => uri.push_str("%25"),
            b'!'..=b'~' if !b"\"#<>?\\^`{|}".contains(&byte) => uri.push(byte.into()),
            _ => uri.extend(format!("%{byte:02X}").chars()),
        }
    }
    let parameters = pairs(
        event.multi_value_query_string_parameters.clone(),
        event.query_string_parameters.clone(),
    );
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(parameters)
        .finish();
    if !query.is_empty() {
        uri.push('?');
        uri.push_str(&query);
    }
    PathAndQuery::try_from(uri).map_err(|error| refuse(&error))
}

/// Names and values: all of each name where they are listed, else one of each.
fn pairs(
    many: Option<BTreeMap<String, Vec<String>>>,
    single: Option<BTreeMap<String, String>>,
) -> Vec<(String, String)> {
    let Some(many) = many else {
        return single.unwrap_or_default().into_iter().collect();
    };
    let each = |(name, values): (String, Vec<String>)| {
        values.into_iter().map(move |value| (name.clone(), value))
    };
    many.into_iter().flat_map(each).collect()
}

fn prefix(event: &Event) -> Option<HeaderValue> {
    let whole = event.request_context.as_ref()?.path.as_deref()?;
    let prefix = whole.strip_suffix(&event.path)?;
    HeaderValue::from_str(prefix)
        .ok()
        .filter(|prefix| !prefix.is_empty())
}

fn refuse(reason: &dyn std::fmt::Display) -> Failure {
    let message =
        format!("the event is not a request of API Gateway's (REST, payload 1.0): {reason}");
    Failure::new(FailureName::Internal, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_an_event() {
        let request = request(json!({
            "httpMethod": "POST",
            "path": "/pipelines/quakes/runs",
            "headers": {"x-api-key": "last"},
            "multiValueHeaders": {"X-Api-Key": ["first", "second"], "X-Forwarded-Prefix": ["/forged"]},
            "queryStringParameters": {"place": "b"},
            "multiValueQueryStringParameters": {"place": ["a & b", "ü"], "limit": ["1"]},
            "body": "eyJhIjoxfQ==",
            "isBase64Encoded": true,
            "requestContext": {"path": "/v1/pipelines/quakes/runs", "stage": "v1"},
            "resource": "/pipelines/{name}/runs"
        }))
        .unwrap();
        assert_eq!(request.method(), Method::POST);
        assert_eq!(
            request.uri(),
            "/pipelines/quakes/runs?limit=1&place=a+%26+b&place=%C3%BC"
        );
        let keys: Vec<_> = request.headers().get_all("x-api-key").iter().collect();
        assert_eq!(keys, ["first", "second"]);
        assert_eq!(request.headers()[PREFIX], "/v1");
        assert_eq!(request.into_body(), r#"{"a":1}"#);
    }

    #[test]
    fn reads_a_sparse_event() {
        let event = json!({
            "httpMethod": "GET", "path": "/quakes/a b%20c%é%2", "headers": null, "multiValueHeaders": null,
            "queryStringParameters": {"q": "1"}, "multiValueQueryStringParameters": null, "body": null
        });
        assert!(is_request(&event));
        let request = request(event).unwrap();
        assert_eq!(request.uri(), "/quakes/a%20b%20c%25%C3%A9%252?q=1");
        assert!(request.headers().is_empty() && request.body().is_empty());
    }

    #[test]
    fn refuses_what_is_no_request() {
        let failure = request(json!({"httpMethod": "GET"})).unwrap_err();
        assert!(
            failure.message.contains("missing field `path`"),
            "{failure}"
        );
        assert!(!is_request(&json!({"schedule": "arn"})));
    }

    #[test]
    fn answers_in_text_and_in_bytes() {
        let text = Response::builder()
            .status(202)
            .header("location", "/runs/a")
            .header("vary", "a")
            .header("vary", "b");
        let answer = serde_json::to_value(response(text.body("ü".into()).unwrap())).unwrap();
        assert_eq!(
            answer,
            json!({
                "statusCode": 202,
                "multiValueHeaders": {"location": ["/runs/a"], "vary": ["a", "b"]},
                "body": "ü",
                "isBase64Encoded": false
            })
        );
        let bytes = response(Response::new(Bytes::from_static(&[0xff])));
        assert_eq!(
            (bytes.body.as_str(), bytes.is_base64_encoded),
            ("/w==", true)
        );
    }

    #[test]
    fn reads_the_sample_requests() {
        let events = concat!(env!("CARGO_MANIFEST_DIR"), "/../../events");
        let mut requests = 0;
        for function in ["trigger", "serve"] {
            for file in std::fs::read_dir(format!("{events}/{function}")).unwrap() {
                let path = file.unwrap().path();
                let event: Value =
                    serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
                if is_request(&event) {
                    let read = request(event).unwrap();
                    let without_key = path.ends_with("without-key.json")
                        || read.uri() == "/docs"
                        || read.uri() == "/openapi.json";
                    assert_eq!(
                        read.headers().contains_key("x-api-key"),
                        !without_key,
                        "{}",
                        path.display()
                    );
                    assert_eq!(read.headers()[PREFIX], "/v1");
                    requests += 1;
                } else {
                    assert_eq!(function, "trigger", "{}", path.display());
                }
            }
        }
        assert!(requests >= 10, "{requests}");
    }
}
