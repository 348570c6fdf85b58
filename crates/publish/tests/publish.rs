//! Tables of the lake, published into PostgreSQL itself.

#![allow(clippy::unwrap_used, reason = "a test's way to fail")]
#![allow(
    clippy::from_iter_instead_of_collect,
    reason = "an array's type is the point of the line"
)]
#![allow(
    clippy::await_holding_refcell_ref,
    reason = "one thread, and one case at a time"
)]

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, RecordBatch,
    StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use millrace_lake::{Commit, Lake, WriteKind};
use millrace_model::definition::{Pinned, parse};
use millrace_model::ledger::RunId;
use millrace_model::step::{Counts, Deadline, Next, StepInput, StepOutput, Unobserved};
use millrace_model::{Failure, FailureName};
use millrace_postgres::private::PrivateServer;
use millrace_postgres::{Credentials, connect};
use millrace_publish::Publish;
use millrace_store::definitions;
use millrace_store::objects::{Folder, Objects};
use millrace_store::secrets::LocalSecrets;
use proptest::prelude::*;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio_postgres::Client;

const KEY: &str = "tables/shop/orders";

struct Place {
    publish: Publish,
    objects: Arc<dyn Objects>,
    lake: Lake,
    owner: Credentials,
    reader: Credentials,
    client: Client,
    sequence: u64,
    _server: PrivateServer,
    _dir: TempDir,
}

fn schema(extra: &[&str]) -> SchemaRef {
    let mut fields = vec![
        Field::new("id", DataType::Int64, true),
        Field::new("name", DataType::Utf8, true),
    ];
    fields.extend(
        extra
            .iter()
            .map(|name| Field::new(*name, DataType::Utf8, true)),
    );
    Arc::new(Schema::new(fields))
}

fn rows(schema: &SchemaRef, rows: &[(i64, &str)]) -> RecordBatch {
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(
        rows.iter().map(|(_, name)| *name),
    ));
    let mut columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from_iter_values(
        rows.iter().map(|(id, _)| *id),
    ))];
    columns.resize(schema.fields().len(), names);
    RecordBatch::try_new(schema.clone(), columns).unwrap()
}

impl Place {
    async fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let server = PrivateServer::start(
            &Path::new(env!("CARGO_TARGET_TMPDIR")).join("postgres"),
            None,
        )
        .await
        .unwrap();
        let name = format!(
            "publish_{}_{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let admin = connect(&server.admin(), "test").await.unwrap();
        admin
            .batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
            .await
            .unwrap();
        let (owner, reader) = server.store(&name).await.unwrap();
        let client = connect(&reader, "test").await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let objects: Arc<dyn Objects> = Arc::new(Folder::new(dir.path()));
        let lake = Lake::at(dir.path().to_str().unwrap()).unwrap();
        let variable = (LocalSecrets::variable("millrace/owner"), owner.to_secret());
        let secrets = Arc::new(LocalSecrets::new(None, [variable]));
        let publish = Publish::new(
            objects.clone(),
            lake.clone(),
            secrets,
            "millrace/owner".to_owned(),
        );
        Self {
            publish,
            objects,
            lake,
            owner,
            reader,
            client,
            sequence: 0,
            _server: server,
            _dir: dir,
        }
    }

    async fn write(&mut self, kind: WriteKind, batch: &RecordBatch) {
        self.sequence += 1;
        let mut writer = self.lake.writer(KEY, batch.schema());
        writer.write(batch).await.unwrap();
        let added = writer.finish().await.unwrap();
        let table = self.lake.table(KEY).await.unwrap();
        let removed = match &table {
            Some(table) if kind == WriteKind::Replace => table.files(),
            _ => Vec::new(),
        };
        let commit = Commit {
            kind,
            added,
            removed,
            schema: batch.schema(),
            sequence: self.sequence,
            brought: None,
            note: None,
        };
        match table {
            Some(table) => table.commit(commit).await.map(drop).unwrap(),
            None => self.lake.create(KEY, commit).await.map(drop).unwrap(),
        }
    }

    /// The input of a publish of `orders`, which is written so and read by these queries.
    async fn input(&self, write: &str, queries: &[&str]) -> StepInput {
        let pipeline = format!(
            "pipeline: shop\ndescription: It's a \"shop\".\nresources:\n  - {{ name: orders, connection: shop, path: /orders, \
             records: items, key: [id] }}\ntables:\n  - name: orders\n    from: orders\n    write: {write}\n    key: [id]\n    \
             columns: {{ more: {{ type: json }} }}\npublish:\n  - {{ table: orders, to: operational_store, as: sales.orders }}\n  \
             - {{ table: orders, to: operational_store, as: sales.copies }}\n  \
             - {{ table: orders, to: operational_store, as: sales.others }}\n"
        );
        let pipeline = parse::pipeline("pipelines/shop.yaml", &pipeline).unwrap();
        let endpoints = queries.iter().enumerate().map(|(at, query)| {
            let query = serde_json::to_string(query).unwrap();
            let text = format!(
                "metadata: {{ name: e{at}, description: d }}\nroutes:\n  /e{at}:\n    datasource: operational_store\n    \
                 query: {query}\n    params: [{{ name: x, type: string }}]\n"
            );
            parse::endpoint(&format!("endpoints/e{at}.yaml"), &text).unwrap()
        });
        let pinned = Pinned {
            pipeline,
            connections: Vec::new(),
            endpoints: endpoints.collect(),
            mode: millrace_model::mode::RunMode::default(),
        };
        let definition = definitions::pin(&*self.objects, &pinned).await.unwrap();
        StepInput {
            run: RunId::new("shop", 1_800_000_000, 7),
            pipeline: "shop".to_owned(),
            definition,
            name: "sales.orders".to_owned(),
            invocation: 0,
        }
    }

    async fn run(&self, input: &StepInput) -> Result<StepOutput, Failure> {
        self.publish.run(input, Deadline::NONE, &Unobserved).await
    }

    async fn published(&self, input: &StepInput) -> Counts {
        let output = self.run(input).await.unwrap();
        assert_eq!(output.next, Next::Done);
        output.counts
    }

    /// What the reader sees.
    async fn rows(&self) -> Vec<(i64, String)> {
        let rows = self
            .client
            .query("SELECT id, name FROM sales.orders ORDER BY id, name", &[])
            .await
            .unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    async fn indexes(&self) -> Vec<String> {
        let sql = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'sales'";
        let rows = self.client.query(sql, &[]).await.unwrap();
        let columns = |text: String| text[text.find('(').unwrap()..].to_owned();
        let mut indexes: Vec<String> = rows.iter().map(|row| columns(row.get(0))).collect();
        indexes.sort();
        indexes
    }
}

fn owned(rows: &[(i64, &str)]) -> Vec<(i64, String)> {
    rows.iter()
        .map(|(id, name)| (*id, (*name).to_owned()))
        .collect()
}

#[tokio::test]
async fn lists_and_structs_are_published_as_jsonb() {
    use arrow::array::{Array, ListArray, StructArray};
    use arrow::datatypes::Int64Type;
    let mut place = Place::new().await;
    let input = place.input("upsert", &[]).await;
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let names: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
    let numbers =
        ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), None]), None]);
    let element = Arc::new(Field::new("element", DataType::Int64, true));
    let (_, offsets, values, nulls) = numbers.into_parts();
    let numbers: ArrayRef = Arc::new(ListArray::new(element, offsets, values, nulls));
    let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("nul \0 \"quoted\""), None]));
    let sums: ArrayRef = Arc::new(
        Decimal128Array::from(vec![Some(1250), Some(-5)])
            .with_precision_and_scale(20, 2)
            .unwrap(),
    );
    let days: ArrayRef = Arc::new(Date32Array::from(vec![1, 2]));
    let field =
        |name: &str, array: &ArrayRef| Arc::new(Field::new(name, array.data_type().clone(), true));
    let objects: ArrayRef = Arc::new(StructArray::from(vec![
        (field("text", &texts), texts.clone()),
        (field("sum", &sums), sums.clone()),
        (field("day", &days), days.clone()),
    ]));
    let columns = [
        ("id", ids),
        ("name", names),
        ("list", numbers),
        ("object", objects),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.map(|(name, column)| (name, column, true)),
    )
    .unwrap();
    place.write(WriteKind::Upsert, &batch).await;
    place.published(&input).await;
    let sql = "SELECT list::text, object::text FROM sales.orders ORDER BY id";
    let found = place.client.query(sql, &[]).await.unwrap();
    let found: Vec<(Option<String>, String)> =
        found.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(
        found,
        [
            (
                Some("[1, null]".to_owned()),
                r#"{"day": "1970-01-02", "sum": 12.50, "text": "nul � \"quoted\""}"#.to_owned()
            ),
            (
                None,
                r#"{"day": "1970-01-03", "sum": -0.05, "text": null}"#.to_owned()
            )
        ]
    );
    // The same row once more is no change.
    place.write(WriteKind::Upsert, &batch).await;
    assert_eq!(place.published(&input).await["rows_updated"], 0);
}

#[tokio::test]
async fn an_upserted_table_is_merged() {
    let mut place = Place::new().await;
    let input = place
        .input(
            "upsert",
            &["SELECT id, name FROM sales.orders WHERE name = :x"],
        )
        .await;
    assert_eq!(
        place.published(&input).await["rows"],
        0,
        "there is no table yet"
    );

    let schema = schema(&[]);
    place
        .write(WriteKind::Upsert, &rows(&schema, &[(1, "a"), (2, "b")]))
        .await;
    let counts = place.published(&input).await;
    assert_eq!(
        (
            counts["rows"],
            counts["rows_inserted"],
            counts["version"],
            counts["indexes"]
        ),
        (2, 2, 0, 1)
    );
    assert_eq!(place.rows().await, owned(&[(1, "a"), (2, "b")]));
    assert_eq!(place.indexes().await, ["(id)", "(name)"]);

    // The same once more does nothing.
    let note = "SELECT version, run, published_at::text, xmin::text FROM millrace.published";
    let note = async |place: &Place| {
        let row = place.client.query_one(note, &[]).await.unwrap();
        (
            row.get::<_, i64>(0),
            row.get::<_, String>(1),
            row.get::<_, String>(2),
            row.get::<_, String>(3),
        )
    };
    let before = note(&place).await;
    assert_eq!(place.published(&input).await["rows"], 0);
    assert_eq!(note(&place).await, before);
    assert_eq!(before.1, input.run.as_str());

    // Of what was written since, one row is new, one is another, one is the same.
    let oid = "SELECT 'sales.orders'::regclass::oid";
    let table = place
        .client
        .query_one(oid, &[])
        .await
        .unwrap()
        .get::<_, u32>(0);
    let first = place.lake.table(KEY).await.unwrap().unwrap().files();
    let mut writer = place.lake.writer(KEY, schema.clone());
    writer
        .write(&rows(&schema, &[(2, "B"), (1, "a"), (3, "c")]))
        .await
        .unwrap();
    let commit = Commit {
        kind: WriteKind::Upsert,
        added: writer.finish().await.unwrap(),
        removed: first,
        schema: schema.clone(),
        sequence: 2,
        brought: None,
        note: None,
    };
    place
        .lake
        .table(KEY)
        .await
        .unwrap()
        .unwrap()
        .commit(commit)
        .await
        .unwrap();
    let counts = place.published(&input).await;
    assert_eq!(
        (
            counts["rows"],
            counts["rows_inserted"],
            counts["rows_updated"]
        ),
        (3, 1, 1)
    );
    assert_eq!(place.rows().await, owned(&[(1, "a"), (2, "B"), (3, "c")]));
    assert_eq!(
        place
            .client
            .query_one(oid, &[])
            .await
            .unwrap()
            .get::<_, u32>(0),
        table,
        "merged, not replaced"
    );
}

#[tokio::test]
async fn an_appended_table_gets_what_is_new() {
    let mut place = Place::new().await;
    let input = place.input("append", &[]).await;
    let schema = schema(&[]);
    for batch in [[(1, "a"), (1, "a")], [(2, "b"), (1, "a")]] {
        place.write(WriteKind::Append, &rows(&schema, &batch)).await;
        for expected in [2, 0] {
            assert_eq!(place.published(&input).await["rows"], expected);
        }
    }
    assert_eq!(
        place.rows().await,
        owned(&[(1, "a"), (1, "a"), (1, "a"), (2, "b")])
    );
}

#[tokio::test]
async fn a_replaced_table_takes_the_place_of_the_old_one() {
    let mut place = Place::new().await;
    let input = place
        .input("replace", &["SELECT id FROM sales.orders WHERE name = :x"])
        .await;
    let schema = schema(&[]);
    place
        .write(WriteKind::Replace, &rows(&schema, &[(1, "a"), (2, "b")]))
        .await;
    place.published(&input).await;
    // Somebody else was given a look; that stays.
    let owner = connect(&place.owner, "test").await.unwrap();
    owner
        .batch_execute("GRANT SELECT ON sales.orders TO PUBLIC")
        .await
        .unwrap();
    place
        .write(WriteKind::Replace, &rows(&schema, &[(3, "c")]))
        .await;
    place.published(&input).await;
    assert_eq!(place.rows().await, owned(&[(3, "c")]));
    assert_eq!(place.indexes().await, ["(id)", "(name)"]);
    let public = "SELECT count(*) FROM pg_class, aclexplode(relacl) AS a WHERE oid = 'sales.orders'::regclass AND a.grantee = 0";
    assert_eq!(
        place
            .client
            .query_one(public, &[])
            .await
            .unwrap()
            .get::<_, i64>(0),
        1
    );
    let comment = "SELECT obj_description('sales.orders'::regclass)";
    let comment: String = place.client.query_one(comment, &[]).await.unwrap().get(0);
    assert!(comment.starts_with("It's a \"shop\"."), "{comment}");

    // Two rows of one key are told, and the old rows stay.
    place
        .write(WriteKind::Replace, &rows(&schema, &[(4, "d"), (4, "e")]))
        .await;
    let failure = place.run(&input).await.unwrap_err();
    assert_eq!(failure.name, FailureName::BadData, "{failure}");
    assert!(
        failure.message.contains("sales.orders") && failure.message.contains("(id)"),
        "{failure}"
    );
    assert_eq!(place.rows().await, owned(&[(3, "c")]));
}

#[tokio::test]
async fn columns_that_come_make_the_table_anew() {
    let mut place = Place::new().await;
    let input = place.input("upsert", &[]).await;
    place
        .write(WriteKind::Upsert, &rows(&schema(&[]), &[(1, "a")]))
        .await;
    place.published(&input).await;
    place
        .write(
            WriteKind::Upsert,
            &rows(&schema(&["more"]), &[(2, "[1, 2]")]),
        )
        .await;
    place.published(&input).await;
    assert_eq!(place.rows().await, owned(&[(1, "a"), (2, "[1, 2]")]));
    let sql = "SELECT (more -> 1)::text, pg_typeof(more)::text FROM sales.orders WHERE id = 2";
    let row = place.client.query_one(sql, &[]).await.unwrap();
    assert_eq!(
        (row.get::<_, &str>(0), row.get::<_, &str>(1)),
        ("2", "json")
    );
    // JSON can be merged as well.
    place
        .write(WriteKind::Upsert, &rows(&schema(&["more"]), &[(3, "{}")]))
        .await;
    assert_eq!(place.published(&input).await["rows_inserted"], 1);
}

#[tokio::test]
async fn indexes_follow_the_endpoints() {
    let mut place = Place::new().await;
    place
        .write(
            WriteKind::Upsert,
            &rows(&schema(&["more", "other"]), &[(1, "{}")]),
        )
        .await;
    let with = place
        .input(
            "upsert",
            &[
                "SELECT id FROM sales.orders WHERE name = :x ORDER BY id",
                "SELECT id FROM sales.orders WHERE other = :x",
                "SELECT id FROM sales.orders WHERE id::text = :x ORDER BY id",
            ],
        )
        .await;
    place.published(&with).await;
    let before = place.indexes().await;
    assert!(before.len() >= 3, "{before:?}");
    let owner = connect(&place.owner, "test").await.unwrap();
    owner
        .batch_execute("CREATE INDEX theirs ON sales.orders (name, other)")
        .await
        .unwrap();
    let without = place.input("upsert", &[]).await;
    place.published(&without).await;
    assert_eq!(
        place.indexes().await,
        ["(id)", "(name, other)"],
        "those that somebody else made stay"
    );
    place.published(&with).await;
    assert_eq!(place.indexes().await.len(), before.len() + 1);
}

#[tokio::test]
async fn what_is_not_ours_is_left_alone() {
    let mut place = Place::new().await;
    let owner = connect(&place.owner, "test").await.unwrap();
    owner
        .batch_execute("CREATE SCHEMA sales; CREATE TABLE sales.orders (id bigint, name text)")
        .await
        .unwrap();
    place
        .write(WriteKind::Upsert, &rows(&schema(&[]), &[(1, "a")]))
        .await;
    let input = place.input("upsert", &[]).await;
    let failure = place.run(&input).await.unwrap_err();
    assert_eq!(failure.name, FailureName::BadDefinition);
    assert!(place.rows().await.is_empty());
    // A view that reads the table is told about before it is in the way.
    owner
        .batch_execute("DROP TABLE sales.orders")
        .await
        .unwrap();
    place.published(&input).await;
    owner
        .batch_execute("CREATE VIEW sales.names AS SELECT name FROM sales.orders")
        .await
        .unwrap();
    place
        .write(WriteKind::Upsert, &rows(&schema(&["more"]), &[(2, "{}")]))
        .await;
    let failure = place.run(&input).await.unwrap_err();
    assert!(failure.message.contains("view sales.names"), "{failure}");
    assert_eq!(place.rows().await, owned(&[(1, "a")]));
}

#[tokio::test]
async fn readers_see_the_old_rows_or_the_new_ones() {
    let mut place = Place::new().await;
    let input = place.input("replace", &[]).await;
    let schema = schema(&[]);
    let version = |number: usize| -> Vec<(i64, String)> {
        (0..500).map(|id| (id, format!("v{number}"))).collect()
    };
    let batch = |number: usize| {
        let name = format!("v{number}");
        let all: Vec<(i64, &str)> = (0..500).map(|id| (id, name.as_str())).collect();
        rows(&schema, &all)
    };
    place.write(WriteKind::Replace, &batch(0)).await;
    place.published(&input).await;
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (reader, stop) = (place.reader.clone(), stop.clone());
            tokio::spawn(async move {
                let client = connect(&reader, "test").await.unwrap();
                let mut seen = 0;
                while !stop.load(Ordering::Relaxed) {
                    let sql = "SELECT count(*), count(DISTINCT name) FROM sales.orders";
                    let row = client.query_one(sql, &[]).await.unwrap();
                    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (500, 1));
                    seen += 1;
                }
                seen
            })
        })
        .collect();
    for number in 1..8 {
        place.write(WriteKind::Replace, &batch(number)).await;
        place.published(&input).await;
        assert_eq!(place.rows().await.len(), version(number).len());
    }
    stop.store(true, Ordering::Relaxed);
    for reader in readers {
        assert!(reader.await.unwrap() > 0);
    }
}

#[tokio::test]
async fn two_at_once_publish_once() {
    let mut place = Place::new().await;
    let input = place.input("append", &[]).await;
    let many: Vec<(i64, &str)> = (0..5000).map(|id| (id, "x")).collect();
    place
        .write(WriteKind::Append, &rows(&schema(&[]), &many))
        .await;
    let runs = futures::future::join_all((0..4).map(|_| place.run(&input))).await;
    let written: u64 = runs
        .into_iter()
        .map(|run| run.unwrap().counts["rows"])
        .sum();
    assert_eq!(written, 5000);
    assert_eq!(place.rows().await.len(), 5000);
}

#[tokio::test]
async fn the_first_of_a_schema_may_be_published_at_once() {
    let mut place = Place::new().await;
    let batch = rows(&schema(&[]), &[(1, "ada"), (2, "bob")]);
    place.write(WriteKind::Upsert, &batch).await;
    let orders = place.input("upsert", &[]).await;
    let named = |name: &str| StepInput {
        name: name.to_owned(),
        ..orders.clone()
    };
    let (copies, others) = (named("sales.copies"), named("sales.others"));
    let (one, two, three) = tokio::join!(
        place.published(&orders),
        place.published(&copies),
        place.published(&others)
    );
    assert_eq!([one["rows"], two["rows"], three["rows"]], [2, 2, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publish_that_is_killed_leaves_the_old_rows() {
    let mut place = Place::new().await;
    let input = place.input("replace", &[]).await;
    let schema = schema(&[]);
    place
        .write(WriteKind::Replace, &rows(&schema, &[(1, "old")]))
        .await;
    place.published(&input).await;
    let many: Vec<(i64, &str)> = (0..200_000).map(|id| (id, "new")).collect();
    place.write(WriteKind::Replace, &rows(&schema, &many)).await;
    let mut killed = 0;
    for milliseconds in [1, 5, 20, 60, 120, 200] {
        // Dropping the future drops the connection, as a killed process does.
        if tokio::time::timeout(Duration::from_millis(milliseconds), place.run(&input))
            .await
            .is_ok()
        {
            break;
        }
        // A commit that was on its way may arrive after its sender's death: then all is there, and never a part.
        let rows = place.rows().await;
        if rows.len() == 200_000 {
            break;
        }
        killed += 1;
        assert_eq!(rows, owned(&[(1, "old")]));
    }
    assert!(killed > 0);
    place.published(&input).await;
    assert_eq!(place.rows().await.len(), 200_000);
    let left =
        "SELECT count(*) FROM pg_class WHERE relname LIKE 'millrace_new%' OR relname LIKE '%_new'";
    assert_eq!(
        place
            .client
            .query_one(left, &[])
            .await
            .unwrap()
            .get::<_, i64>(0),
        0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_lambda_has_no_time_for_goes_to_a_task() {
    let mut place = Place::new().await;
    let input = place.input("replace", &[]).await;
    let many: Vec<(i64, &str)> = (0..400_000).map(|id| (id, "new")).collect();
    place
        .write(WriteKind::Replace, &rows(&schema(&[]), &many))
        .await;
    // The margin is 5 s, so that 20 ms are left.
    let deadline = Deadline::after(Duration::from_millis(5020));
    let output = place
        .publish
        .run(&input, deadline, &Unobserved)
        .await
        .unwrap();
    assert_eq!((output.next, output.input.invocation), (Next::Task, 1));
    assert_eq!(place.published(&output.input).await["rows"], 400_000);
}

#[tokio::test]
async fn a_wrong_password_names_the_secret() {
    let mut place = Place::new().await;
    place
        .write(WriteKind::Upsert, &rows(&schema(&[]), &[(1, "a")]))
        .await;
    let input = place.input("upsert", &[]).await;
    let wrong = place.owner.with_role(&place.owner.username, "hunter2");
    let variable = (LocalSecrets::variable("millrace/owner"), wrong.to_secret());
    let secrets = Arc::new(LocalSecrets::new(None, [variable]));
    let publish = Publish::new(
        place.objects.clone(),
        place.lake.clone(),
        secrets,
        "millrace/owner".to_owned(),
    );
    let failure = publish
        .run(&input, Deadline::NONE, &Unobserved)
        .await
        .unwrap_err();
    assert_eq!(failure.name, FailureName::Unauthorized);
    assert!(
        failure.message.contains("millrace/owner") && !failure.message.contains("hunter2"),
        "{failure}"
    );
}

type Values = (
    Option<i64>,
    Option<f64>,
    Option<i128>,
    Option<bool>,
    Option<i32>,
    Option<i64>,
    Option<String>,
);

fn values() -> impl Strategy<Value = Vec<Values>> {
    let value = (
        prop::option::of(any::<i64>()),
        prop::option::of(any::<f64>()),
        prop::option::of(prop_oneof![
            -9_999_999_999_999_999_999i128..=9_999_999_999_999_999_999,
            -20_000i128..20_000
        ]),
        prop::option::of(any::<bool>()),
        prop::option::of(-700_000..2_000_000i32),
        prop::option::of(-62_000_000_000_000_000i64..200_000_000_000_000_000),
        prop::option::of(any::<String>()),
    );
    prop::collection::vec(value, 1..60)
}

/// Every value that a table may hold comes to PostgreSQL as it is.
#[test]
fn values_stay_what_they_are() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let place = std::cell::RefCell::new(runtime.block_on(Place::new()));
    let input = runtime.block_on(place.borrow().input("append", &[]));
    let scales = [(38u8, 0i8), (38, 3), (38, 10), (20, 4), (38, 19)];
    let mut fields = vec![
        Field::new("id", DataType::Int64, true),
        Field::new("f", DataType::Float64, true),
        Field::new("b", DataType::Boolean, true),
        Field::new("d", DataType::Date32, true),
        Field::new(
            "at",
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            true,
        ),
        Field::new("name", DataType::Utf8, true),
        Field::new("row", DataType::Int64, true),
    ];
    for (precision, scale) in scales {
        fields.push(Field::new(
            format!("n{scale}"),
            DataType::Decimal128(precision, scale),
            true,
        ));
    }
    let schema = Arc::new(Schema::new(fields));
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 12,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    runner
        .run(&values(), |values| {
            let column = |scale: (u8, i8)| -> ArrayRef {
                let numbers = Decimal128Array::from_iter(values.iter().map(|value| value.2));
                Arc::new(numbers.with_precision_and_scale(scale.0, scale.1).unwrap())
            };
            let mut columns: Vec<ArrayRef> = vec![
                Arc::new(Int64Array::from_iter(values.iter().map(|value| value.0))),
                Arc::new(Float64Array::from_iter(values.iter().map(|value| value.1))),
                Arc::new(BooleanArray::from_iter(values.iter().map(|value| value.3))),
                Arc::new(Date32Array::from_iter(values.iter().map(|value| value.4))),
                Arc::new(TimestampMicrosecondArray::from_iter(values.iter().map(|value| value.5)).with_timezone("UTC")),
                Arc::new(StringArray::from_iter(values.iter().map(|value| value.6.as_deref()))),
                Arc::new(Int64Array::from_iter_values(0..values.len() as i64)),
            ];
            columns.extend(scales.iter().map(|scale| column(*scale)));
            let batch = RecordBatch::try_new(schema.clone(), columns).unwrap();
            let found = runtime.block_on(async {
                let mut place = place.borrow_mut();
                place.write(WriteKind::Replace, &batch).await;
                place.published(&input).await;
                let sql = "SELECT id, f, b, (d - '1970-01-01')::int4, (extract(epoch FROM at) * 1000000)::int8, name,
                           n0::text, n3::text, n10::text, n4::text, n19::text FROM sales.orders ORDER BY row";
                place.client.query(sql, &[]).await.unwrap()
            });
            prop_assert_eq!(found.len(), values.len());
            for (row, value) in found.iter().zip(&values) {
                prop_assert_eq!(row.get::<_, Option<i64>>(0), value.0);
                prop_assert_eq!(row.get::<_, Option<f64>>(1).map(f64::to_bits), value.1.map(f64::to_bits));
                prop_assert_eq!(row.get::<_, Option<bool>>(2), value.3);
                prop_assert_eq!(row.get::<_, Option<i32>>(3), value.4);
                prop_assert_eq!(row.get::<_, Option<i64>>(4), value.5);
                let text = value.6.as_ref().map(|text| text.replace('\0', "\u{fffd}"));
                prop_assert_eq!(row.get::<_, Option<String>>(5), text);
                for (at, (_, scale)) in scales.iter().enumerate() {
                    let expected = value.2.map(|number| decimal(number, *scale as usize));
                    prop_assert_eq!(row.get::<_, Option<String>>(6 + at), expected);
                }
            }
            Ok(())
        })
        .unwrap();
}

/// A number as it is written, with that many digits behind the point.
fn decimal(number: i128, scale: usize) -> String {
    let digits = format!("{:0>1$}", number.unsigned_abs(), scale + 1);
    let (whole, behind) = digits.split_at(digits.len() - scale);
    let sign = if number < 0 { "-" } else { "" };
    if scale == 0 {
        format!("{sign}{whole}")
    } else {
        format!("{sign}{whole}.{behind}")
    }
}
