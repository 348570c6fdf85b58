//! The same rows over PostgreSQL and over the lake: published there, and read where they lie. One query has one answer.

#![allow(clippy::unwrap_used, reason = "a test's way to fail")]
#![allow(
    clippy::from_iter_instead_of_collect,
    reason = "an array's type is the point of the line"
)]

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, Int64Builder,
    ListBuilder, RecordBatch, StringArray, StructArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Fields};
use bytes::Bytes;
use http::Request;
use millrace_lake::{Commit, Lake, WriteKind};
use millrace_model::definition::Datasource;
use millrace_model::definition::set::DefinitionSet;
use millrace_model::keys;
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
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

const KEY: &str = "tables/shop/orders";

const PIPELINE: &str = "
pipeline: shop
description: A shop
resources:
  - { name: orders, connection: shop, path: /orders, records: items, key: [id] }
tables:
  - name: orders
    from: orders
    write: upsert
    key: [id]
    columns: { more: { type: json } }
publish:
  - { table: orders, to: operational_store, as: sales.orders }
  - { table: orders, to: lake, as: sales.orders }
";

/// Routes, each with its query and its parameters. Each is there twice: `/store/…` and `/lake/…`.
const ROUTES: [(&str, &str, &str); 9] = [
    ("all", "SELECT * FROM sales.orders ORDER BY id", ""),
    (
        "one",
        "SELECT id, price, more, tags, place FROM sales.orders WHERE id = :id",
        "{ name: id, type: int }",
    ),
    (
        "dear",
        "SELECT id, price, weight FROM sales.orders WHERE price >= :least AND (:heavy IS NULL OR weight > :heavy) \
         ORDER BY price DESC, weight",
        "{ name: least, type: decimal }, { name: heavy, type: double }",
    ),
    (
        "since",
        "SELECT at, day, id FROM sales.orders WHERE at > :moment OR day = :day ORDER BY at DESC NULLS LAST",
        "{ name: moment, type: timestamp }, { name: day, type: date }",
    ),
    (
        "some",
        "SELECT id, name FROM sales.orders WHERE id = ANY(:ids) AND paid = :paid ORDER BY 2, 1",
        "{ name: ids, type: int, list: true, required: true }, { name: paid, type: bool, default: true }",
    ),
    (
        "named",
        "SELECT name, count(*) AS orders, sum(weight) AS weight, max(at) AS last FROM sales.orders \
         WHERE name LIKE :like GROUP BY name ORDER BY name",
        "{ name: like, type: string, default: '%' }",
    ),
    (
        "ties",
        "SELECT paid, name FROM sales.orders ORDER BY paid",
        "",
    ),
    (
        "joined",
        "SELECT a.id, b.id AS other FROM sales.orders AS a JOIN sales.orders AS b ON a.id = b.id + 1 ORDER BY a.id",
        "",
    ),
    (
        "half",
        "SELECT id, weight FROM sales.orders WHERE id >= :half ORDER BY lower(name), id",
        "{ name: half, type: double, default: 2.5 }",
    ),
];

const REQUESTS: [&str; 21] = [
    "all?limit=3",
    "all",
    "one?id=3",
    "one?id=999",
    "dear?least=0&limit=2",
    "dear?least=1.005",
    "dear?least=-1000&heavy=0.5&limit=4",
    "dear?least=123456789012345678.5",
    "since?moment=2026-01-01T00:00:00Z&limit=3",
    "since?moment=2026-11-21T08:00:00.000001Z&day=2026-11-21",
    "since?moment=1960-01-01T00:00:00Z&limit=7",
    "some?ids=1,2,3,4,5,6,7,8&limit=2",
    "some?ids=5&paid=false",
    "named?limit=2",
    "named?like=a%25",
    "ties?limit=4",
    "ties?limit=1",
    "joined?limit=5",
    "half?limit=3",
    "half?half=-7.25",
    "dear?least=x",
];

struct Place {
    serve: Serve,
    publish: Publish,
    lake: Lake,
    input: StepInput,
    _server: PrivateServer,
    _dir: TempDir,
}

impl Place {
    async fn new() -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("postgres");
        let server = PrivateServer::start(&folder, None).await.unwrap();
        let (owner, reader) = server.fresh_store("same").await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let objects: Arc<dyn Objects> = Arc::new(Folder::new(dir.path()));
        let lake = Lake::at(dir.path().to_str().unwrap()).unwrap();
        let secrets = Arc::new(LocalSecrets::new(
            None,
            [
                (LocalSecrets::variable("owner"), owner.to_secret()),
                (LocalSecrets::variable("reader"), reader.to_secret()),
                (LocalSecrets::variable("seal"), "sealed".to_owned()),
            ],
        ));
        let input = define(&objects).await;
        let room = Room::halves(256 * 1024 * 1024);
        let seal = "seal".to_owned();
        let tables =
            LakeSource::new(lake.clone(), objects.clone(), secrets.clone(), seal, &room).unwrap();
        let store = Postgres::new(secrets.clone(), "reader".to_owned());
        let sources =
            Sources::of(Datasource::OperationalStore, store).and(Datasource::Lake, tables);
        Self {
            serve: Serve::new(objects.clone(), secrets.clone(), sources),
            publish: Publish::new(objects, lake.clone(), secrets, "owner".to_owned()),
            lake,
            input,
            _server: server,
            _dir: dir,
        }
    }

    /// Puts these rows in the place of those that are there, in two files.
    async fn put(&self, rows: &[Row]) {
        let (first, second) = rows.split_at(rows.len() / 2);
        let table = self.lake.table(KEY).await.unwrap();
        let schema = batch(rows, 0).schema();
        let mut added = Vec::new();
        for (part, from) in [(second, first.len()), (first, 0)] {
            let mut writer = self.lake.writer(KEY, schema.clone());
            writer.write(&batch(part, from)).await.unwrap();
            added.extend(writer.finish().await.unwrap());
        }
        let commit = Commit {
            kind: WriteKind::Replace,
            added,
            removed: table
                .as_ref()
                .map_or_else(Vec::new, millrace_lake::Table::files),
            schema,
            sequence: table.as_ref().map_or(0, millrace_lake::Table::version) + 1,
            brought: None,
            note: None,
        };
        match table {
            None => self.lake.create(KEY, commit).await.map(drop).unwrap(),
            Some(table) => table.commit(commit).await.map(drop).unwrap(),
        }
        let published = self.publish.run(&self.input, Deadline::NONE, &Unobserved);
        published.await.unwrap();
    }

    /// The status, and all rows, page by page.
    async fn ask(&self, path: &str) -> (u16, Vec<Value>) {
        let (mut rows, mut cursor) = (Vec::new(), String::new());
        loop {
            let separator = if path.contains('?') { '&' } else { '?' };
            let request = Request::get(format!("{path}{separator}{cursor}"));
            let answer = self.serve.handle(request.body(Bytes::new()).unwrap()).await;
            let mut body: Value = serde_json::from_slice(answer.body()).unwrap();
            if answer.status() != 200 {
                return (answer.status().as_u16(), vec![body]);
            }
            rows.append(body["data"].as_array_mut().unwrap());
            match body["page"]["next"].as_str() {
                Some(next) => cursor = format!("cursor={next}"),
                None => return (200, rows),
            }
        }
    }

    async fn csv(&self, path: &str) -> String {
        let request = Request::get(path).header("accept", "text/csv");
        let answer = self.serve.handle(request.body(Bytes::new()).unwrap()).await;
        assert_eq!(answer.status(), 200);
        String::from_utf8(answer.body().to_vec()).unwrap()
    }
}

/// Puts the definitions, and pins what publish is asked for.
async fn define(objects: &Arc<dyn Objects>) -> StepInput {
    let route = |prefix: &str, datasource: &str| {
        let routes = ROUTES.iter().map(|(name, query, params)| {
            let query = serde_json::json!(query);
            format!(
                "  /{prefix}/{name}:\n    datasource: {datasource}\n    query: {query}\n    params: [{params}]\n"
            )
        });
        routes.collect::<String>()
    };
    let endpoint = format!(
        "metadata: {{ name: same, description: The same twice }}\nroutes:\n{}{}",
        route("store", "operational_store"),
        route("lake", "lake")
    );
    let files = [
        ("pipelines/shop.yaml", PIPELINE.to_owned()),
        (
            "connections/shop.yaml",
            "connection: shop\nbase_url: https://shop.invalid\nauth: none\n".to_owned(),
        ),
        ("endpoints/same.yaml", endpoint),
    ];
    for (file, text) in &files {
        let key = format!("definitions/{file}");
        objects.put(&key, Bytes::from(text.clone())).await.unwrap();
    }
    assert_eq!(
        keys::definition("pipeline", "shop"),
        "definitions/pipelines/shop.yaml"
    );
    let files = files.map(|(file, text)| (file.to_owned(), text));
    let (set, problems) = DefinitionSet::parse(files);
    assert!(problems.is_empty(), "{problems:?}");
    let pinned = set.pin("shop").unwrap();
    let definition = definitions::pin(&**objects, &pinned).await.unwrap();
    StepInput {
        run: RunId::new("shop", 1_800_000_000, 7),
        pipeline: "shop".to_owned(),
        definition,
        name: "sales.orders".to_owned(),
        invocation: 0,
    }
}

#[derive(Clone, Debug)]
struct Row {
    name: Option<String>,
    /// In hundredths.
    price: Option<i128>,
    weight: Option<f64>,
    paid: Option<bool>,
    day: Option<i32>,
    at: Option<i64>,
    more: Option<String>,
    tags: Option<Vec<Option<i64>>>,
    place: Option<(Option<String>, Option<f64>)>,
}

/// These rows, with ids from that one on.
fn batch(rows: &[Row], first: usize) -> RecordBatch {
    let ids = Int64Array::from_iter_values((first as i64..).take(rows.len()));
    let prices = Decimal128Array::from_iter(rows.iter().map(|row| row.price));
    let moments = TimestampMicrosecondArray::from_iter(rows.iter().map(|row| row.at));
    let mut tags = ListBuilder::new(Int64Builder::new());
    for row in rows {
        tags.append_option(row.tags.clone());
    }
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(ids)),
        (
            "name",
            Arc::new(StringArray::from_iter(
                rows.iter().map(|row| row.name.as_deref()),
            )),
        ),
        (
            "price",
            Arc::new(prices.with_precision_and_scale(20, 2).unwrap()),
        ),
        (
            "weight",
            Arc::new(Float64Array::from_iter(rows.iter().map(|row| row.weight))),
        ),
        (
            "paid",
            Arc::new(BooleanArray::from_iter(rows.iter().map(|row| row.paid))),
        ),
        (
            "day",
            Arc::new(Date32Array::from_iter(rows.iter().map(|row| row.day))),
        ),
        ("at", Arc::new(moments.with_timezone("UTC"))),
        (
            "more",
            Arc::new(StringArray::from_iter(
                rows.iter().map(|row| row.more.as_deref()),
            )),
        ),
        ("tags", Arc::new(tags.finish())),
        ("place", Arc::new(places(rows))),
    ];
    let fields = columns
        .into_iter()
        .map(|(name, values)| (name, values, true));
    RecordBatch::try_from_iter_with_nullable(fields).unwrap()
}

fn places(rows: &[Row]) -> StructArray {
    let fields = Fields::from(vec![
        Field::new("town", DataType::Utf8, true),
        Field::new("height", DataType::Float64, true),
    ]);
    let towns = rows.iter().map(|row| row.place.as_ref()?.0.as_deref());
    let heights = rows.iter().map(|row| row.place.as_ref()?.1);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter(towns)),
        Arc::new(Float64Array::from_iter(heights)),
    ];
    let valid = rows.iter().map(|row| row.place.is_some()).collect();
    StructArray::new(fields, columns, Some(valid))
}

fn row() -> impl Strategy<Value = Row> {
    let some = prop::option::weighted(0.8, 0..5i128);
    (
        (
            prop::option::weighted(0.8, "[ab]{0,2}|a\"b|é,\n"),
            prop_oneof![some, prop::option::of(-(10i128.pow(19))..10i128.pow(19))],
            prop::option::weighted(0.8, prop_oneof![-2.0..2.0f64, Just(0.5), Just(1e300)]),
            prop::option::weighted(0.8, any::<bool>()),
        ),
        (
            prop::option::weighted(0.8, prop_oneof![20_000..21_000i32, Just(20_778)]),
            prop::option::weighted(0.8, -400_000_000_000_000..2_000_000_000_000_000i64),
            prop::option::weighted(
                0.6,
                prop_oneof![Just("{\"a\": [1, null]}".to_owned()), Just("7".to_owned())],
            ),
            prop::option::weighted(0.7, prop::collection::vec(prop::option::of(-9..9i64), 0..3)),
            prop::option::weighted(
                0.7,
                (
                    prop::option::of("[a-c]{1,2}"),
                    prop::option::of(-1.0..1.0f64),
                ),
            ),
        ),
    )
        .prop_map(
            |((name, price, weight, paid), (day, at, more, tags, place))| Row {
                name,
                price,
                weight,
                paid,
                day,
                at,
                more,
                tags,
                place,
            },
        )
}

/// What two answers say, whatever the names of their routes are.
fn comparable((status, rows): (u16, Vec<Value>)) -> (u16, String) {
    let text = serde_json::to_string_pretty(&rows).unwrap();
    (status, text.replace("/lake/", "/store/"))
}

#[tokio::test]
async fn both_answer_the_same() {
    let place = Place::new().await;
    let cases = if std::env::var("MILLRACE_TEST_LENGTH").is_ok_and(|length| length == "long") {
        40
    } else {
        3
    };
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for _ in 0..cases {
        let rows = prop::collection::vec(row(), 1..25);
        let rows = proptest::strategy::ValueTree::current(&rows.new_tree(&mut runner).unwrap());
        place.put(&rows).await;
        // As long as a new version may stay unseen.
        tokio::time::sleep(std::time::Duration::from_millis(1050)).await;
        let mut differ = BTreeMap::new();
        for request in REQUESTS {
            let store = comparable(place.ask(&format!("/store/{request}")).await);
            let lake = comparable(place.ask(&format!("/lake/{request}")).await);
            if store != lake {
                differ.insert(request, (store, lake));
            }
        }
        assert!(differ.is_empty(), "{rows:#?}\n{differ:#?}");
        let columns = "one?id=2";
        let (store, lake) = (
            place.csv(&format!("/store/{columns}")).await,
            place.csv(&format!("/lake/{columns}")).await,
        );
        // PostgreSQL keeps what is nested in a form of its own, with other blanks.
        let tight = |text: &str| text.replace(' ', "");
        assert_eq!(tight(&store), tight(&lake));
    }
}
