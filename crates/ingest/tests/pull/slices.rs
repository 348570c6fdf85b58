//! Resources that are pulled in slices: partitions, windows of time, and the children of parents.

use crate::plant::{Asked, Plant, Source, json_of};
use axum::response::Response;
use millrace_model::definition::pipeline::CursorValue;
use millrace_model::mode::RunMode;
use millrace_model::raw::Position;
use millrace_model::step::{Deadline, Next, Unobserved};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

#[tokio::test]
async fn partitions_and_windows_are_multiplied_and_each_slice_is_paged_through() {
    let source = Source::new(|asked| {
        let page = asked.number("page", 1);
        let rows = if page == 1 { 2 } else { 1 };
        json_of(json!(vec![json!({ "page": page }); rows]))
    })
    .await;
    let plant = Plant::new(
        &source.url,
        r#"
  - name: sales
    connection: source
    path: /{{ partition.region }}/sales
    params: { kind: "{{ partition.kind }}", from: "{{ window.start }}", to: "{{ window.end | date('%Y-%m-%d') }}" }
    partitions: { region: [emea, "a/b"], kind: [1, 2] }
    windows: { start: 2018-02-02, step: 2d }
    carry: { region: partition.region, kind: partition.kind, day: window.start }
    paginate: { page: { size: 2 } }
"#,
    );
    let records = plant.pull("sales").await;
    let asked: Vec<String> = source
        .asked()
        .iter()
        .map(|asked| asked.uri.to_string())
        .collect();
    // Runs of these tests began on 2018-02-07: the last window is a day long.
    let windows = [
        "from=2018-02-02T00%3A00%3A00Z&kind=1&to=2018-02-04",
        "from=2018-02-04T00%3A00%3A00Z&kind=1&to=2018-02-06",
        "from=2018-02-06T00%3A00%3A00Z&kind=1&to=2018-02-07",
    ];
    let expected = windows
        .iter()
        .flat_map(|window| [1, 2].map(|page| format!("/emea/sales?{window}&page={page}")));
    assert_eq!(asked[..6], expected.collect::<Vec<_>>());
    assert_eq!(asked.len(), 2 * 2 * 3 * 2);
    assert!(asked[12].starts_with("/a%2Fb/sales?"));
    assert_eq!(records.len(), 2 * 2 * 3 * 3);
    assert_eq!(
        records[3],
        json!({ "region": "emea", "kind": 1, "day": "2018-02-04T00:00:00Z", "page": 1 })
    );
    let manifests = plant.manifests("sales").await;
    assert_eq!(manifests.last().unwrap().next, Position::End);
}

#[tokio::test]
async fn windows_of_an_incremental_resource_begin_where_the_last_run_ended() {
    let source = Source::new(|asked| {
        let from = asked.param("from").unwrap();
        json_of(json!([{ "at": from }]))
    })
    .await;
    let plant = Plant::new(
        &source.url,
        r#"
  - name: sales
    connection: source
    path: /sales
    params: { from: "{{ window.start }}" }
    windows: { step: 1d }
    incremental: { field: at, start: 2018-02-04 }
    paginate: none
"#,
    );
    assert_eq!(plant.pull("sales").await.len(), 3);
    let input = plant.input(2, "sales").await;
    let output = plant
        .ingest()
        .run(&input, Deadline::NONE, &Unobserved)
        .await
        .unwrap();
    assert_eq!(output.counts["requests"], 1);
    assert_eq!(
        source.asked()[3].param("from").unwrap(),
        "2018-02-06T00:00:00Z"
    );
}

/// Customers, their orders and the orders' lines.
fn shop(asked: &Asked) -> Response {
    let path: Vec<&str> = asked.uri.path().trim_matches('/').split('/').collect();
    let page = asked.number("page", 1);
    let rows: Vec<Value> = match path.as_slice() {
        ["customers"] => (1..=7)
            .skip((page - 1) * 3)
            .take(3)
            .map(|id| json!({ "id": id, "name": format!("n{id}"), "tier": { "level": id % 2 } }))
            .collect(),
        // Customer 3 has no orders.
        ["customers", "3", "orders"] => Vec::new(),
        ["customers", id, "orders"] => {
            let id: usize = id.parse().unwrap();
            let orders = (0..id).map(|order| json!({ "number": id * 100 + order }));
            orders.skip((page - 1) * 3).take(3).collect()
        }
        ["orders", number, "lines"] => vec![json!({ "sku": format!("s{number}") })],
        _ => panic!("{}", asked.uri),
    };
    json_of(json!({ "rows": rows }))
}

const SHOP: &str = r"
  - name: customers
    connection: source
    path: /customers
    paginate: { page: { size: 3 } }
    records: rows
  - name: orders
    connection: source
    parent: customers
    path: /customers/{{ parent.id }}/orders
    carry: { customer_id: parent.id, level: parent.tier.level }
    paginate: { page: { size: 3 } }
    records: rows
  - name: lines
    connection: source
    parent: orders
    path: /orders/{{ parent.number }}/lines
    carry: { order: parent.number, customer_id: parent.customer_id }
    paginate: none
    records: rows
";

fn expected_lines() -> Vec<Value> {
    let customers = [1, 2, 4, 5, 6, 7];
    let orders = customers
        .into_iter()
        .flat_map(|id| (0..id).map(move |order| (id, id * 100 + order)));
    orders
        .map(|(id, order)| json!({ "customer_id": id, "order": order, "sku": format!("s{order}") }))
        .collect()
}

#[tokio::test]
async fn children_are_asked_for_with_each_of_their_parents_and_get_fields_of_it() {
    let source = Source::new(shop).await;
    let plant = Plant::new(&source.url, SHOP);
    plant.pull("customers").await;
    let orders = plant.pull("orders").await;
    assert_eq!(orders.len(), 25);
    assert_eq!(
        orders[1],
        json!({ "customer_id": 2, "level": 0, "number": 200 })
    );
    assert_eq!(plant.pull("lines").await, expected_lines());
    assert_eq!(plant.state("lines").await.unwrap().runs[0].records, 25);
}

#[tokio::test]
async fn a_pull_of_children_that_is_killed_again_and_again_leaves_what_a_clean_one_leaves() {
    let source = Source::new(shop).await;
    let mut plant = Plant::new(&source.url, SHOP);
    plant.limits.segment_bytes = 1;
    for name in ["customers", "orders", "lines"] {
        let input = plant.input(1, name).await;
        for calls in 3..60 {
            let dying = plant.ingest_until(calls);
            let _ = dying.run(&input, Deadline::NONE, &Unobserved).await;
        }
        plant.run(name).await.unwrap();
    }
    assert_eq!(plant.records("lines").await, expected_lines());
    let mut times: BTreeMap<String, u32> = BTreeMap::new();
    for asked in source.asked() {
        *times.entry(asked.uri.to_string()).or_default() += 1;
    }
    // A request is repeated only where its answer was not committed: not more often than the step was killed.
    assert!(times.values().sum::<u32>() < times.len() as u32 + 3 * 57);
}

#[tokio::test]
async fn a_child_waits_until_its_parent_is_complete() {
    let source = Source::new(shop).await;
    let plant = Plant::new(&source.url, SHOP);
    let input = plant.input(1, "orders").await;
    let soon = || Deadline::after(Duration::from_secs(5));
    let output = plant
        .ingest()
        .run(&input, soon(), &Unobserved)
        .await
        .unwrap();
    assert_eq!((output.next, output.wait_seconds), (Next::Wait, 15));
    assert_eq!(output.input, input, "waiting is no invocation that counts");
    assert!(source.asked().is_empty());
    // A task waits by itself.
    let ingest = plant.ingest();
    let waiting = ingest.run(&input, Deadline::NONE, &Unobserved);
    let parent = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        plant.pull("customers").await
    };
    let (output, _) = tokio::join!(waiting, parent);
    assert_eq!(output.unwrap().next, Next::Done);
    assert_eq!(plant.records("orders").await.len(), 25);
}

#[tokio::test]
async fn a_parent_without_records_has_no_children() {
    let source = Source::new(|_| json_of(json!({ "rows": [] }))).await;
    let plant = Plant::new(&source.url, SHOP);
    for name in ["customers", "orders", "lines"] {
        assert_eq!(plant.pull(name).await, [0; 0]);
        let manifests = plant.manifests(name).await;
        assert_eq!(manifests.last().unwrap().next, Position::End);
    }
    assert_eq!(source.asked().len(), 1);
}

/// A source whose regions number their sales each on its own.
async fn regions(sales: &'static [(&'static str, i64)]) -> Source {
    Source::new(move |asked| {
        let region = asked.uri.path().trim_start_matches('/').to_owned();
        let since = asked.number("since", 0) as i64;
        let all = sales.iter().find(|(name, _)| *name == region).unwrap().1;
        let rows: Vec<Value> = (since + 1..=all).map(|id| json!({ "id": id })).collect();
        json_of(json!(rows))
    })
    .await
}

fn by_region(regions: &str) -> String {
    format!(
        r"
  - name: sales
    connection: source
    path: /{{{{ partition.region }}}}
    partitions: {{ region: {regions} }}
    carry: {{ region: partition.region }}
    incremental: {{ field: id, param: since, start: 0 }}
    paginate: none
"
    )
}

#[tokio::test]
async fn each_partition_goes_on_where_it_has_come_itself() {
    let before = regions(&[("eu", 40), ("us", 5)]).await;
    let mut plant = Plant::new(&before.url, &by_region("[eu, us]"));
    assert_eq!(plant.pull("sales").await.len(), 45);

    let now = regions(&[("asia", 3), ("eu", 41), ("us", 8)]).await;
    plant.redefine(&now.url, &by_region("[asia, eu, us]"));
    // Killed, and taken up: it starts where it did before, whatever a run beside it has done meanwhile.
    let input = plant.input(2, "sales").await;
    for calls in 4..16 {
        let _ = plant
            .ingest_until(calls)
            .run(&input, Deadline::NONE, &Unobserved)
            .await;
    }
    assert_eq!(plant.run_again(2, "sales").await.unwrap().next, Next::Done);
    let mut asked: Vec<String> = now
        .asked()
        .iter()
        .map(|asked| asked.uri.to_string())
        .collect();
    asked.sort();
    asked.dedup();
    // A partition that is new is pulled from the start.
    assert_eq!(asked, ["/asia?since=0", "/eu?since=40", "/us?since=5"]);
    assert_eq!(plant.records_of(2, "sales").await.len(), 3 + 1 + 3);

    // A range that is pulled again leaves them alone.
    let known = plant.state("sales").await.unwrap().cursors;
    plant.set_mode(RunMode::Backfill {
        from: CursorValue::Number(0),
        to: None,
    });
    assert_eq!(plant.run_again(3, "sales").await.unwrap().next, Next::Done);
    assert_eq!(plant.records_of(3, "sales").await.len(), 3 + 41 + 8);
    assert_eq!(plant.state("sales").await.unwrap().cursors, known);
    assert_eq!(known[r#"{"region":"us"}"#], CursorValue::Number(8));
}
