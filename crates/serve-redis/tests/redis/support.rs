//! A lake with a table, stores to publish it to, and endpoints over them.

use arrow::array::RecordBatch;
use bytes::Bytes;
use http::{Request, Response};
use millrace_lake::{Commit, Lake, WriteKind};
use millrace_model::definition::Datasource;
use millrace_model::definition::set::DefinitionSet;
use millrace_model::ledger::RunId;
use millrace_model::step::{Deadline, StepInput, StepOutput, Unobserved};
use millrace_model::{Failure, keys};
use millrace_postgres::private::PrivateServer as PostgresServer;
use millrace_publish::Publish;
use millrace_redis::private::PrivateServer;
use millrace_redis::{Connection, login};
use millrace_serve::Serve;
use millrace_serve::source::Sources;
use millrace_serve_postgres::Postgres;
use millrace_serve_redis::Redis;
use millrace_store::definitions;
use millrace_store::objects::{Folder, Objects};
use millrace_store::secrets::{LocalSecrets, Secrets};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

const TABLE: &str = "tables/shop/orders";

pub struct Place {
    pub serve: Serve,
    pub server: PrivateServer,
    /// The server's admin.
    pub admin: Connection,
    publish: Publish,
    lake: Lake,
    definition: String,
    _postgres: Option<PostgresServer>,
    dir: TempDir,
}

impl Place {
    /// A place for `shop.orders` of that key, published so and read so. Secrets stand in a file that may change.
    pub async fn new(key: &str, publish: &str, endpoint: &str, with_postgres: bool) -> Self {
        let server = PrivateServer::start(None).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let mut secrets = serde_json::json!({
            "redis/owner": server.owner().to_secret(),
            "redis/reader": server.reader().to_secret(),
            "redis/admin": server.admin().to_secret(),
            "consumers": r#"{"all":{"keys":["k-all"],"scopes":["pii"],"claims":{"tenant":"a"}},"few":"k-few"}"#,
        });
        let postgres = if with_postgres {
            let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("postgres");
            let postgres = PostgresServer::start(&folder, None).await.unwrap();
            let (owner, reader) = postgres.fresh_store("redis").await.unwrap();
            secrets["owner"] = owner.to_secret().into();
            secrets["reader"] = reader.to_secret().into();
            Some(postgres)
        } else {
            None
        };
        let file = dir.path().join("secrets.json");
        std::fs::write(&file, secrets.to_string()).unwrap();
        let secrets: Arc<dyn Secrets> = Arc::new(LocalSecrets::new(Some(file), []));
        let objects: Arc<dyn Objects> = Arc::new(Folder::new(dir.path().join("lake")));
        let lake = Lake::at(dir.path().join("lake").to_str().unwrap()).unwrap();
        let definition = define(&*objects, key, publish, endpoint).await;
        let redis = Redis::new(secrets.clone(), "redis/reader".to_owned());
        let store = Postgres::new(secrets.clone(), "reader".to_owned());
        let sources =
            Sources::of(Datasource::OperationalStore, store).and(Datasource::Redis, redis);
        let publish = Publish::new(
            objects.clone(),
            lake.clone(),
            secrets.clone(),
            "owner".to_owned(),
        );
        Self {
            admin: login(&*secrets, "redis/admin", Duration::from_secs(5))
                .await
                .unwrap(),
            serve: Serve::new(objects, secrets, sources),
            server,
            publish: publish.with_redis(Some("redis/owner")),
            lake,
            definition,
            _postgres: postgres,
            dir,
        }
    }

    /// Changes a secret.
    pub fn set_secret(&self, name: &str, value: &str) {
        let file = self.dir.path().join("secrets.json");
        let text = std::fs::read_to_string(&file).unwrap();
        let mut secrets: serde_json::Value = serde_json::from_str(&text).unwrap();
        secrets[name] = value.into();
        std::fs::write(&file, secrets.to_string()).unwrap();
    }

    /// Puts these rows in the place of those that are there.
    pub async fn put(&mut self, rows: &RecordBatch) {
        let table = self.lake.table(TABLE).await.unwrap();
        let mut writer = self.lake.writer(TABLE, rows.schema());
        writer.write(rows).await.unwrap();
        let commit = Commit {
            kind: WriteKind::Replace,
            added: writer.finish().await.unwrap(),
            removed: table
                .as_ref()
                .map_or_else(Vec::new, millrace_lake::Table::files),
            schema: rows.schema(),
            sequence: table.as_ref().map_or(0, millrace_lake::Table::version) + 1,
            brought: None,
            note: None,
        };
        match table {
            None => self.lake.create(TABLE, commit).await.map(drop).unwrap(),
            Some(table) => table.commit(commit).await.map(drop).unwrap(),
        }
    }

    /// Carries out the step of that name.
    pub async fn publish(&self, step: &str) -> Result<StepOutput, Failure> {
        let input = StepInput {
            run: RunId::new("shop", 1_800_000_000, 7),
            pipeline: "shop".to_owned(),
            definition: self.definition.clone(),
            name: step.to_owned(),
            invocation: 0,
        };
        self.publish.run(&input, Deadline::NONE, &Unobserved).await
    }

    /// Waits for as long as a new version may stay unseen.
    pub async fn new_version_is_seen(&self) {
        tokio::time::sleep(Duration::from_millis(1050)).await;
    }

    pub async fn ask(&self, path: &str, accept: &str) -> (u16, Vec<u8>) {
        let answer = self.get(path, &[("accept", accept)]).await;
        (answer.status().as_u16(), answer.into_body().to_vec())
    }

    pub async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Response<Bytes> {
        let mut request = Request::get(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.serve.handle(request.body(Bytes::new()).unwrap()).await
    }
}

/// Puts the definitions, and pins what publish is asked for.
async fn define(objects: &dyn Objects, key: &str, publish: &str, endpoint: &str) -> String {
    let pipeline = format!(
        "pipeline: shop\ndescription: A shop\nresources:\n  - {{ name: orders, connection: shop, path: /orders, records: items, \
         key: [id] }}\ntables:\n  - name: orders\n    from: orders\n    write: upsert\n    key: [{key}]\n    \
         columns: {{ more: {{ type: json }} }}\npublish:\n{publish}"
    );
    let files = [
        ("pipelines/shop.yaml", pipeline),
        (
            "connections/shop.yaml",
            "connection: shop\nbase_url: https://shop.invalid\nauth: none\n".to_owned(),
        ),
        ("endpoints/same.yaml", endpoint.to_owned()),
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
    definitions::pin(objects, &pinned).await.unwrap()
}
