//! The page for people: Swagger UI over `openapi.json` beside it, in one answer that needs nothing from anywhere else.

use crate::answer;
use base64::Engine as _;
use bytes::Bytes;
use flate2::read::GzDecoder;
use http::Response;
use http::header::{CONTENT_SECURITY_POLICY, HeaderValue};
use sha2::{Digest as _, Sha256};
use std::io::Read as _;
use std::sync::LazyLock;

const STYLE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/viewer.css.gz"));
const VIEWER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/viewer.js.gz"));
const BEGIN: &str = include_str!("docs/begin.js");

struct Page {
    body: Bytes,
    policy: Option<HeaderValue>,
}

static PAGE: LazyLock<Page> = LazyLock::new(|| {
    let (style, viewer) = (unpacked(STYLE), unpacked(VIEWER));
    let body = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>API</title>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<style>{style}</style>\n</head>\n\
         <body>\n<main id=\"viewer\"></main>\n<noscript>This page reads openapi.json with a script.</noscript>\n\
         <script>{viewer}</script>\n<script>{BEGIN}</script>\n</body>\n</html>\n"
    );
    // Only these very scripts run, and only this server is asked. The viewer sets styles, and has its pictures in itself.
    let hash = |text: &str| base64::engine::general_purpose::STANDARD.encode(Sha256::digest(text));
    let policy = format!(
        "default-src 'none'; connect-src 'self'; script-src 'sha256-{}' 'sha256-{}'; style-src 'unsafe-inline'; img-src \
         data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash(&viewer),
        hash(BEGIN)
    );
    Page {
        body: body.into(),
        policy: HeaderValue::try_from(policy).ok(),
    }
});

/// What was packed when this was built.
fn unpacked(packed: &[u8]) -> String {
    let mut text = String::new();
    if let Err(error) = GzDecoder::new(packed).read_to_string(&mut text) {
        tracing::error!(%error, "the documentation's viewer cannot be unpacked");
    }
    text
}

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
