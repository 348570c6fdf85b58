//! Answers that the store and the lake give together: recent rows from the one, older ones from the other.

#![allow(clippy::unwrap_used, reason = "a test's way to fail")]

use arrow::array::{
    ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use bytes::Bytes;
use http::Request;
use millrace_lake::{Commit, Lake, Table, WriteKind};
use millrace_model::definition::Datasource;
use millrace_model::definition::set::DefinitionSet;
use millrace_model::ledger::RunId;
use millrace_model::step::{Deadline, StepInput, Unobserved};
use millrace_postgres::private::PrivateServer;
use millrace_publish::Publish;
use millrace_serve::Serve;
use millrace_serve::source::Sources;
use millrace_serve_lake::{LakeSource, Room};
use millrace_serve_postgres::Postgres;
use millrace_store::definitions;
use millrace_store::objects::{Folder, Objects};
use millrace_store::secrets::LocalSecrets;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::Value;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

const KEY: &str = "tables/shop/orders";
const DAY: i64 = 86_400;
const MICROS: i64 = 1_000_000;
/// When the first run starts.
const START: i64 = 20_000 * DAY;

const PIPELINE: &str = "
pipeline: shop
description: A shop
resources:
  - { name: orders, connection: shop, path: /orders, records: items, key: [name, id] }
tables:
  - name: orders
    from: orders
    write: upsert
    key: [name, id]
publish:
  - { table: orders, to: operational_store, as: sales.orders, recent: { by: at, keep: 1d } }
  - { table: orders, to: lake, as: sales.orders }
";

/// Routes, each with its query, its parameters, and what callers may sort by. Each is there twice: `/both/…` and
/// `/lake/…`.
const ROUTES: [(&str, &str, &str); 6] = [
    (
        "down",
        "SELECT id, name, at, weight FROM sales.orders ORDER BY at DESC",
        "",
    ),
    (
        "up",
        "SELECT at AS moment, id, name FROM sales.orders AS o ORDER BY o.at, name DESC",
        "",
    ),
    (
        "last",
        "SELECT * FROM sales.orders WHERE weight >= :least ORDER BY at DESC NULLS LAST",
        "{ name: least, type: double, default: -9 }",
    ),
    (
        "first",
        "SELECT id, name, at FROM sales.orders ORDER BY at ASC NULLS FIRST, id",
        "",
    ),
    (
        "since",
        "SELECT id, name, at FROM sales.orders WHERE (:since IS NULL OR at >= :since) ORDER BY at DESC",
        "{ name: since, type: timestamp }",
    ),
    (
        "one",
        "SELECT id, name, at, weight FROM sales.orders WHERE name = :name AND id = :id",
        "{ name: name, type: string, required: true }, { name: id, type: int, required: true }",
    ),
];

/// A row's name and number.
type Id = (&'static str, i64);
/// Its moment in microseconds, and its weight.
type Order = (Option<i64>, i64);
type Orders = BTreeMap<Id, Order>;

/// Names that collations and bytes order differently.
const NAMES: [&str; 4] = ["a", "B", "é", "z"];

struct Place {
    serve: Serve,
    publish: Publish,
    lake: Lake,
    objects: Arc<dyn Objects>,
    secrets: Arc<LocalSecrets>,
    input: StepInput,
    set: DefinitionSet,
    _server: PrivateServer,
    dir: TempDir,
}

impl Place {
    async fn new() -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("postgres");
        let server = PrivateServer::start(&folder, None).await.unwrap();
        let (owner, reader) = server.fresh_store("united").await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let objects: Arc<dyn Objects> = Arc::new(Folder::new(dir.path()));
        let lake = Lake::at(dir.path().to_str().unwrap()).unwrap();
        let secrets = [
            (LocalSecrets::variable("owner"), owner.to_secret()),
            (LocalSecrets::variable("reader"), reader.to_secret()),
            (LocalSecrets::variable("seal"), "sealed".to_owned()),
        ];
        let secrets = Arc::new(LocalSecrets::new(None, secrets));
        let (set, input) = define(&objects).await;
        Self {
            serve: serve(&lake, &objects, &secrets),
            publish: Publish::new(
                objects.clone(),
                lake.clone(),
                secrets.clone(),
                "owner".to_owned(),
            ),
            lake,
            objects,
            secrets,
            input,
            set,
            _server: server,
            dir,
        }
    }

    /// Lets another process answer, which knows nothing yet.
    fn begin_anew(&mut self) {
        self.serve = serve(&self.lake, &self.objects, &self.secrets);
    }

    /// Puts these rows in the place of those that are there, in two files.
    async fn put(&self, orders: &Orders) {
        let table = self.lake.table(KEY).await.unwrap();
        let (even, odd): (Orders, Orders) = orders.iter().partition(|((_, id), _)| id % 2 == 0);
        let schema = batch(orders).schema();
        let mut added = Vec::new();
        for half in [even, odd] {
            let mut writer = self.lake.writer(KEY, schema.clone());
            writer.write(&batch(&half)).await.unwrap();
            added.extend(writer.finish().await.unwrap());
        }
        let commit = Commit {
            // Upserts never take a row away.
            kind: WriteKind::Replace,
            added,
            removed: table.as_ref().map_or_else(Vec::new, Table::files),
            schema,
            sequence: table.as_ref().map_or(0, Table::version) + 1,
            brought: None,
            note: None,
        };
        match table {
            None => self.lake.create(KEY, commit).await.map(drop).unwrap(),
            Some(table) => table.commit(commit).await.map(drop).unwrap(),
        }
    }

    async fn published_at(&self, seconds: i64) {
        let input = StepInput {
            run: RunId::new("shop", seconds, 7),
            ..self.input.clone()
        };
        let published = self.publish.run(&input, Deadline::NONE, &Unobserved);
        published.await.unwrap();
    }

    async fn get(&self, path: &str, accept: &str) -> (u16, Bytes) {
        let request = Request::get(path).header("accept", accept);
        let answer = self.serve.handle(request.body(Bytes::new()).unwrap()).await;
        (answer.status().as_u16(), answer.body().clone())
    }

    /// A page's rows, and the next one's path.
    async fn page(&self, path: &str) -> (Vec<Value>, Option<String>) {
        let (status, body) = self.get(path, "application/json").await;
        assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&body));
        let mut body: Value = serde_json::from_slice(&body).unwrap();
        let next = body["page"]["next"].as_str().map(|next| {
            let (before, _) = path.split_once("&cursor=").unwrap_or((path, ""));
            format!("{before}&cursor={next}")
        });
        (std::mem::take(body["data"].as_array_mut().unwrap()), next)
    }

    async fn all(&self, path: &str) -> Vec<Value> {
        let (mut rows, mut next) = self.page(path).await;
        while let Some(path) = next {
            let (more, behind) = self.page(&path).await;
            rows.extend(more);
            next = behind;
        }
        rows
    }
}

fn serve(lake: &Lake, objects: &Arc<dyn Objects>, secrets: &Arc<LocalSecrets>) -> Serve {
    let room = Room::halves(256 * 1024 * 1024);
    let seal = "seal".to_owned();
    let lake = LakeSource::new(lake.clone(), objects.clone(), secrets.clone(), seal, &room);
    let store = Postgres::new(secrets.clone(), "reader".to_owned());
    let sources = Sources::of(Datasource::OperationalStore, store);
    let sources = sources.and(Datasource::Lake, lake.unwrap());
    Serve::new(objects.clone(), secrets.clone(), sources)
}

async fn define(objects: &Arc<dyn Objects>) -> (DefinitionSet, StepInput) {
    let routes = |prefix: &str, datasource: &str| {
        let routes = ROUTES.iter().map(|(name, query, params)| {
            let query = serde_json::json!(query);
            let sort = if *name == "down" { "[at]" } else { "[]" };
            format!(
                "  /{prefix}/{name}:\n    {datasource}\n    query: {query}\n    params: [{params}]\n    sort: {sort}\n"
            )
        });
        routes.collect::<String>()
    };
    let endpoint = format!(
        "metadata: {{ name: both, description: The same twice }}\nroutes:\n{}{}",
        routes("both", "datasource: operational_store\n    older: lake"),
        routes("lake", "datasource: lake")
    );
    let files = [
        ("pipelines/shop.yaml", PIPELINE.to_owned()),
        (
            "connections/shop.yaml",
            "connection: shop\nbase_url: https://shop.invalid\nauth: none\n".to_owned(),
        ),
        ("endpoints/both.yaml", endpoint),
    ];
    for (file, text) in &files {
        let key = format!("definitions/{file}");
        objects.put(&key, Bytes::from(text.clone())).await.unwrap();
    }
    let files = files.map(|(file, text)| (file.to_owned(), text));
    let (set, problems) = DefinitionSet::parse(files);
    assert!(problems.is_empty(), "{problems:?}");
    let pinned = set.pin("shop").unwrap();
    let definition = definitions::pin(&**objects, &pinned).await.unwrap();
    let input = StepInput {
        run: RunId::new("shop", START, 7),
        pipeline: "shop".to_owned(),
        definition,
        name: "sales.orders".to_owned(),
        invocation: 0,
    };
    (set, input)
}

fn batch(orders: &Orders) -> RecordBatch {
    let moments: Vec<Option<i64>> = orders.values().map(|(at, _)| *at).collect();
    let weights: Vec<f64> = orders
        .values()
        .map(|(_, weight)| *weight as f64 / 2.0)
        .collect();
    let columns: [(&str, ArrayRef); 4] = [
        (
            "id",
            Arc::new(Int64Array::from_iter_values(
                orders.keys().map(|(_, id)| *id),
            )),
        ),
        (
            "name",
            Arc::new(StringArray::from_iter_values(
                orders.keys().map(|(name, _)| *name),
            )),
        ),
        (
            "at",
            Arc::new(TimestampMicrosecondArray::from(moments).with_timezone("UTC")),
        ),
        ("weight", Arc::new(Float64Array::from(weights))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true)))
        .unwrap()
}

/// Rows on both sides of the boundary of the first run, on it, and without a moment; some of one moment.
fn orders() -> Orders {
    let moments = [
        Some(-3 * DAY * MICROS),
        Some(-DAY * MICROS - 1),
        Some(-DAY * MICROS),
        Some(-DAY * MICROS + 1),
        Some(0),
        None,
    ];
    let mut orders = Orders::new();
    for name in NAMES {
        for (id, moment) in moments.into_iter().enumerate() {
            let at = moment.map(|moment| START * MICROS + moment);
            orders.insert((name, id as i64), (at, id as i64));
        }
    }
    orders
}

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
    // A page that is half of this and half of that is one page, in every form.
    for accept in [
        "text/csv",
        "application/x-ndjson",
        "application/vnd.apache.arrow.stream",
    ] {
        let (status, found) = place.get("/both/last?limit=16", accept).await;
        let expected = place.get("/lake/last?limit=16", accept).await.1;
        assert_eq!((status, found), (200, expected), "{accept}");
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

/// What happens between two pages.
#[derive(Clone, Debug)]
struct Step {
    /// Rows that are written: a name and a number, how many hours before the run, and a weight.
    written: Vec<(usize, i64, Option<i64>, i64)>,
    /// Rows that go.
    deleted: Vec<(usize, i64)>,
    /// How many hours later the next run starts.
    hours: i64,
    /// Whether it publishes.
    publishes: bool,
}

fn step() -> impl Strategy<Value = Step> {
    let row = (
        0..NAMES.len(),
        0i64..9,
        prop::option::weighted(0.85, -60i64..2),
        0i64..9,
    );
    let gone = (0..NAMES.len(), 0i64..9);
    (
        prop::collection::vec(row, 0..4),
        prop::collection::vec(gone, 0..2),
        0i64..12,
        any::<bool>(),
    )
        .prop_map(|(written, deleted, hours, publishes)| Step {
            written,
            deleted,
            hours,
            publishes,
        })
}

#[derive(Clone, Debug)]
struct Case {
    first: Vec<(usize, i64, Option<i64>, i64)>,
    steps: Vec<Step>,
    limit: usize,
    route: usize,
}

fn case() -> impl Strategy<Value = Case> {
    let row = (
        0..NAMES.len(),
        0i64..9,
        prop::option::weighted(0.85, -60i64..2),
        0i64..9,
    );
    (
        prop::collection::vec(row, 1..40),
        prop::collection::vec(step(), 0..8),
        1usize..8,
        0usize..5,
    )
        .prop_map(|(first, steps, limit, route)| Case {
            first,
            steps,
            limit,
            route,
        })
}

#[test]
fn a_walk_finds_what_was_there_throughout_once_and_in_order() {
    let long = std::env::var("MILLRACE_TEST_LENGTH").is_ok_and(|length| length == "long");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let place = RefCell::new(runtime.block_on(Place::new()));
    let hours = Cell::new(0);
    let config = ProptestConfig {
        failure_persistence: None,
        max_shrink_iters: 60,
        ..ProptestConfig::with_cases(if long { 400 } else { 25 })
    };
    TestRunner::new(config)
        .run(&case(), |case| {
            let mut place = place.borrow_mut();
            place.begin_anew();
            runtime.block_on(walk(&place, &case, &hours));
            Ok(())
        })
        .unwrap();
}

/// Walks all pages while the table changes and its rows grow old.
async fn walk(place: &Place, case: &Case, hours: &Cell<i64>) {
    hours.set(hours.get() + 1);
    let now = || START + hours.get() * 3600;
    let write = |orders: &mut Orders, rows: &[(usize, i64, Option<i64>, i64)]| {
        for (name, id, hours, weight) in rows {
            let at = hours.map(|hours| (now() + hours * 3600) * MICROS);
            orders.insert((NAMES[*name], *id), (at, *weight));
        }
    };
    let mut orders = Orders::new();
    write(&mut orders, &case.first);
    place.put(&orders).await;
    place.published_at(now()).await;
    let mut throughout = orders.clone();
    // What was published last, and what is in the lake.
    let (route, _, _) = ROUTES[case.route];
    let (mut rows, mut next) = place
        .page(&format!("/both/{route}?limit={}", case.limit))
        .await;
    let mut steps = case.steps.iter();
    while let Some(path) = next {
        if let Some(step) = steps.next() {
            hours.set(hours.get() + step.hours);
            for (name, id) in &step.deleted {
                orders.remove(&(NAMES[*name], *id));
            }
            write(&mut orders, &step.written);
            place.put(&orders).await;
            if step.publishes {
                place.published_at(now()).await;
            }
            throughout.retain(|id, order| orders.get(id) == Some(order));
        }
        let (more, behind) = place.page(&path).await;
        rows.extend(more);
        next = behind;
    }
    let seen: Vec<Id> = rows
        .iter()
        .map(|row| {
            let name = row["name"].as_str().unwrap();
            let name = NAMES.into_iter().find(|known| *known == name).unwrap();
            (name, row["id"].as_i64().unwrap())
        })
        .filter(|id| throughout.contains_key(id))
        .collect();
    let mut expected: Vec<Id> = throughout.keys().copied().collect();
    expected.sort_by_key(|id| rank(route, *id, throughout[id]));
    assert_eq!(seen, expected, "{route}");
}

/// What comes first in the order of a route: whether it has no moment, the moment, and what tells it from others.
type Rank = (i8, i64, Vec<u8>, i64);

fn rank(route: &str, (name, id): Id, (at, _): Order) -> Rank {
    let up = |name: &str| name.as_bytes().to_vec();
    let down = |name: &str| {
        let bytes = name.bytes().map(|byte| !byte);
        bytes.chain([255]).collect::<Vec<u8>>()
    };
    let moment = at.unwrap_or_default();
    let undated = i8::from(at.is_none());
    match route {
        "down" | "since" => (-undated, -moment, down(name), -id),
        "last" => (undated, -moment, down(name), -id),
        "up" => (undated, moment, down(name), -id),
        // By the number before the name.
        _ => (
            -undated,
            moment,
            [&id.to_be_bytes()[..], &up(name)].concat(),
            0,
        ),
    }
}
