//! A table that is published over and over under the eyes of its readers, by processes that are killed.

use crate::store::{Role, Server, Store};
use crate::support::{binary, long, text};
use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use millrace_lake::{Commit, Lake, WriteKind};
use millrace_model::definition::{Pinned, parse};
use millrace_model::ledger::RunId;
use millrace_model::mode::RunMode;
use millrace_model::step::StepInput;
use millrace_store::definitions;
use millrace_store::objects::Folder;
use rand::Rng;
use serde_json::Value;
use std::fs;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const KEY: &str = "tables/p/things";
const READERS: usize = 50;
/// How many connections to the store the server may have.
const CONNECTIONS: usize = 6;
/// How many rows a batch has.
const BATCH: i64 = 100_000;

const ENDPOINT: &str = "
metadata: { name: things, description: Things }
routes:
  /things:
    datasource: operational_store
    query: SELECT id, version FROM s.things WHERE id = ANY(:ids) ORDER BY id
    params: [{ name: ids, type: int, list: true, required: true }]
    timeout: 20s
  /count:
    datasource: operational_store
    query: SELECT min(version) AS least, max(version) AS most, count(*) AS rows FROM s.things
    timeout: 29s
";
const PIPELINE: &str = "
pipeline: p
resources: [{ name: things, connection: c, path: /things, records: items, key: [id] }]
tables: [{ name: things, from: things, write: replace, key: [id] }]
publish: [{ table: things, to: operational_store, as: s.things }]
";

/// How many rows a version of the table has: no two have as many.
fn rows(base: i64, version: i64) -> i64 {
    base + version
}

fn schema() -> SchemaRef {
    let field = |name| Field::new(name, DataType::Int64, true);
    Arc::new(Schema::new(vec![field("id"), field("version")]))
}

/// Puts another version in the lake: each of its rows says which.
async fn write(lake: &Lake, base: i64, version: i64) {
    let schema = schema();
    let mut writer = lake.writer(KEY, schema.clone());
    let end = rows(base, version);
    let mut first = 1;
    while first <= end {
        let last = (first + BATCH - 1).min(end);
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(first..=last));
        let versions: ArrayRef =
            Arc::new(Int64Array::from(vec![version; (last - first + 1) as usize]));
        let batch = RecordBatch::try_new(schema.clone(), vec![ids, versions]).expect("a batch");
        writer.write(&batch).await.expect("a file");
        first = last + 1;
    }
    let added = writer.finish().await.expect("files");
    let table = lake.table(KEY).await.expect("the lake");
    let commit = Commit {
        kind: WriteKind::Replace,
        added,
        removed: table
            .as_ref()
            .map(millrace_lake::Table::files)
            .unwrap_or_default(),
        schema,
        sequence: version as u64,
        brought: None,
        note: None,
    };
    match table {
        Some(table) => table.commit(commit).await.map(drop),
        None => lake.create(KEY, commit).await.map(drop),
    }
    .expect("a commit");
}

async fn input(store: &Store) {
    let pinned = Pinned {
        pipeline: parse::pipeline("pipelines/p.yaml", PIPELINE).expect("a pipeline"),
        connections: Vec::new(),
        endpoints: vec![parse::endpoint("endpoints/things.yaml", ENDPOINT).expect("an endpoint")],
        mode: RunMode::default(),
    };
    let definition = definitions::pin(&Folder::new(store.lake()), &pinned).await;
    let input = StepInput {
        run: RunId::new("p", 1_800_000_000, 7),
        pipeline: "p".to_owned(),
        definition: definition.expect("a pinned definition"),
        name: "s.things".to_owned(),
        invocation: 0,
    };
    let text = serde_json::to_string(&input).expect("JSON");
    fs::write(store.path("input.json"), text).expect("a file");
    let owner = store.secret(Role::Owner).to_string();
    fs::write(store.path("owner.json"), owner).expect("a file");
}

fn publish(store: &Store) -> Command {
    let mut command = Command::new(binary("examples/publish_table"));
    command
        .arg(store.lake())
        .arg(store.path("owner.json"))
        .arg(store.path("input.json"))
        .stdin(Stdio::null());
    command
}

/// Which version a whole answer is of; panics where it is of two.
async fn seen(client: &reqwest::Client, server: &Server, base: i64, all: bool) -> i64 {
    let path = if all {
        "/count".to_owned()
    } else {
        let mut random = rand::rng();
        let ids: Vec<String> = (0..20)
            .map(|_| random.random_range(1..=base).to_string())
            .collect();
        format!("/things?ids={}", ids.join(","))
    };
    let answer = client
        .get(format!("{}{path}", server.url))
        .send()
        .await
        .expect("an answer");
    let status = answer.status();
    let body: Value = answer.json().await.expect("JSON");
    assert_eq!(status, 200, "{body}");
    let data = body["data"].as_array().expect("data");
    if all {
        let (least, most) = (data[0]["least"].as_i64(), data[0]["most"].as_i64());
        assert_eq!(least, most, "rows of two versions: {body}");
        let version = least.expect("rows");
        assert_eq!(
            data[0]["rows"],
            rows(base, version),
            "some rows of a version: {body}"
        );
        return version;
    }
    let version = data[0]["version"].as_i64().expect("a version");
    assert!(
        data.len() > 1 && data.iter().all(|row| row["version"] == version),
        "{body}"
    );
    version
}

struct Watch {
    stop: AtomicBool,
    answers: AtomicU64,
}

async fn read(server: Arc<Server>, watch: Arc<Watch>, base: i64, all: bool) {
    let client = reqwest::Client::new();
    let mut last = 0;
    while !watch.stop.load(Ordering::Relaxed) {
        let version = seen(&client, &server, base, all).await;
        assert!(version >= last, "version {version} behind version {last}");
        last = version;
        watch.answers.fetch_add(1, Ordering::Relaxed);
    }
}

/// The most connections that the server had at once.
async fn connections(store: &Store, watch: &Watch) -> i64 {
    let client = store.connect(Role::Reader).await;
    let mut most = 0;
    while !watch.stop.load(Ordering::Relaxed) {
        // A query of millions of rows has parallel workers besides, which bear its connection's name and are none.
        let count = "SELECT count(*) FROM pg_stat_activity
                     WHERE application_name = 'millrace serve' AND backend_type = 'client backend'";
        most = most.max(client.query_one(count, &[]).await.expect("a count").get(0));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    most
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_see_whole_versions_whoever_publishes_and_dies() {
    let (base, publishes) = if long() {
        (5_000_000, 24)
    } else {
        (100_000, 12)
    };
    let store = Arc::new(Store::new());
    let lake = Lake::at(store.lake().to_str().expect("a path")).expect("a lake");
    store.put_endpoint("things", ENDPOINT);
    input(&store).await;
    write(&lake, base, 1).await;
    let began = Instant::now();
    let first = publish(&store).output().expect("the publish starts");
    assert!(first.status.success(), "{}", text(&first.stderr));
    let whole = began.elapsed();

    let server = Arc::new(store.serve(CONNECTIONS).await);
    let watch = Arc::new(Watch {
        stop: AtomicBool::new(false),
        answers: AtomicU64::new(0),
    });
    let readers: Vec<_> = (0..READERS)
        .map(|reader| tokio::spawn(read(server.clone(), watch.clone(), base, reader == 0)))
        .collect();
    let counted = {
        let (store, watch) = (store.clone(), watch.clone());
        tokio::spawn(async move { connections(&store, &watch).await })
    };

    let client = reqwest::Client::new();
    let (mut version, mut kills, mut took_effect) = (1, 0, 0);
    for turn in 0..publishes {
        version += 1;
        write(&lake, base, version).await;
        let before = seen(&client, &server, base, true).await;
        let mut child = publish(&store)
            .stderr(Stdio::null())
            .spawn()
            .expect("the publish starts");
        if turn % 3 != 2 {
            let moment = rand::rng().random_range(0.0..1.3);
            tokio::time::sleep(whole.mul_f64(moment)).await;
            child.kill().expect("SIGKILL");
        }
        let ended = child.wait().expect("the end");
        let after = seen(&client, &server, base, true).await;
        if ended.success() {
            assert_eq!(after, version);
        } else {
            kills += 1;
            took_effect += u32::from(after == version);
            assert!(after == before || after == version, "{before} → {after}");
        }
    }
    let last = publish(&store).output().expect("the publish starts");
    assert!(last.status.success(), "{}", text(&last.stderr));
    assert_eq!(seen(&client, &server, base, true).await, version);
    watch.stop.store(true, Ordering::Relaxed);
    for reader in readers {
        reader
            .await
            .expect("a reader saw something else than a whole version");
    }
    let most = counted.await.expect("the count");
    assert!(most as usize <= CONNECTIONS, "{most} connections");
    assert!(kills > 0);
    println!(
        "{base} rows, a publish takes {whole:.1?}; {publishes} publishes, {kills} killed ({took_effect} of them behind \
         their commit); {} answers to {READERS} readers, all of one version; at most {most} of {CONNECTIONS} connections",
        watch.answers.load(Ordering::Relaxed)
    );
}
