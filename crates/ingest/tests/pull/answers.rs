//! What answers mean where their status does not say it, and which of their records count.

use crate::plant::{Plant, Source, json_of};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use millrace_model::FailureName;
use millrace_model::raw::Position;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A resource with those rules, whose page follows from how often it was asked for.
async fn judged(rules: &str, answer: fn(usize) -> Value) -> (Source, Plant) {
    let times = AtomicUsize::new(0);
    let source = Source::new(move |_| json_of(answer(times.fetch_add(1, Ordering::Relaxed)))).await;
    let resource = format!(
        "
  - name: rows
    connection: source
    path: /rows
    records: rows
    paginate: none
    answers:
{rules}"
    );
    let plant = Plant::new(&source.url, &resource);
    (source, plant)
}

#[tokio::test]
async fn an_error_with_status_200_fails_with_what_it_says() {
    let rules = "      - { when: answer.ok == false, means: error }\n";
    let answer = |_| json!({ "ok": false, "error": { "code": 7, "text": "no such list" } });
    let (source, plant) = judged(rules, answer).await;
    let failure = plant.run("rows").await.unwrap_err();
    assert_eq!(failure.name, FailureName::BadAnswer);
    assert!(
        failure.message.ends_with(
            r#"/rows answered 200: {"error":{"code":7,"text":"no such list"},"ok":false}"#
        ) || failure.message.contains(r#""ok":false"#),
        "{failure}"
    );
    assert_eq!(source.asked().len(), 1, "asking again would not help");
    let dead = plant.objects.list("dead/", None, 10).await.unwrap();
    assert_eq!(dead.len(), 1);
}

#[tokio::test]
async fn weakness_and_limits_told_with_status_200_are_waited_out() {
    let rules = "      - { when: answer.error == 'ratelimited', means: rate_limited }
      - { when: answer.error == 'busy', means: again }
      - { when: answer.error, means: error }
";
    let (source, plant) = judged(rules, |time| match time {
        0 => json!({ "error": "ratelimited" }),
        1 => json!({ "error": "busy" }),
        _ => json!({ "rows": [{ "id": 1 }] }),
    })
    .await;
    assert_eq!(plant.pull("rows").await, [json!({ "id": 1 })]);
    assert_eq!(source.asked().len(), 3);
    // What was refused is not kept as if it had been a page.
    assert_eq!(plant.manifests("rows").await[0].pages.len(), 1);
}

#[tokio::test]
async fn an_answer_without_its_list_may_mean_that_there_is_nothing() {
    let rules = "      - { when: answer.status == 'no_data', means: empty }\n";
    let (_source, plant) = judged(rules, |_| json!({ "status": "no_data" })).await;
    assert_eq!(plant.pull("rows").await, [0; 0]);
    let manifest = &plant.manifests("rows").await[0];
    assert_eq!(manifest.next, Position::End);
    // What the source said is there to be read.
    assert!(manifest.object.is_some() && manifest.pages[0].origin.is_aside);
}

#[tokio::test]
async fn a_parent_whose_children_are_not_found_has_none() {
    let source = Source::new(|asked| match asked.uri.path() {
        "/parents" => json_of(json!([{ "id": 1 }, { "id": 2 }, { "id": 3 }])),
        "/children/2" => (StatusCode::NOT_FOUND, r#"{"code":"none"}"#).into_response(),
        path => json_of(json!([{ "of": path }])),
    })
    .await;
    let resources = |code: &str| {
        format!(
            "
  - name: parents
    connection: source
    path: /parents
    paginate: none
  - name: children
    connection: source
    parent: parents
    path: /children/{{{{ parent.id }}}}
    paginate: none
    answers: [{{ when: status == 404 and answer.code == '{code}', means: empty }}]
"
        )
    };
    let plant = Plant::new(&source.url, &resources("none"));
    plant.pull("parents").await;
    let children = plant.pull("children").await;
    assert_eq!(
        children,
        [
            json!({ "of": "/children/1" }),
            json!({ "of": "/children/3" })
        ]
    );
    let other = Plant::new(&source.url, &resources("other"));
    other.pull("parents").await;
    let failure = other.run("children").await.unwrap_err();
    assert!(failure.message.contains("answered 404"), "{failure}");
}

#[tokio::test]
async fn errors_of_graphql_are_errors_unless_the_definition_says_otherwise() {
    let times = AtomicUsize::new(0);
    let source = Source::new(move |_| {
        let code = ["THROTTLED", "FORBIDDEN"][times.fetch_add(1, Ordering::Relaxed).min(1)];
        let error = json!({ "message": "no", "extensions": { "code": code } });
        json_of(json!({ "data": { "items": null }, "errors": [error] }))
    })
    .await;
    let plant = Plant::new(
        &source.url,
        r#"
  - name: items
    connection: source
    path: /graphql
    body: { graphql: { query: "{ items { id } }" } }
    records: data.items
    paginate: none
"#,
    );
    let failure = plant.run("items").await.unwrap_err();
    assert_eq!(failure.name, FailureName::BadAnswer);
    assert!(failure.message.contains("FORBIDDEN"), "{failure}");
    assert_eq!(source.asked().len(), 2, "it was throttled at first");
}

#[tokio::test]
async fn records_lie_in_each_member_and_element() {
    let source = Source::new(|_| {
        json_of(json!({ "shops": {
            "north": { "orders": [{ "id": 1 }, { "id": 2 }] },
            "south": { "orders": [] },
            "west": { "closed": true },
            "east": { "orders": [{ "id": 3, "orders": [{ "id": "not one" }] }] },
        }, "total": 3 }))
    })
    .await;
    let plant = Plant::new(
        &source.url,
        "
  - name: orders
    connection: source
    path: /shops
    records: shops.*.orders
    paginate: { offset: { limit: 100, end: { total: total } } }
",
    );
    let records = plant.pull("orders").await;
    let mut ids: Vec<u64> = records
        .iter()
        .map(|record| record["id"].as_u64().unwrap())
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, [1, 2, 3]);
    assert_eq!(source.asked().len(), 1);
}

#[tokio::test]
async fn a_filter_holds_records_back_and_their_children_too_and_the_raw_payload_stays_whole() {
    let source = Source::new(|asked| {
        let page = asked.number("page", 1) as u64;
        match asked.uri.path() {
            "/orders" if page < 3 => json_of(json!([
                { "id": page * 10, "state": "draft" }, { "id": page * 10 + 1, "state": "paid" },
            ])),
            "/orders" => json_of(json!([{ "id": 30, "state": "draft" }])),
            path => json_of(json!([{ "of": path }])),
        }
    })
    .await;
    let plant = Plant::new(
        &source.url,
        "
  - name: orders
    connection: source
    path: /orders
    paginate: { page: { size: 2 } }
    filter: record.state != 'draft'
  - name: lines
    connection: source
    parent: orders
    path: /lines/{{ parent.id }}
    partitions: { kind: [a, b] }
    paginate: none
",
    );
    let ids: Vec<Value> = plant.pull("orders").await;
    assert_eq!(
        ids,
        [
            json!({ "id": 11, "state": "paid" }),
            json!({ "id": 21, "state": "paid" })
        ]
    );
    let pages: Vec<u64> = plant.manifests("orders").await[0]
        .pages
        .iter()
        .map(|page| page.records)
        .collect();
    assert_eq!(pages, [2, 2, 1], "a page's end is told by what it has");
    let lines = plant.pull("lines").await;
    let of = ["/lines/11", "/lines/11", "/lines/21", "/lines/21"];
    assert_eq!(lines, of.map(|of| json!({ "of": of })));
}
