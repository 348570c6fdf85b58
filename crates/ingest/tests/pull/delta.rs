//! OData's delta links: a run begins where the source told the one before.

use crate::plant::{Asked, Plant, Source, json_of};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const RESOURCE: &str = "
  - name: items
    connection: source
    path: /Items
    records: value
    paginate: odata_delta
";

/// A service whose tokens are how many changes there were. Those below `forgotten` it does not know any more.
fn service(asked: &Asked, forgotten: usize) -> Response {
    let link = |query: String| {
        format!(
            "http://{}/Items?{query}",
            asked.headers["host"].to_str().unwrap()
        )
    };
    if let Some(token) = asked.param("$deltatoken") {
        let token: usize = token.parse().unwrap();
        if token < forgotten {
            return StatusCode::GONE.into_response();
        }
        return json_of(json!({
            "value": [{ "Id": 2, "Name": format!("changed {token}") }, { "@removed": {}, "Id": 1 }],
            "@odata.deltaLink": link(format!("$deltatoken={}", token + 1)),
        }));
    }
    match asked.number("$skiptoken", 0) {
        0 => json_of(
            json!({ "value": [{ "Id": 1 }], "@odata.nextLink": link("$skiptoken=1".into()) }),
        ),
        _ => json_of(
            json!({ "value": [{ "Id": 2 }], "@odata.deltaLink": link("$deltatoken=0".into()) }),
        ),
    }
}

fn ids(records: &[Value]) -> Vec<u64> {
    let ids = records.iter().map(|record| record["Id"].as_u64().unwrap());
    ids.collect()
}

#[tokio::test]
async fn each_run_asks_for_what_changed_since_the_one_before() {
    let source = Source::new(|asked| service(asked, 0)).await;
    let plant = Plant::new(&source.url, RESOURCE);
    assert_eq!(ids(&plant.pull("items").await), [1, 2]);
    for run in [2, 3] {
        plant.run_again(run, "items").await.unwrap();
        assert_eq!(ids(&plant.records_of(run, "items").await), [2, 1]);
    }
    let asked: Vec<String> = source
        .asked()
        .iter()
        .map(|asked| asked.uri.to_string())
        .collect();
    assert_eq!(
        asked,
        [
            "/Items",
            "/Items?$skiptoken=1",
            "/Items?$deltatoken=0",
            "/Items?$deltatoken=1"
        ]
    );
    assert_eq!(source.asked()[0].headers["prefer"], "odata.track-changes");
}

#[tokio::test]
async fn a_link_that_has_run_out_leads_to_a_whole_pull() {
    let forgotten = Arc::new(AtomicUsize::new(0));
    let limit = forgotten.clone();
    let source = Source::new(move |asked| service(asked, limit.load(Ordering::Relaxed))).await;
    let plant = Plant::new(&source.url, RESOURCE);
    plant.pull("items").await;
    forgotten.store(9, Ordering::Relaxed);
    plant.run_again(2, "items").await.unwrap();
    assert_eq!(ids(&plant.records_of(2, "items").await), [1, 2]);
    let state = plant.state("items").await.unwrap();
    assert!(
        format!("{:?}", state.cursor).contains("deltatoken=0"),
        "{:?}",
        state.cursor
    );
}

#[tokio::test]
async fn the_links_of_version_2_are_read_as_well() {
    let source = Source::new(|asked| {
        let more = asked.param("!deltatoken").is_some();
        json_of(json!({ "d": {
            "results": [{ "Id": if more { 7 } else { 1 } }],
            "__delta": format!("http://{}/Items?!deltatoken='D2'", asked.headers["host"].to_str().unwrap()),
        } }))
    })
    .await;
    let plant = Plant::new(&source.url, &RESOURCE.replace("value", "d.results"));
    assert_eq!(ids(&plant.pull("items").await), [1]);
    plant.run_again(2, "items").await.unwrap();
    assert_eq!(ids(&plant.records_of(2, "items").await), [7]);
}
