//! The endpoints over HTTP: the same `serve` that answers behind API Gateway, on a socket of this machine.

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::response::Response;
use bytes::Bytes;
use millrace_serve::Serve;
use std::sync::Arc;

/// The largest request body that is read, in bytes; API Gateway's own limit is ten times as much.
const BODY_LIMIT: usize = 1024 * 1024;

/// All requests go to `serve`.
pub fn router(serve: Arc<Serve>) -> Router {
    Router::new()
        .fallback(answer)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(serve)
}

async fn answer(State(serve): State<Arc<Serve>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, BODY_LIMIT).await else {
        let mut response = Response::new(Body::from("the request's body is larger than 1 MiB"));
        *response.status_mut() = http::StatusCode::PAYLOAD_TOO_LARGE;
        return response;
    };
    serve
        .handle(http::Request::from_parts(parts, body))
        .await
        .map(|bytes: Bytes| Body::from(bytes))
}
