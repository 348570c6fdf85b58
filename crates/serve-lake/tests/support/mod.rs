//! Endpoints over a lake of one's own, of one table: `s.numbers`, with whole numbers from 0 on.

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use bytes::Bytes;
use http::{Request, Response};
use millrace_lake::{Commit, Lake, WriteKind};
use millrace_model::definition::Datasource;
use millrace_model::keys;
use millrace_serve::Serve;
use millrace_serve::source::Sources;
use millrace_serve_lake::{LakeSource, Room};
use millrace_serve_postgres::Postgres;
use millrace_store::objects::{Folder, Objects};
use millrace_store::secrets::LocalSecrets;
use serde_json::{Value, json};
use std::sync::Arc;
use tempfile::TempDir;

const PIPELINE: &str = "
pipeline: made
description: Numbers
resources:
  - { name: numbers, connection: made, path: /numbers, records: items, key: [id] }
tables:
  - { name: numbers, from: numbers, write: upsert, key: [id] }
publish:
  - { table: numbers, to: lake, as: s.numbers }
";

/// Who may ask where it is asked who asks.
const CONSUMERS: &str = r#"{
    "ada": { "keys": ["key-of-ada", "second-of-ada"], "scopes": ["pii"] },
    "bob": { "keys": ["key-of-bob"], "scopes": ["pii"] },
    "eve": { "keys": ["key-of-eve"] }
}"#;
/// A MiB.
pub const MIB: usize = 1024 * 1024;

/// Endpoints, and the lake that they read.
#[allow(dead_code, reason = "each file of tests uses some of it")]
pub struct Place {
    pub serve: Serve,
    objects: Arc<dyn Objects>,
    dir: TempDir,
}

#[allow(dead_code, reason = "each file of tests uses some of it")]
impl Place {
    /// Files of so many numbers each, to be asked with so much memory.
    pub async fn new(files: &[usize], room: &Room) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let objects: Arc<dyn Objects> = Arc::new(Folder::new(dir.path()));
        let lake = Lake::at(dir.path().to_str().unwrap()).unwrap();
        let key = keys::definition("pipeline", "made");
        objects.put(&key, Bytes::from(PIPELINE)).await.unwrap();
        write(&lake, 0, files).await;
        Self {
            serve: serve(lake, &objects, room, "sealed"),
            objects,
            dir,
        }
    }

    /// The same endpoints in another process, whose cursors are sealed with that.
    pub fn another(&self, seal: &str) -> Serve {
        let lake = Lake::at(self.dir.path().to_str().unwrap()).unwrap();
        serve(lake, &self.objects, &Room::halves(64 * MIB), seal)
    }

    /// Makes the table anew, with the numbers from that one on.
    pub async fn rewrite(&self, first: usize, count: usize) {
        let lake = Lake::at(self.dir.path().to_str().unwrap()).unwrap();
        write(&lake, first, &[count]).await;
    }

    /// Another function, which answers the routes over a store that cannot be reached, and for the contract.
    pub fn of_the_store(&self) -> Serve {
        let secrets = Arc::new(LocalSecrets::new(None, []));
        let store = Postgres::new(secrets.clone(), "nowhere".to_owned());
        let sources = Sources::of(Datasource::OperationalStore, store);
        Serve::new(self.objects.clone(), secrets, sources).by_notice()
    }

    /// Whether an object lies there.
    pub async fn has(&self, key: &str) -> bool {
        self.objects.get(key).await.unwrap().is_some()
    }

    /// Puts an endpoint of one route, `/<name>`.
    pub async fn route(&self, name: &str, query: &str, more: &str) {
        let text = format!(
            "metadata: {{ name: {name}, description: A test's }}\nroutes:\n  /{name}:\n    datasource: lake\n    \
             query: {}\n{more}",
            json!(query)
        );
        let key = keys::definition("endpoint", name);
        self.objects.put(&key, Bytes::from(text)).await.unwrap();
    }

    /// The whole answer.
    pub async fn ask(&self, uri: &str) -> Response<Bytes> {
        let request = Request::get(uri).body(Bytes::new()).unwrap();
        self.serve.handle(request).await
    }

    /// Its status and its body.
    pub async fn get(&self, uri: &str) -> (u16, Value) {
        let answer = self.ask(uri).await;
        let body = serde_json::from_slice(answer.body()).unwrap();
        (answer.status().as_u16(), body)
    }
}

fn serve(lake: Lake, objects: &Arc<dyn Objects>, room: &Room, seal: &str) -> Serve {
    let variables = [("seal", seal), ("consumers", CONSUMERS)];
    let variables = variables.map(|(name, text)| (LocalSecrets::variable(name), text.to_owned()));
    let secrets = Arc::new(LocalSecrets::new(None, variables));
    let seal = "seal".to_owned();
    let source = LakeSource::new(lake, objects.clone(), secrets.clone(), seal, room).unwrap();
    Serve::new(
        objects.clone(),
        secrets,
        Sources::of(Datasource::Lake, source),
    )
}

async fn write(lake: &Lake, mut first: usize, files: &[usize]) {
    let schema = batch(0, 1).schema();
    let mut added = Vec::new();
    for count in files {
        let mut writer = lake.writer("tables/made/numbers", schema.clone());
        writer.write(&batch(first, *count)).await.unwrap();
        added.extend(writer.finish().await.unwrap());
        first += count;
    }
    let table = lake.table("tables/made/numbers").await.unwrap();
    let known = table.as_ref();
    let commit = Commit {
        kind: WriteKind::Replace,
        added,
        removed: known.map_or_else(Vec::new, millrace_lake::Table::files),
        schema,
        sequence: known.map_or(0, millrace_lake::Table::version) + 1,
        brought: None,
        note: None,
    };
    match table {
        None => lake
            .create("tables/made/numbers", commit)
            .await
            .map(drop)
            .unwrap(),
        Some(table) => table.commit(commit).await.map(drop).unwrap(),
    }
}

fn batch(first: usize, count: usize) -> RecordBatch {
    let numbers = || (first..first + count).map(|number| number as i64);
    let texts = numbers().map(|number| format!("{:032}", number * 7_919));
    let columns: [(&str, ArrayRef); 2] = [
        ("id", Arc::new(Int64Array::from_iter_values(numbers()))),
        ("text", Arc::new(StringArray::from_iter_values(texts))),
    ];
    let columns = columns.map(|(name, values)| (name, values, true));
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}
