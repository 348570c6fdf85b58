//! What both halves answer together, and what each does by itself.

use crate::place::{Place, START};
use crate::rows::orders;
use serde_json::Value;

#[tokio::test]
async fn both_together_answer_as_the_lake_does() {
    let place = Place::new().await;
    place.put(&orders()).await;
    place.published_at(START).await;
    let requests = [
        "down?limit=5",
        "down?limit=1",
        "down?limit=1000",
        "down?limit=7&sort=at",
        "down?limit=7&sort=-at",
        "up?limit=3",
        "up?limit=12",
        "last?limit=5",
        "last?limit=4&least=1",
        "first?limit=5",
        "since?limit=3",
        "since?limit=3&since=2024-10-03T00:00:00Z",
        "since?limit=3&since=2024-10-01T00:00:00Z",
        "since?limit=3&since=2030-10-01T00:00:00Z",
        "one?name=a&id=4",
        "one?name=a&id=0",
        "one?name=%C3%A9&id=5",
        "one?name=a&id=77",
    ];
    for request in requests {
        let expected = place.all(&format!("/lake/{request}")).await;
        let found = place.all(&format!("/both/{request}")).await;
        assert_eq!(found, expected, "{request}");
    }
    let endpoints: Vec<_> = place.set.endpoints.values().collect();
    let checked = place.serve.check(&endpoints).await.unwrap();
    assert!(checked.findings.is_empty(), "{:?}", checked.findings);
    let row = &checked.contract["paths"]["/both/down"]["get"]["responses"]["200"];
    let text = row.to_string();
    assert!(text.contains("date-time"), "{text}");
}

#[tokio::test]
async fn what_the_store_has_alone_does_not_need_the_lake() {
    let place = Place::new().await;
    let mut dated = orders();
    dated.retain(|_, (at, _)| at.is_some());
    place.put(&dated).await;
    place.published_at(START).await;
    std::fs::remove_dir_all(place.dir.path().join("tables")).unwrap();
    let alone = [
        "down?limit=11",
        "down?limit=11&sort=-at",
        "last?limit=3",
        "since?limit=900&since=2024-10-03T00:00:00Z",
        "one?name=B&id=2",
    ];
    for request in alone {
        let (status, body) = place.get(&format!("/both/{request}"), "*/*").await;
        assert_eq!(status, 200, "{request}: {body:?}");
    }
    // What it has not is a problem that says so, and no shorter answer.
    for request in ["down?limit=12", "up?limit=1", "one?name=B&id=0", "since"] {
        let (status, body) = place.get(&format!("/both/{request}"), "*/*").await;
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(status, 503, "{request}: {body}");
        assert_eq!(body["error"][0]["type"], "/problems/unavailable");
    }
}

#[tokio::test]
async fn cursors_are_for_their_own_route() {
    let place = Place::new().await;
    place.put(&orders()).await;
    place.published_at(START).await;
    let (_, next) = place.page("/both/down?limit=2").await;
    let next = next.unwrap();
    for other in [
        next.replace("/both/down", "/both/first"),
        next.replace("/both/down", "/lake/down"),
        next.replace("limit=2", "limit=2&sort=at"),
        format!("{next}AAAA"),
    ] {
        let (status, body) = place.get(&other, "*/*").await;
        assert_eq!(status, 400, "{other}: {body:?}");
    }
    assert_eq!(place.get(&next, "*/*").await.0, 200);
}
