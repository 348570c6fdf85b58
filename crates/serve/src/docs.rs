//! The page for people: it reads `openapi.json` beside it, lists the routes, and tries them. It needs nothing from
//! anywhere else.

use crate::answer;
use base64::Engine as _;
use bytes::Bytes;
use http::Response;
use http::header::{CONTENT_SECURITY_POLICY, HeaderValue};
use sha2::{Digest as _, Sha256};
use std::sync::LazyLock;

const STYLE: &str = include_str!("docs/page.css");
const SCRIPT: &str = include_str!("docs/page.js");

struct Page {
    body: Bytes,
    policy: Option<HeaderValue>,
}

static PAGE: LazyLock<Page> = LazyLock::new(|| {
    let body = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>API</title>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<style>{STYLE}</style>\n</head>\n\
         <body>\n<header>\n<h1>API</h1>\n<p id=\"about\"></p>\n\
         <label>Key <input id=\"key\" type=\"password\" autocomplete=\"off\" placeholder=\"x-api-key\"></label>\n\
         <a href=\"openapi.json\">openapi.json</a>\n</header>\n<main id=\"routes\"><p>Loading…</p></main>\n\
         <noscript>This page reads openapi.json with a script.</noscript>\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
    );
    // Only this very script and this very style run, and only this server is asked.
    let hash = |text: &str| base64::engine::general_purpose::STANDARD.encode(Sha256::digest(text));
    let policy = format!(
        "default-src 'none'; connect-src 'self'; script-src 'sha256-{}'; style-src 'sha256-{}'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
        hash(SCRIPT),
        hash(STYLE)
    );
    Page {
        body: body.into(),
        policy: HeaderValue::try_from(policy).ok(),
    }
});

/// The page.
pub fn page() -> Response<Bytes> {
    let mut response = answer::document("text/html; charset=utf-8", PAGE.body.clone());
    if let Some(policy) = &PAGE.policy {
        response
            .headers_mut()
            .insert(CONTENT_SECURITY_POLICY, policy.clone());
    }
    response
}
