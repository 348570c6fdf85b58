//! Endpoints as their author changes them: checked before a merge, and taken up while callers ask.

use crate::store::{Role, Store};
use crate::support::{Author, text};
use sample::Options;
use serde_json::Value;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const BY_PLACE: &str = "
metadata: { name: by_place, description: Earthquakes of a place }
routes:
  /places/{place}/quakes:
    datasource: operational_store
    query: SELECT id, magnitude FROM seismology.quakes WHERE place = :place ORDER BY id
    params: [{ name: place, type: string }]
";

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_would_scan_fails_the_check_until_its_index_is_published() {
    let sample = sample::start(Options {
        records: 15_000,
        ..Options::default()
    })
    .await
    .expect("the sample source");
    let author = Author::with_shipped_definitions(&sample).unlimited();
    author.millrace(&["run", "earthquakes", "--publish"]);
    // Holds the store up.
    let _served = author.serve();
    let described = author.millrace(&["postgres", "start", "--json"]);
    let described: Value = serde_json::from_str(&described).expect("JSON");
    let mut reader = described["reader"].clone();
    for field in ["host", "port", "dbname", "sslmode"] {
        reader[field] = described[field].clone();
    }
    fs::write(author.path("reader.json"), reader.to_string()).expect("a file");
    let check = ["check", "--store", "reader.json"];
    author.millrace(&check);

    fs::write(author.path("endpoints/by_place.yaml"), BY_PLACE).expect("a file");
    let refused = author.output(&check);
    let said = text(&refused.stdout);
    assert!(!refused.status.success(), "{said}");
    for part in [
        "endpoints/by_place.yaml: routes[/places/{place}/quakes].query",
        "rows of seismology.quakes",
        "the next publish of the table makes the index that it needs, on (place",
        "(cost ",
        "Filter: ",
        "on quakes",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    author.millrace(&["run", "earthquakes", "--publish"]);
    author.millrace(&check);
}

fn endpoint(columns: &str) -> String {
    format!(
        "metadata: {{ name: things, description: Things }}\nroutes:\n  /things:\n    datasource: operational_store\n    \
         query: SELECT {columns} FROM s.things WHERE id >= :least ORDER BY id\n    \
         params: [{{ name: least, type: int, default: 1 }}]\n"
    )
}

const OF_A_TENANT: &str = "
metadata: { name: mine, description: What is the caller's own }
routes:
  /mine:
    datasource: operational_store
    query: SELECT id, name, secret FROM s.things WHERE owner = :owner AND made_on >= :since ORDER BY id
    params:
      - { name: owner, type: string, claim: tenant }
      - { name: since, type: date, default: 2026-01-01 }
    methods: [GET, POST]
    auth: { secret_path: aws::secret/millrace/consumers }
    scopes: [things:read]
    mask: { secret: secrets }
";

const THINGS: &str = "
pipeline: things
resources: [{ name: things, connection: usgs, path: /things, key: [id] }]
tables: [{ name: things, from: things, write: upsert }]
publish: [{ table: things, to: operational_store, as: s.things }]
";

const TESTS_OF_A_TENANT: &str = "
tables:
  s.things:
    columns: { id: int, name: string, owner: string, secret: json, made_on: date }
    key: [id]
    rows:
      - { id: 1, name: O'Neil, owner: acme, secret: { a: [1] }, made_on: 2026-02-01 }
      - { id: 2, name: other, owner: else, made_on: 2026-02-01 }
      - { id: 3, name: old, owner: acme, made_on: 2025-02-01 }
tests:
  - name: a tenant sees its own
    get: /mine
    caller: { claims: { tenant: acme } }
    rows: [{ id: 1, name: O'Neil, secret: null }]
    index: [owner]
  - name: those who may see secrets do
    post: /mine
    params: { since: 2025-01-01 }
    caller: { scopes: [things:read, secrets], claims: { tenant: acme } }
    rows: [{ id: 1, secret: { a: [1] } }, { id: 3, secret: null }]
  - { name: without a tenant nothing, get: /mine, error: { status: 403, says: tenant } }
  - { name: without the scope nothing, get: /mine, caller: { scopes: [] }, error: { status: 403, says: things:read } }
";

#[tokio::test(flavor = "multi_thread")]
async fn tests_of_endpoints_pass_and_say_what_differs() {
    let sample = sample::start(Options::default())
        .await
        .expect("the sample source");
    let author = Author::with_shipped_definitions(&sample);
    let said = author.millrace(&["test"]);
    assert!(said.contains("ok: 9 tests of 3 endpoints"), "{said}");

    fs::write(author.path("pipelines/things.yaml"), THINGS).expect("a file");
    fs::write(author.path("endpoints/mine.yaml"), OF_A_TENANT).expect("a file");
    let file = author.path("endpoints/tests/mine.yaml");
    fs::write(&file, TESTS_OF_A_TENANT).expect("a file");
    let said = author.millrace(&["test", "mine"]);
    assert!(said.contains("ok: 4 tests of 1 endpoints"), "{said}");
    // Tables of the tests' own are in nobody's way.
    author.millrace(&["test", "quakes"]);

    // Where the rows lie in the lake the same holds, and no index is read.
    let in_the_lake = THINGS
        .replace("upsert", "upsert, columns: { secret: { type: json } }")
        .replace(
            "publish: [",
            "publish: [{ table: things, to: lake, as: s.things }, ",
        );
    fs::write(author.path("pipelines/things.yaml"), in_the_lake).expect("a file");
    let over_the_lake = OF_A_TENANT.replace("operational_store", "lake");
    fs::write(author.path("endpoints/mine.yaml"), over_the_lake).expect("a file");
    let without_index = TESTS_OF_A_TENANT.replace("    index: [owner]\n", "");
    fs::write(&file, without_index).expect("a file");
    let said = author.millrace(&["test", "mine"]);
    assert!(said.contains("ok: 4 tests of 1 endpoints"), "{said}");
    fs::write(author.path("endpoints/mine.yaml"), OF_A_TENANT).expect("a file");

    let wrong = TESTS_OF_A_TENANT
        .replace(
            "{ id: 1, name: O'Neil, secret: null }",
            "{ id: 2, name: O'Neil }, { id: 3 }",
        )
        .replace("says: tenant", "says: acme")
        .replace("status: 403, says: things:read", "status: 404");
    fs::write(&file, wrong).expect("a file");
    let refused = author.output(&["test", "mine"]);
    let said = text(&refused.stdout);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    for part in [
        "FAILED  a tenant sees its own: GET /mine",
        "row 1: `id` is 1, and 2 was expected",
        "row 2 is missing: {\"id\":3}",
        "ok      those who may see secrets do",
        "and `acme` was expected in it",
        "its status is 403, and 404 was expected: this route needs the scope `things:read`",
        "not ok: 3 of 4 tests failed",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }

    // An index that no endpoint asks for is not there; a row that fits no column is told of; so is a field that is none.
    fs::write(
        &file,
        TESTS_OF_A_TENANT.replace("index: [owner]", "index: [name]"),
    )
    .expect("a file");
    let said = text(&author.output(&["test", "mine"]).stdout);
    assert!(
        said.contains("begins with (name), and is read by (owner"),
        "{said}"
    );
    fs::write(
        &file,
        TESTS_OF_A_TENANT.replace("id: 2, name", "id: two, name"),
    )
    .expect("a file");
    let said = text(&author.output(&["test", "mine"]).stderr);
    assert!(
        said.contains("the rows of s.things do not fit its columns"),
        "{said}"
    );
    fs::write(
        &file,
        TESTS_OF_A_TENANT.replace("get: /mine", "geet: /mine"),
    )
    .expect("a file");
    let said = text(&author.output(&["check"]).stdout);
    assert!(
        said.contains("endpoints/tests/mine.yaml:12: tests[0].geet"),
        "{said}"
    );
    fs::write(author.path("endpoints/tests/yours.yaml"), TESTS_OF_A_TENANT).expect("a file");
    let said = text(&author.output(&["check"]).stdout);
    assert!(said.contains("there is no endpoint `yours`"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_definition_answers_anew_and_a_broken_one_leaves_the_old_under_load() {
    let store = Store::new();
    let owner = store.connect(Role::Owner).await;
    let rows = "CREATE SCHEMA s; CREATE TABLE s.things AS SELECT n AS id, 'thing ' || n AS name FROM generate_series(1, 500) AS n;
                ALTER TABLE s.things ADD PRIMARY KEY (id);";
    owner.batch_execute(rows).await.expect("a table");
    grant(&owner, &store, "s").await;
    store.put_endpoint("things", &endpoint("id"));
    let server = Arc::new(store.serve(4).await);

    let (stop, answers) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let (server, stop, answers) = (server.clone(), stop.clone(), answers.clone());
            tokio::spawn(async move {
                let client = reqwest::Client::new();
                while !stop.load(Ordering::Relaxed) {
                    let request = client.get(format!("{}/things?limit=3", server.url));
                    let answer = request.send().await.expect("an answer");
                    assert_eq!(
                        answer.status(),
                        200,
                        "{}",
                        answer.text().await.unwrap_or_default()
                    );
                    answers.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let columns = async || {
        let answer = reqwest::get(format!("{}/things?limit=1", server.url)).await;
        let body: Value = answer.expect("an answer").json().await.expect("JSON");
        let row = body["data"][0].as_object().cloned().unwrap_or_default();
        row.keys().cloned().collect::<Vec<_>>().join(",")
    };
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(columns().await, "id");

    store.put_endpoint("things", &endpoint("id, name"));
    let changed = Instant::now();
    while columns().await != "id,name" {
        assert!(
            changed.elapsed() < Duration::from_secs(30),
            "it still answers as before"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let took = changed.elapsed();

    store.put_endpoint("things", &endpoint("id, name").replace(":least", ":most"));
    let broken = Instant::now();
    while !server.log().contains("the definition is broken") {
        assert!(
            broken.elapsed() < Duration::from_secs(30),
            "nobody says so: {}",
            server.log()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(server.log().contains("`:most`"), "{}", server.log());
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(columns().await, "id,name");
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.expect("every request was answered with data");
    }
    println!(
        "the change was answered after {took:.1?}; {} requests, none failed",
        answers.load(Ordering::Relaxed)
    );
}

/// Lets the reader read a schema that a test made, as publish does.
pub async fn grant(owner: &tokio_postgres::Client, store: &Store, schema: &str) {
    let secret = store.secret(Role::Reader);
    let reader = secret["username"].as_str().expect("a name");
    let grant = format!(
        "GRANT USAGE ON SCHEMA {schema} TO \"{reader}\"; GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO \"{reader}\""
    );
    owner.batch_execute(&grant).await.expect("a grant");
}
