//! Every paginator, named by the definition and found by itself, against a source that pages in every way.

use crate::support::{World, serve};
use axum::Router;
use axum::extract::{Path, Query};
use axum::http::header::LINK;
use axum::response::{IntoResponse, Response};
use millrace_model::FailureName;
use millrace_model::definition::FieldPath;
use millrace_model::definition::pipeline::{End, Paginate, Token};
use millrace_model::raw::Position;
use millrace_model::step::{Counts, Deadline, Observer};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// How many records there are, and how many a page has unless it is said otherwise.
const RECORDS: usize = 95;
const SIZE: usize = 20;

fn id(number: usize) -> String {
    format!("{number:03}")
}

fn records(from: usize, size: usize) -> Vec<Value> {
    let to = from.saturating_add(size).min(RECORDS);
    (from.min(to)..to)
        .map(|number| json!({ "id": id(number) }))
        .collect()
}

type Params = BTreeMap<String, String>;

fn number(params: &Params, name: &str, default: usize) -> usize {
    params
        .get(name)
        .map_or(default, |text| text.parse().expect("a number"))
}

/// A page in the style that the path names.
async fn page(Path(style): Path<String>, Query(params): Query<Params>) -> Response {
    let at = number(&params, "at", 0);
    let next = Some(at + SIZE).filter(|next| *next < RECORDS);
    let link = |style: &str| next.map(|next| format!("/{style}?at={next}"));
    let page = number(&params, "page", 1);
    let offset = number(&params, "offset", 0);
    match style.as_str() {
        "link_header" => {
            let mut links = vec!["</first>; rel=\"first\"".to_owned()];
            links.extend(link("link_header").map(|link| format!("<{link}>; rel=\"next\"")));
            ([(LINK, links.join(", "))], axum::Json(records(at, SIZE))).into_response()
        }
        "odata4" => {
            let mut body = json!({ "@odata.context": "$metadata#x", "value": records(at, SIZE) });
            if let Some(link) = link("odata4") {
                body["@odata.nextLink"] = link.into();
            }
            axum::Json(body).into_response()
        }
        "odata2" => {
            let mut body = json!({ "d": { "results": records(at, SIZE) } });
            if let Some(link) = link("odata2") {
                body["d"]["__next"] = link.into();
            }
            axum::Json(body).into_response()
        }
        "body_link" => axum::Json(
            json!({ "links": { "next": link("body_link") }, "value": records(at, SIZE) }),
        )
        .into_response(),
        "token" => {
            let at = number(&params, "cursor", 0);
            let next = Some(at + SIZE).filter(|next| *next < RECORDS);
            let next = next.map(|next| next.to_string());
            let meta =
                json!({ "next_cursor": next.clone().unwrap_or_default(), "more": next.is_some() });
            let headers = [("X-Next", next.unwrap_or_default())];
            (
                headers,
                axum::Json(json!({ "meta": meta, "value": records(at, SIZE) })),
            )
                .into_response()
        }
        "numbered" => {
            let value = records((page - 1) * SIZE, SIZE);
            let meta = json!({ "page": page, "total_pages": RECORDS.div_ceil(SIZE) });
            axum::Json(json!({ "meta": meta, "value": value })).into_response()
        }
        // Sends at most ten of what it is asked for, and says how many there are.
        "capped" => {
            let limit = number(&params, "limit", 10).min(10);
            let value = records(offset, limit);
            let more = offset + value.len() < RECORDS;
            axum::Json(json!({ "value": value, "offset": offset, "limit": limit, "total": RECORDS, "more": more }))
                .into_response()
        }
        "behind" | "from" => {
            let after = params
                .get("after")
                .map_or(0, |id| id.parse::<usize>().expect("an id"));
            let first = after + usize::from(style == "behind" && params.contains_key("after"));
            axum::Json(json!({ "value": records(first, SIZE) })).into_response()
        }
        _ => axum::Json(json!({ "value": records(0, SIZE), "total": RECORDS })).into_response(),
    }
}

async fn source() -> String {
    serve(Router::new().route("/{style}", axum::routing::get(page))).await
}

fn at(path: &str) -> FieldPath {
    FieldPath(path.into())
}

fn expected() -> Vec<String> {
    (0..RECORDS).map(id).collect()
}

/// Keeps what the step has to say.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Observer for Notes {
    fn progress(&self, _: &Counts) {}

    fn note(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
}

#[tokio::test]
async fn every_paginator_leads_to_every_record_once() {
    let url = source().await;
    let has_more = |path: &str| End {
        has_more: Some(at(path)),
        ..End::default()
    };
    let total = End {
        total: Some(at("total")),
        ..End::default()
    };
    let pages = End {
        pages: Some(at("meta.total_pages")),
        ..End::default()
    };
    let offset = |limit, end| Paginate::Offset {
        offset_param: "offset".into(),
        limit_param: "limit".into(),
        limit,
        first: 0,
        end,
    };
    let numbered = |size, end| Paginate::Page {
        page_param: "page".into(),
        size_param: None,
        size,
        first: 1,
        end,
    };
    let cursor = |token, end| Paginate::Cursor {
        param: "cursor".into(),
        token,
        end,
    };
    let keyset = |limit| Paginate::Keyset {
        param: "after".into(),
        field: at("id"),
        limit_param: None,
        limit,
        end: End::default(),
    };
    let token = || Token::Body(at("meta.next_cursor"));
    for (path, paginate, requests) in [
        ("/link_header", Paginate::LinkHeader, 5),
        ("/odata4", Paginate::Odata, 5),
        ("/odata2", Paginate::Odata, 5),
        (
            "/body_link",
            Paginate::NextLink {
                path: at("links.next"),
            },
            5,
        ),
        ("/token", cursor(token(), End::default()), 5),
        ("/token", cursor(token(), has_more("meta.more")), 5),
        (
            "/token",
            cursor(Token::Header("x-next".into()), End::default()),
            5,
        ),
        ("/numbered", numbered(None, pages.clone()), 5),
        ("/numbered", numbered(Some(20), End::default()), 5),
        ("/numbered", numbered(None, End::default()), 6),
        ("/capped", offset(10, End::default()), 10),
        // The source sends ten however many it is asked for: a short page is not the last one then.
        ("/capped", offset(50, total.clone()), 10),
        ("/capped", offset(50, has_more("more")), 10),
        ("/behind", keyset(None), 6),
        ("/behind", keyset(Some(20)), 5),
    ] {
        let records = match path {
            "/link_header" => "",
            "/odata2" => "d.results",
            _ => "value",
        };
        let mut world = World::new(&url, path, records);
        world.resource.paginate = paginate.clone();
        let pulled = world.pull(1).await;
        assert_eq!(pulled.ids(), expected(), "{path} {paginate:?}");
        assert_eq!(pulled.pages.len(), requests, "{path} {paginate:?}");
        assert_eq!(pulled.manifests[0].paginate, None, "{path}: it was known");
    }
}

#[tokio::test]
async fn a_keyset_that_begins_with_the_last_record_ends_where_only_that_comes_back() {
    let mut world = World::new(&source().await, "/from", "value");
    world.resource.paginate = Paginate::Keyset {
        param: "after".into(),
        field: at("id"),
        limit_param: None,
        limit: None,
        end: End::default(),
    };
    let mut ids = world.pull(1).await.ids();
    ids.dedup();
    assert_eq!(ids, expected());
}

#[tokio::test]
async fn a_keyset_needs_a_field_that_the_last_record_has_and_that_grows() {
    let stuck = serve(Router::new().fallback(async || {
        axum::Json(json!({ "value": [{ "id": "7", "n": 1 }, { "id": "7", "n": 2 }] }))
    }))
    .await;
    for (field, part) in [
        ("id", "no page can begin behind them"),
        ("uid", "last record has no `uid`"),
    ] {
        let mut world = World::new(&stuck, "/", "value");
        world.resource.paginate = Paginate::Keyset {
            param: "after".into(),
            field: at(field),
            limit_param: None,
            limit: None,
            end: End::default(),
        };
        let failure = world.run(1).await.unwrap_err();
        assert_eq!(failure.name, FailureName::BadAnswer);
        assert!(failure.message.contains(part), "{failure}");
    }
}

#[tokio::test]
async fn a_paginator_is_found_by_itself_and_told() {
    let url = source().await;
    for (path, part) in [
        ("/link_header", "paginate: link_header"),
        ("/odata4", "paginate: odata"),
        ("/odata2", "paginate: odata"),
        (
            "/body_link",
            "paginate: { next_link: { path: links.next } }",
        ),
        (
            "/token",
            "paginate: { cursor: { param: cursor, path: meta.next_cursor } }",
        ),
        (
            "/numbered",
            "paginate: { page: { first: 1, end: { pages: meta.total_pages } } }",
        ),
        (
            "/capped",
            "paginate: { offset: { offset_param: offset, limit: 10, first: 0, end: { total: total } } }",
        ),
    ] {
        let records = match path {
            "/link_header" => "",
            "/odata2" => "d.results",
            _ => "value",
        };
        let mut world = World::new(&url, path, records);
        world.resource.paginate = Paginate::Auto;
        let notes = Arc::new(Notes::default());
        let input = world.input(1).await;
        world
            .ingest()
            .run(&input, Deadline::NONE, &*notes)
            .await
            .unwrap();
        let pulled = world.pulled(1).await;
        assert_eq!(pulled.ids(), expected(), "{path}");
        assert!(pulled.manifests[0].paginate.is_some(), "{path}");
        let notes = notes.0.lock().unwrap();
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert!(notes[0].contains(part), "{notes:?}");
    }
}

#[tokio::test]
async fn an_answer_that_shows_no_way_on_is_all_and_is_doubted_aloud() {
    let mut world = World::new(&source().await, "/silent", "value");
    world.resource.paginate = Paginate::Auto;
    let notes = Notes::default();
    let input = world.input(1).await;
    world
        .ingest()
        .run(&input, Deadline::NONE, &notes)
        .await
        .unwrap();
    let pulled = world.pulled(1).await;
    assert_eq!((pulled.ids().len(), pulled.is_complete()), (SIZE, true));
    assert_eq!(pulled.manifests[0].paginate, None);
    let notes = notes.0.lock().unwrap();
    assert!(
        notes[0].contains("20 records and speaks of 95"),
        "{notes:?}"
    );
}

#[tokio::test]
async fn a_run_that_was_killed_goes_on_with_the_paginator_that_it_found() {
    let url = source().await;
    let mut world = World::new(&url, "/numbered", "value");
    world.resource.paginate = Paginate::Auto;
    let input = world.input(1).await;
    let mut limits = crate::support::limits();
    limits.segment_bytes = 1;
    for calls in 3..20 {
        let dying = world.ingest_until(calls, true).with_limits(limits);
        let _ = dying
            .run(&input, Deadline::NONE, &millrace_model::step::Unobserved)
            .await;
    }
    let pulled = world.pull(1).await;
    assert_eq!(pulled.ids(), expected());
    assert!(pulled.manifests.len() > 1);
    assert!(
        pulled
            .manifests
            .iter()
            .all(|manifest| manifest.paginate == pulled.manifests[0].paginate),
    );
    assert_eq!(pulled.manifests.last().unwrap().next, Position::End);
}
