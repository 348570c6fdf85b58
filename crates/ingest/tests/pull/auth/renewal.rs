//! When a credential is renewed, and what is said where that does not help.

use super::server::{Answer, Call, Place, granted, items, refused, serve};
use millrace_model::FailureName;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const CLIENT: &str = r#"{"client_id": "mill", "client_secret": "hunter2"}"#;
const AUTH: &str =
    "oauth2_client_credentials: { token_url: URL/token, secret: SECRET, client_auth: body }";

/// Counts of what a source was asked.
#[derive(Default)]
struct Counts {
    tokens: AtomicUsize,
    refusals: AtomicUsize,
}

/// A source whose tokens are good for so many pages, and are said to live so many seconds.
fn forgetful(counts: Arc<Counts>, pages: usize, expires_in: f64) -> impl Fn(&Call) -> Answer {
    let left = AtomicUsize::new(0);
    move |call| {
        if call.path == "/token" {
            left.store(pages, Ordering::SeqCst);
            let number = counts.tokens.fetch_add(1, Ordering::SeqCst) + 1;
            return granted(
                json!({ "access_token": format!("t{number}"), "expires_in": expires_in }),
            );
        }
        let is_latest = call.bearer() == format!("t{}", counts.tokens.load(Ordering::SeqCst));
        let is_left = left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            })
            .is_ok();
        if is_latest && is_left {
            return items(call);
        }
        counts.refusals.fetch_add(1, Ordering::SeqCst);
        refused(401, json!({}))
    }
}

#[tokio::test]
async fn a_token_that_ends_in_the_middle_is_renewed_for_the_page_that_was_refused() {
    let counts = Arc::new(Counts::default());
    let source = serve(forgetful(counts.clone(), 2, 3600.0)).await;
    Place::new(&source.url, AUTH, CLIENT).pull(1).await;
    assert_eq!(counts.tokens.load(Ordering::SeqCst), 4);
    assert_eq!(counts.refusals.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_token_is_renewed_before_it_ends() {
    let counts = Arc::new(Counts::default());
    let answer = forgetful(counts.clone(), 1000, 0.05);
    let source = serve(move |call| {
        std::thread::sleep(Duration::from_millis(30));
        answer(call)
    })
    .await;
    Place::new(&source.url, AUTH, CLIENT).pull(1).await;
    assert!(counts.tokens.load(Ordering::SeqCst) >= 3);
    assert_eq!(counts.refusals.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_token_of_no_known_end_is_used_until_it_is_refused() {
    let counts = Arc::new(Counts::default());
    let source = serve(forgetful(counts.clone(), 1000, 0.0)).await;
    Place::new(&source.url, AUTH, CLIENT).pull(1).await;
    assert_eq!(counts.tokens.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_token_that_is_refused_as_soon_as_it_is_given_is_not_asked_for_again() {
    let counts = Arc::new(Counts::default());
    let source = serve(forgetful(counts.clone(), 0, 3600.0)).await;
    let failure = Place::new(&source.url, AUTH, CLIENT)
        .run(1)
        .await
        .unwrap_err();
    assert_eq!(failure.name, FailureName::Unauthorized);
    assert!(
        failure.message.contains("the secret `millrace/source`"),
        "{failure}"
    );
    assert_eq!(counts.tokens.load(Ordering::SeqCst), 2);
    assert_eq!(counts.refusals.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_login_that_is_refused_names_the_secret_and_not_its_value() {
    let session = r#"session:
    secret: SECRET
    login: { url: /token, form: { pw: "{{ secret.client_secret }}" } }
    token: { path: token }"#;
    for auth in [AUTH, session] {
        // Such sources are: they say what was sent to them.
        let source = serve(|call| {
            let body = String::from_utf8_lossy(&call.body).into_owned();
            refused(
                401,
                json!({ "error": "invalid_client", "error_description": format!("no: {body}") }),
            )
        })
        .await;
        let failure = Place::new(&source.url, auth, CLIENT)
            .run(1)
            .await
            .unwrap_err();
        assert_eq!(failure.name, FailureName::Unauthorized);
        assert!(
            failure.message.contains("the secret `millrace/source`"),
            "{failure}"
        );
        assert!(!failure.message.contains("hunter"), "{failure}");
    }
}

#[tokio::test]
async fn a_token_endpoint_that_is_down_is_asked_again() {
    let calls = Arc::new(AtomicUsize::new(0));
    let seen = calls.clone();
    let source = serve(move |call| match call.path.as_str() {
        "/token" if seen.fetch_add(1, Ordering::SeqCst) < 2 => refused(503, json!({})),
        "/token" => granted(json!({ "access_token": "t" })),
        _ => items(call),
    })
    .await;
    Place::new(&source.url, AUTH, CLIENT).pull(1).await;
    assert_eq!(calls.load(Ordering::SeqCst), 3);

    let source = serve(|_| refused(503, json!({}))).await;
    let failure = Place::new(&source.url, AUTH, CLIENT)
        .run(1)
        .await
        .unwrap_err();
    assert_eq!(failure.name, FailureName::Transient);
    let asked = serve(|_| Answer(429, vec![("retry-after", "3600".into())], json!({}))).await;
    let failure = Place::new(&asked.url, AUTH, CLIENT)
        .run(1)
        .await
        .unwrap_err();
    assert_eq!(failure.name, FailureName::RateLimited);
}
