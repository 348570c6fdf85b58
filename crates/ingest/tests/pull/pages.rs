//! Every way of paging, and every kind of credential.

use crate::support::{SECRET, World, ids_of, source};
use millrace_model::FailureName;
use millrace_model::definition::FieldPath;
use millrace_model::definition::connection::{Auth, KeyPlace};
use millrace_model::definition::pipeline::{End, Paginate, Token};
use sample::Behaviour;
use std::collections::BTreeMap;
use std::sync::Arc;

fn size(size: u64) -> BTreeMap<String, String> {
    BTreeMap::from([("size".into(), size.to_string())])
}

#[tokio::test]
async fn offsets_from_one_lead_through_the_event_service() {
    let source = source(2_500).await;
    let world = World::of_quakes(&source, 300);
    let pulled = world.pull(1).await;
    assert_eq!(pulled.ids(), ids_of(&source).await);
    assert_eq!(pulled.pages.len(), 9);
    assert!(pulled.manifests.len() > 1, "there are several segments");
    pulled.assert_verbatim(&source);
    let state = world.state().await.unwrap();
    assert_eq!((state.sequence, state.runs[0].records), (1, 2_500));
    assert_eq!(state.runs[0].segments as usize, pulled.manifests.len());
}

#[tokio::test]
async fn a_last_page_that_is_full_is_followed_by_a_204_without_records() {
    let source = source(600).await;
    let pulled = World::of_quakes(&source, 300).pull(1).await;
    assert_eq!(pulled.ids().len(), 600);
    let last = &pulled.pages[2];
    assert_eq!((last.0.status, last.0.records, last.1.len()), (204, 0, 0));
    assert!(pulled.is_complete());
}

#[tokio::test]
async fn page_numbers_tokens_links_and_no_paging_lead_to_every_record() {
    let source = source(1_050).await;
    let expected = ids_of(&source).await;
    let token = FieldPath("paging.next".into());
    let link = FieldPath("links.next".into());
    let page = |size_param, size| Paginate::Page {
        page_param: "page".into(),
        size_param,
        size,
        first: 1,
        end: End::default(),
    };
    for (path, records, params, paginate, requests) in [
        (
            "/pages",
            "items",
            BTreeMap::new(),
            page(Some("size".into()), Some(100)),
            11,
        ),
        ("/pages", "items", size(105), page(None, None), 11),
        ("/pages", "items", size(105), page(None, Some(105)), 11),
        (
            "/cursor",
            "items",
            size(100),
            Paginate::Cursor {
                param: "after".into(),
                token: Token::Body(token),
                end: End::default(),
            },
            11,
        ),
        (
            "/links",
            "items",
            size(100),
            Paginate::NextLink { path: link },
            11,
        ),
        ("/list", "", size(5_000), Paginate::None, 1),
    ] {
        let mut world = World::new(&source.url, path, records);
        world.resource.params = params;
        world.resource.paginate = paginate;
        let before = source.stats().requests;
        let pulled = world.pull(1).await;
        assert_eq!(pulled.ids(), expected, "{path}");
        assert_eq!(source.stats().requests - before, requests, "{path}");
        pulled.assert_verbatim(&source);
    }
}

#[tokio::test]
async fn compressed_transfers_are_kept_as_they_were_before_compression() {
    let source = source(500).await;
    source.behave(Behaviour {
        gzip: true,
        ..Behaviour::default()
    });
    let pulled = World::of_quakes(&source, 200).pull(1).await;
    assert_eq!(pulled.ids().len(), 500);
    pulled.assert_verbatim(&source);
}

type MakeAuth = fn(millrace_model::definition::SecretRef) -> Auth;

fn kinds_of_auth() -> [(MakeAuth, &'static str); 6] {
    [
        (|secret| Auth::Bearer { secret }, sample::BEARER_TOKEN),
        (
            |secret| Auth::Bearer { secret },
            r#"{"token": "sample-token"}"#,
        ),
        (
            |secret| Auth::Basic { secret },
            r#"{"username": "sample", "password": "sample-password"}"#,
        ),
        (
            |secret| Auth::ApiKey {
                secret,
                place: KeyPlace::Header("X-Api-Key".into()),
            },
            sample::API_KEY,
        ),
        (
            |secret| Auth::ApiKey {
                secret,
                place: KeyPlace::Query("api_key".into()),
            },
            sample::API_KEY,
        ),
        (
            |secret| Auth::ApiKey {
                secret,
                place: KeyPlace::Query("api_key".into()),
            },
            r#"{"key": "sample-key"}"#,
        ),
    ]
}

fn keyed(url: &str, auth: MakeAuth, secret: &str) -> World {
    let mut world = World::new(url, "/keyed", "items").auth(auth, secret);
    world.resource.paginate = Paginate::Page {
        page_param: "page".into(),
        size_param: Some("size".into()),
        size: Some(100),
        first: 1,
        end: End::default(),
    };
    world
}

#[tokio::test]
async fn every_kind_of_credential_opens_and_is_nowhere_in_the_lake() {
    let source = source(250).await;
    for (auth, secret) in kinds_of_auth() {
        let world = keyed(&source.url, auth, secret);
        let pulled = world.pull(1).await;
        assert_eq!(pulled.ids().len(), 250);
        let everything = world.everything().await;
        for value in ["sample-token", "sample-password", "sample-key", "c2FtcGxl"] {
            assert!(!everything.contains(value), "{value} is in the lake");
        }
    }
}

#[tokio::test]
async fn a_wrong_credential_fails_in_one_request_that_names_the_secret_and_not_its_value() {
    let source = source(250).await;
    for (auth, secret) in kinds_of_auth() {
        let wrong = secret.replace("sample", "hunter");
        let world = keyed(&source.url, auth, &wrong);
        let before = source.stats().requests;
        let failure = world.run(1).await.unwrap_err();
        assert_eq!(failure.name, FailureName::Unauthorized);
        assert!(failure.message.contains(SECRET), "{failure}");
        assert!(
            failure.message.contains(&format!("{}/keyed?", source.url)),
            "{failure}"
        );
        assert!(!failure.message.contains("hunter"), "{failure}");
        assert_eq!(source.stats().requests - before, 1);
        assert!(!world.everything().await.contains("hunter"));
    }
}

#[tokio::test]
async fn a_secret_that_was_replaced_is_read_anew_once() {
    let source = source(250).await;
    let mut world = keyed(&source.url, |secret| Auth::Bearer { secret }, "");
    let secret = Arc::get_mut(&mut world.secrets).unwrap();
    secret.copy = "yesterday's".into();
    secret.now = sample::BEARER_TOKEN.into();
    assert_eq!(world.pull(1).await.ids().len(), 250);
    assert_eq!(source.stats().requests, 4);

    let secret = Arc::get_mut(&mut world.secrets).unwrap();
    secret.now = "tomorrow's".into();
    let failure = world.run(2).await.unwrap_err();
    assert_eq!(failure.name, FailureName::Unauthorized);
    assert_eq!(source.stats().requests, 6);
}

#[tokio::test]
async fn a_source_that_asks_for_a_credential_where_the_definition_has_none_is_told() {
    let source = source(10).await;
    let failure = World::new(&source.url, "/keyed", "items")
        .run(1)
        .await
        .unwrap_err();
    assert_eq!(failure.name, FailureName::Unauthorized);
    assert!(
        failure
            .message
            .contains("the connection `source` has no `auth`"),
        "{failure}"
    );
}
