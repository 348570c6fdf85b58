//! Runs that do something else than what the pipeline says: everything anew, a range, what was given up.

use crate::plant::{Asked, Plant, Source, json_of};
use crate::support::run_id;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use millrace_model::dead::DeadRequest;
use millrace_model::definition::pipeline::CursorValue;
use millrace_model::mode::RunMode;
use millrace_model::state::Extent;
use millrace_model::step::{Deadline, Next, Unobserved};
use millrace_model::{FailureName, keys};
use millrace_store::json;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const NUMBERS: &str = r"
  - name: numbers
    connection: source
    path: /numbers
    incremental: { field: number, param: since, start: 10 }
    paginate: none
";

/// The numbers from `since` up to 29.
fn numbers(asked: &Asked) -> Response {
    let since = asked.number("since", 0);
    json_of((since..30).map(|n| json!({ "number": n })).collect())
}

#[tokio::test]
async fn a_full_refresh_begins_where_the_first_run_did_and_a_backfill_leaves_the_cursor() {
    let source = Source::new(numbers).await;
    let mut plant = Plant::new(&source.url, NUMBERS);
    assert_eq!(plant.pull("numbers").await.len(), 20);
    assert_eq!(
        plant.run_again(2, "numbers").await.unwrap().counts["records"],
        1
    );

    plant.set_mode(RunMode::backfill("5", None).unwrap());
    assert_eq!(
        plant.run_again(3, "numbers").await.unwrap().counts["records"],
        25
    );
    let state = plant.state("numbers").await.unwrap();
    assert_eq!(state.cursor, Some(CursorValue::Number(29)));

    plant.set_mode(RunMode::FullRefresh);
    assert_eq!(
        plant.run_again(4, "numbers").await.unwrap().counts["records"],
        20
    );
    let state = plant.state("numbers").await.unwrap();
    let extents: Vec<Extent> = state.runs.iter().map(|run| run.extent).collect();
    assert_eq!(
        extents,
        [
            Extent::Usual,
            Extent::Usual,
            Extent::Part,
            Extent::Everything
        ]
    );
    let asked: Vec<Option<String>> = source
        .asked()
        .iter()
        .map(|one| one.param("since"))
        .collect();
    assert_eq!(
        asked.into_iter().flatten().collect::<Vec<_>>(),
        ["10", "29", "5", "10"]
    );
}

#[tokio::test]
async fn a_backfill_ends_where_its_range_does() {
    let source = Source::new(|asked| json_of(json!([{ "at": asked.param("from") }]))).await;
    let mut plant = Plant::new(
        &source.url,
        r#"
  - name: sales
    connection: source
    path: /sales
    params: { from: "{{ window.start }}", to: "{{ window.end }}" }
    windows: { step: 1d }
    incremental: { field: at, start: 2018-02-06 }
    paginate: none
"#,
    );
    plant.set_mode(RunMode::backfill("2018-01-01", Some("2018-01-02T12:00:00Z")).unwrap());
    assert_eq!(plant.pull("sales").await.len(), 2);
    let asked = source.asked();
    let last = &asked[1];
    assert_eq!(last.param("from").unwrap(), "2018-01-02T00:00:00Z");
    assert_eq!(last.param("to").unwrap(), "2018-01-02T12:00:00Z");
    assert_eq!(plant.state("sales").await.unwrap().cursor, None);
}

const CHILDREN: &str = r"
  - name: shops
    connection: source
    path: /shops
    paginate: none
  - name: orders
    connection: source
    path: /shops/{{ parent.id }}/orders
    parent: shops
    carry: { shop: parent.id }
    on_refusal: skip
    paginate: { page: { size: 2 } }
";

/// Eight shops with three orders each, of which the third and the sixth are closed until they are opened.
fn shops(asked: &Asked, is_open: bool) -> Response {
    let path: Vec<&str> = asked.uri.path().trim_matches('/').split('/').collect();
    let page = asked.number("page", 1);
    match path.as_slice() {
        ["shops"] => json_of((1..=8).map(|id| json!({ "id": id })).collect()),
        // The third one's second page alone is closed.
        ["shops", "3", _] if page == 2 && !is_open => StatusCode::GONE.into_response(),
        ["shops", "6", _] if !is_open => StatusCode::FORBIDDEN.into_response(),
        ["shops", _, _] => {
            let orders = [1, 2, 3].into_iter().skip(2 * (page - 1)).take(2);
            json_of(orders.map(|id| json!({ "id": id })).collect())
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

fn sorted(mut records: Vec<Value>) -> Vec<String> {
    records.sort_by_key(ToString::to_string);
    records.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn what_is_refused_is_passed_over_and_retried_whatever_happens_meanwhile() {
    let is_open = Arc::new(AtomicBool::new(true));
    let open = is_open.clone();
    let source = Source::new(move |asked| shops(asked, open.load(Ordering::SeqCst))).await;
    let clean = Plant::new(&source.url, CHILDREN);
    clean.pull("shops").await;
    let expected = sorted(clean.pull("orders").await);
    assert_eq!(expected.len(), 24);

    is_open.store(false, Ordering::SeqCst);
    let mut plant = Plant::new(&source.url, CHILDREN);
    plant.pull("shops").await;
    let output = plant.run("orders").await.unwrap();
    assert_eq!((output.next, output.counts["skipped"]), (Next::Done, 2));
    let before = plant.records("orders").await;
    assert_eq!(before.len(), 24 - 1 - 3);
    let folder = keys::dead_requests("seismology", "orders", &run_id(1));
    let dead = plant.objects.list(&folder, None, 10).await.unwrap();
    assert_eq!(dead.len(), 2);
    for entry in &dead {
        let dead: DeadRequest = json::get(&*plant.objects, &entry.key)
            .await
            .unwrap()
            .unwrap();
        assert!(
            dead.was_skipped && dead.message.contains("answered 4"),
            "{dead:?}"
        );
    }

    // What is refused again is dead again, in the name of the retry.
    plant.set_mode(RunMode::Retry { run: run_id(1) });
    plant.run_again(2, "shops").await.unwrap();
    assert_eq!(
        plant.run_again(2, "orders").await.unwrap().counts["skipped"],
        2
    );
    assert!(
        plant
            .objects
            .list(&folder, None, 10)
            .await
            .unwrap()
            .is_empty()
    );

    // The retry is killed at each call in turn, and taken up again.
    is_open.store(true, Ordering::SeqCst);
    plant.set_mode(RunMode::Retry { run: run_id(2) });
    plant.run_again(3, "shops").await.unwrap();
    let input = plant.input(3, "orders").await;
    let mut calls = 1;
    while plant
        .ingest_until(calls)
        .run(&input, Deadline::NONE, &Unobserved)
        .await
        .is_err()
    {
        calls += 1;
    }
    assert!(calls > 10, "{calls}");
    let mut all = before;
    all.extend(plant.records_of(3, "orders").await);
    assert_eq!(sorted(all), expected);
    let folder = keys::dead_requests("seismology", "orders", &run_id(2));
    assert!(
        plant
            .objects
            .list(&folder, None, 10)
            .await
            .unwrap()
            .is_empty()
    );
    let requests = source.asked().len();
    assert_eq!(plant.run_again(3, "orders").await.unwrap().next, Next::Done);
    assert_eq!(source.asked().len(), requests, "what is done is done");
}

#[tokio::test]
async fn without_skip_the_run_fails_at_what_is_refused() {
    let source = Source::new(|asked| shops(asked, false)).await;
    let plant = Plant::new(
        &source.url,
        &CHILDREN.replace("on_refusal: skip", "on_refusal: fail"),
    );
    plant.pull("shops").await;
    let failure = plant.run("orders").await.unwrap_err();
    assert_eq!(failure.name, FailureName::BadAnswer, "{failure}");
    assert!(
        failure.message.contains("/shops/3/orders?page=2"),
        "{failure}"
    );
}
