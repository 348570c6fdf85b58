//! Sources that would lead a pull in circles, or away.

use crate::plant::{Plant, Source, json_of};
use crate::support::{World, serve};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use millrace_model::FailureName;
use millrace_model::definition::FieldPath;
use millrace_model::definition::connection::{Auth, KeyPlace};
use millrace_model::definition::pipeline::{End, Paginate, Token};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A source whose every answer is a text.
struct Parrot {
    url: String,
    requests: Arc<AtomicUsize>,
}

async fn parrot(body: &'static str) -> Parrot {
    let requests = Arc::new(AtomicUsize::new(0));
    let answer = async move |State(requests): State<Arc<AtomicUsize>>| {
        requests.fetch_add(1, Ordering::SeqCst);
        body
    };
    let url = serve(Router::new().fallback(answer).with_state(requests.clone())).await;
    Parrot { url, requests }
}

impl Parrot {
    async fn assert_refused(&self, paginate: Paginate, part: &str, requests: usize) {
        let mut world = World::new(&self.url, "/items", "items");
        world.resource.paginate = paginate;
        let failure = world.run(1).await.unwrap_err();
        assert_eq!(failure.name, FailureName::BadAnswer, "{failure}");
        assert!(failure.message.contains(part), "{failure}");
        assert_eq!(self.requests.load(Ordering::SeqCst), requests);
    }
}

fn next_link() -> Paginate {
    Paginate::NextLink {
        path: FieldPath("next".into()),
    }
}

#[tokio::test]
async fn a_token_that_comes_back_is_not_followed_again() {
    let source = parrot(r#"{"items": [], "next": "abc"}"#).await;
    let paginate = Paginate::Cursor {
        param: "after".into(),
        token: Token::Body(FieldPath("next".into())),
        end: End::default(),
    };
    source
        .assert_refused(paginate, "leads back to this page", 2)
        .await;
}

#[tokio::test]
async fn a_link_to_the_page_itself_is_not_followed() {
    let source = parrot(r#"{"items": [{"id": "1"}], "next": "/items"}"#).await;
    source
        .assert_refused(next_link(), "leads back to this page", 1)
        .await;
}

#[tokio::test]
async fn a_source_that_pays_no_attention_to_paging_is_found_out() {
    let source = parrot(r#"{"items": [{"id": "1"}, {"id": "2"}]}"#).await;
    let paginate = Paginate::Offset {
        offset_param: "offset".into(),
        limit_param: "limit".into(),
        limit: 2,
        first: 0,
        end: End::default(),
    };
    source
        .assert_refused(paginate, "byte for byte, as the page before", 4)
        .await;
}

#[tokio::test]
async fn pages_without_records_that_lead_ever_on_are_not_followed_for_ever() {
    let source = Source::new(|asked| {
        let after = asked.number("after", 0) + 1;
        json_of(json!({ "items": [], "next": after.to_string() }))
    })
    .await;
    let mut world = World::new(&source.url, "/items", "items");
    world.resource.paginate = Paginate::Cursor {
        param: "after".into(),
        token: Token::Body(FieldPath("next".into())),
        end: End::default(),
    };
    let failure = world.run(1).await.unwrap_err();
    assert_eq!(failure.name, FailureName::BadAnswer, "{failure}");
    assert!(
        failure
            .message
            .contains("1000 pages in a row have no records"),
        "{failure}"
    );
    assert_eq!(source.asked().len(), 1_000);
}

#[tokio::test]
async fn a_link_to_another_host_is_not_followed() {
    let source =
        parrot(r#"{"items": [{"id": "1"}], "next": "http://evil.example.com/items"}"#).await;
    source
        .assert_refused(next_link(), "leads to another host", 1)
        .await;
}

#[tokio::test]
async fn a_page_of_html_is_told_as_such() {
    let source = parrot("<html>maintenance</html>").await;
    source
        .assert_refused(
            Paginate::None,
            "is not JSON: `<` begins no value at byte 0",
            1,
        )
        .await;
}

/// A source that redirects `/items` to `target`, and one that notes which credentials come to it.
async fn redirecting(target: String) -> String {
    let redirect = async move |_: Request| -> Response {
        (StatusCode::FOUND, [(header::LOCATION, target.clone())]).into_response()
    };
    let listen = async |headers: HeaderMap| {
        let is_signed = headers.contains_key("x-api-key");
        format!(r#"{{"items": [{{"id": "{is_signed}"}}]}}"#)
    };
    serve(
        Router::new()
            .route("/items", get(redirect))
            .route("/other", get(listen)),
    )
    .await
}

fn signed(url: &str) -> World {
    let auth = |secret| Auth::ApiKey {
        secret,
        place: KeyPlace::Header("X-Api-Key".into()),
    };
    World::new(url, "/items", "items").auth(auth, "hunter2")
}

#[tokio::test]
async fn a_credential_follows_redirects_within_the_host_and_to_no_other() {
    let near = redirecting("/other".to_owned()).await;
    assert_eq!(signed(&near).pull(1).await.ids(), ["true"]);
    let far = redirecting(format!("{near}/other")).await;
    let failure = signed(&far).run(1).await.unwrap_err();
    assert_eq!(failure.name, FailureName::BadAnswer);
    assert!(
        failure.message.contains("answered 302: it redirects to"),
        "{failure}"
    );
    assert_eq!(
        World::new(&far, "/items", "items").pull(1).await.ids(),
        ["false"]
    );
}

/// Pages of which each leads to any other one, or to none: whatever the links are, a pull ends, and asks for each page
/// once, but for the one that comes again right away, which is asked for anew.
#[tokio::test]
async fn whatever_the_links_a_pull_ends() {
    const PAGES: usize = 6;
    for _ in 0..40 {
        let links: Vec<usize> = (0..PAGES)
            .map(|_| rand::random::<u32>() as usize % (PAGES + 1))
            .collect();
        let seen = links.clone();
        let source = Source::new(move |asked| {
            let page = asked.number("page", 0);
            let next = (seen[page] < PAGES).then(|| format!("/items?page={}", seen[page]));
            json_of(json!({ "items": [{ "id": page }], "next": next }))
        })
        .await;
        let plant = Plant::new(
            &source.url,
            "
  - { name: items, connection: source, path: /items, records: items, paginate: { next_link: { path: next } } }
",
        );
        let outcome = plant.run("items").await;
        let asked: Vec<usize> = source
            .asked()
            .iter()
            .map(|asked| asked.number("page", 0))
            .collect();
        assert!(asked.len() <= PAGES + 4, "{links:?}: {asked:?}");
        if let Err(failure) = outcome {
            assert!(
                failure.message.contains("would never end"),
                "{links:?}: {failure}"
            );
        }
    }
}
