//! Endpoints whose recent rows lie in the store and whose older ones lie in the lake, as their author checks and tests them.

use crate::support::{Author, text};
use sample::Options;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

const SHOP: &str = "
pipeline: shop
resources: [{ name: orders, connection: usgs, path: /orders, key: [id] }]
tables: [{ name: orders, from: orders, write: upsert, columns: { at: { type: timestamp }, more: { type: json } } }]
publish:
  - { table: orders, to: operational_store, as: sales.orders, recent: { by: at, keep: 30d } }
  - { table: orders, to: lake, as: sales.orders }
";

const ORDERS: &str = "
metadata: { name: orders, description: Orders of a tenant }
routes:
  /orders:
    datasource: operational_store
    older: lake
    query: SELECT id, at, amount, note, more FROM sales.orders WHERE owner = :owner ORDER BY at DESC NULLS LAST
    params: [{ name: owner, type: string, claim: tenant }]
    mask: { note: notes }
    sort: [at]
    auth: { secret_path: aws::secret/millrace/consumers }
  /orders/{id}:
    datasource: operational_store
    older: lake
    table: sales.orders
    key: [id]
    columns: [id, amount]
    params: [{ name: id, type: int }]
  /recent:
    datasource: operational_store
    query: SELECT id FROM sales.orders ORDER BY id
  /all:
    datasource: operational_store
    older: lake
    query: SELECT id FROM sales.orders ORDER BY at DESC NULLS LAST
";

const TESTS: &str = "
tables:
  sales.orders:
    columns: { id: int, at: timestamp, amount: int, owner: string, note: string, more: json }
    key: [id]
    recent_from: 2026-03-02T00:00:00Z
    rows:
      - { id: 1, at: 2026-03-01T23:59:59Z, amount: 5, owner: acme, note: older, more: { a: [1] } }
      - { id: 2, at: 2026-03-02T00:00:00Z, amount: 7, owner: acme, note: recent, more: { b: 2 } }
      - { id: 3, at: 2026-04-01T00:00:00Z, amount: 1, owner: acme }
      - { id: 4, amount: 9, owner: acme, note: without a day }
      - { id: 5, at: 2026-02-01T00:00:00Z, amount: 9, owner: else }
tests:
  - name: a tenant has its own of both halves, and no notes
    get: /orders
    caller: { claims: { tenant: acme } }
    rows:
      - { id: 3, more: null }
      - { id: 2, note: null, more: { b: 2 } }
      - { id: 1, note: null, more: { a: [1] } }
      - { id: 4, note: null }
    index: [owner, at]
  - name: the oldest come first where they are asked for
    get: /orders
    params: { sort: at }
    caller: { claims: { tenant: acme }, scopes: [notes] }
    rows: [{ id: 1, note: older }, { id: 2, note: recent }, { id: 3 }, { id: 4, note: without a day }]
  - { name: a recent row by its key, get: /orders/2, rows: [{ amount: 7 }], index: [id] }
  - { name: an older row by its key, get: /orders/1, rows: [{ amount: 5 }] }
  - { name: the store has the recent rows, get: /recent, rows: [{ id: 2 }, { id: 3 }] }
  - { name: all are read by their moment, get: /all, count: 5, index: [at] }
";

const LATEST: &str = "
metadata: { name: latest, description: The latest earthquakes }
routes:
  /latest:
    datasource: operational_store
    older: lake
    query: SELECT id, place FROM seismology.quakes ORDER BY occurred_at DESC NULLS LAST
";

const BY_PLACE: &str = "
metadata: { name: by_place, description: Earthquakes of a place }
routes:
  /places/{place}/quakes:
    datasource: operational_store
    older: lake
    query: SELECT id, magnitude FROM seismology.quakes WHERE place = :place ORDER BY occurred_at DESC
    params: [{ name: place, type: string }]
";

#[tokio::test(flavor = "multi_thread")]
async fn tests_bring_rows_of_both_halves() {
    let sample = sample::start(Options::default())
        .await
        .expect("the sample source");
    let author = Author::with_shipped_definitions(&sample);
    let file = author.path("endpoints/tests/orders.yaml");
    fs::write(author.path("pipelines/shop.yaml"), SHOP).expect("a file");
    fs::write(author.path("endpoints/orders.yaml"), ORDERS).expect("a file");
    fs::write(&file, TESTS).expect("a file");
    author.millrace(&["check"]);
    let said = author.millrace(&["test", "orders"]);
    assert!(said.contains("ok: 6 tests of 1 endpoints"), "{said}");

    // Where nothing is said, the store has all that say how old they are.
    let all = TESTS
        .replace("    recent_from: 2026-03-02T00:00:00Z\n", "")
        .replace(
            "rows: [{ id: 2 }, { id: 3 }]",
            "rows: [{ id: 1 }, { id: 2 }, { id: 3 }, { id: 5 }]",
        );
    fs::write(&file, all).expect("a file");
    author.millrace(&["test", "orders"]);

    for (from, to, said) in [
        (
            "at: timestamp",
            "at: string",
            "tables[sales.orders].columns: `at` says which rows",
        ),
        (
            "    key: [id]\n",
            "",
            "tables[sales.orders].key: a route with `older` reads",
        ),
        (
            "recent_from: 2026",
            "recent_from: in 2026",
            "tables[sales.orders].recent_from: a moment is written",
        ),
    ] {
        fs::write(&file, TESTS.replace(from, to)).expect("a file");
        let found = text(&author.output(&["check"]).stdout);
        assert!(found.contains(said), "{said}: {found}");
        assert!(found.starts_with("endpoints/tests/orders.yaml:"), "{found}");
    }
    fs::write(&file, TESTS).expect("a file");
    let whole = SHOP.replace(", recent: { by: at, keep: 30d }", "");
    fs::write(author.path("pipelines/shop.yaml"), whole).expect("a file");
    let found = text(&author.output(&["check"]).stdout);
    for said in [
        "endpoints/orders.yaml:6: routes[/orders].older: the store has all rows of `sales.orders`",
        "endpoints/tests/orders.yaml:6: tables[sales.orders].recent_from: no pipeline keeps the recent rows",
    ] {
        assert!(found.contains(said), "{said}: {found}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_published_is_checked_and_tested_by_halves() {
    let sample = sample::start(Options {
        records: 15_000,
        ..Options::default()
    })
    .await
    .expect("the sample source");
    let author = Author::with_shipped_definitions(&sample).unlimited();
    let change = |file: &str, from: &str, to: &str| {
        let file = author.path(file);
        let changed = fs::read_to_string(&file).expect("a definition");
        assert!(changed.contains(from), "{changed}");
        fs::write(&file, changed.replace(from, to)).expect("a file");
    };
    // The source's reports are of the nine weeks from February 2018 on; those of the first two are not kept.
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let kept = now.expect("a clock").as_secs() - 1_518_400_000;
    change(
        "pipelines/earthquakes.yaml",
        "as: seismology.quakes }",
        &format!(
            "as: seismology.quakes, recent: {{ by: occurred_at, keep: {}d }} }}\n  \
             - {{ table: quakes, to: lake, as: seismology.quakes }}",
            kept / 86_400
        ),
    );
    change(
        "endpoints/quakes.yaml",
        "datasource: operational_store",
        "datasource: operational_store\n    older: lake",
    );
    change(
        "endpoints/quakes.yaml",
        "occurred_at DESC",
        "occurred_at DESC NULLS LAST",
    );
    fs::write(author.path("endpoints/latest.yaml"), LATEST).expect("a file");
    author.millrace(&["run", "earthquakes", "--publish"]);
    let served = author.serve();
    let walked = walk(
        &format!("{}/quakes?limit=1000&min_magnitude=-9", served.url),
        &served.key,
    )
    .await;
    let ids: BTreeSet<&str> = walked.iter().filter_map(|row| row["id"].as_str()).collect();
    let strong = walked
        .iter()
        .filter(|row| row["magnitude"].as_f64() >= Some(5.0))
        .count();
    assert!(
        ids.len() == walked.len() && walked.len() > 14_000,
        "{}",
        walked.len()
    );

    let described = author.millrace(&["postgres", "start", "--json"]);
    let described: Value = serde_json::from_str(&described).expect("JSON");
    let mut reader = described["reader"].clone();
    for field in ["host", "port", "dbname", "sslmode"] {
        reader[field] = described[field].clone();
    }
    fs::write(author.path("reader.json"), reader.to_string()).expect("a file");
    let check = ["check", "--store", "reader.json"];
    author.millrace(&check);

    // Without tables of their own, tests are asked of what was published.
    let tests = format!(
        "tests:\n  - {{ name: all strong ones, get: /quakes, params: {{ limit: 1000 }}, count: {strong}, index: [magnitude] }}\n"
    );
    fs::write(author.path("endpoints/tests/quakes.yaml"), tests).expect("a file");
    let said = author.millrace(&["test", "quakes"]);
    assert!(said.contains("ok: 1 tests of 1 endpoints"), "{said}");

    fs::write(author.path("endpoints/by_place.yaml"), BY_PLACE).expect("a file");
    let refused = author.output(&check);
    let said = text(&refused.stdout);
    assert!(!refused.status.success(), "{said}");
    for part in [
        "endpoints/by_place.yaml: routes[/places/{place}/quakes].query: ",
        "rows of seismology.quakes",
        "the next publish of the table makes the index that it needs, on (place",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

/// The rows of all pages.
async fn walk(first: &str, key: &str) -> Vec<Value> {
    let (client, mut rows, mut cursor) = (reqwest::Client::new(), Vec::new(), String::new());
    loop {
        let request = client
            .get(format!("{first}{cursor}"))
            .header("x-api-key", key);
        let answer = request.send().await.expect("an answer");
        let mut body: Value = answer.json().await.expect("JSON");
        rows.append(body["data"].as_array_mut().expect("rows"));
        match body["page"]["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return rows,
        }
    }
}
