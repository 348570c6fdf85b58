//! A table in the lake, its recent rows in a store, and routes over both.

use crate::rows::{DAY, Orders, batch};
use bytes::Bytes;
use http::{Request, Response};
use millrace_lake::{Commit, Lake, Table, WriteKind};
use millrace_model::definition::Datasource;
use millrace_model::definition::set::DefinitionSet;
use millrace_model::ledger::RunId;
use millrace_model::step::{Deadline, StepInput, Unobserved};
use millrace_postgres::private::PrivateServer;
use millrace_postgres::{Credentials, connect};
use millrace_publish::Publish;
use millrace_serve::Serve;
use millrace_serve::source::Sources;
use millrace_serve_lake::{LakeSource, Room};
use millrace_serve_postgres::Postgres;
use millrace_store::definitions;
use millrace_store::objects::{Folder, Objects};
use millrace_store::secrets::{Caller, LocalSecrets};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;
use tokio_postgres::Client;

const KEY: &str = "tables/shop/orders";
/// When the first run starts, in seconds.
pub const START: i64 = 20_000 * DAY;

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
pub const ROUTES: [(&str, &str, &str); 6] = [
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

/// What routes over both stores have, and those over the lake.
const UNITED: &str = "datasource: operational_store\n    older: lake";
const IN_THE_LAKE: &str = "datasource: lake";

pub struct Place {
    pub serve: Serve,
    publish: Publish,
    pub lake: Lake,
    objects: Arc<dyn Objects>,
    secrets: Arc<LocalSecrets>,
    input: StepInput,
    pub set: DefinitionSet,
    owner: Credentials,
    _server: PrivateServer,
    pub dir: TempDir,
}

impl Place {
    pub async fn new() -> Self {
        Self::with(&[]).await
    }

    /// With routes beside those of [`ROUTES`], each with its name, its query and its other fields; these are there twice
    /// as well.
    pub async fn with(more: &[(&str, &str, &str)]) -> Self {
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
        let (set, input) = define(&objects, more).await;
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
            owner,
            _server: server,
            dir,
        }
    }

    /// Lets another process answer, which knows nothing yet.
    pub fn begin_anew(&mut self) {
        self.serve = serve(&self.lake, &self.objects, &self.secrets);
    }

    /// A connection of the store's owner.
    pub async fn owner(&self) -> Client {
        connect(&self.owner, "a test").await.unwrap()
    }

    /// Puts these rows in the place of those that are there, in two files.
    pub async fn put(&self, orders: &Orders) {
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

    /// Publishes what is there, as a run that starts then does.
    pub async fn published_at(&self, seconds: i64) {
        let input = StepInput {
            run: RunId::new("shop", seconds, 7),
            ..self.input.clone()
        };
        let published = self.publish.run(&input, Deadline::NONE, &Unobserved);
        published.await.unwrap();
    }

    /// The whole answer, to a caller who is known where one is given.
    pub async fn ask(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        caller: Option<&Caller>,
    ) -> Response<Bytes> {
        let mut request = Request::get(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Bytes::new()).unwrap();
        match caller {
            None => self.serve.handle(request).await,
            Some(caller) => self.serve.answer_to(request, caller.clone()).await,
        }
    }

    pub async fn get(&self, path: &str, accept: &str) -> (u16, Bytes) {
        let answer = self.ask(path, &[("accept", accept)], None).await;
        (answer.status().as_u16(), answer.into_body())
    }

    /// A page's rows, and the next one's path.
    pub async fn page(&self, path: &str) -> (Vec<Value>, Option<String>) {
        self.page_of(path, None).await
    }

    async fn page_of(&self, path: &str, caller: Option<&Caller>) -> (Vec<Value>, Option<String>) {
        let answer = self.ask(path, &[], caller).await;
        let (status, body) = (answer.status(), answer.body());
        assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(body));
        let mut body: Value = serde_json::from_slice(body).unwrap();
        let next = body["page"]["next"].as_str().map(|next| {
            let (before, _) = path.split_once("&cursor=").unwrap_or((path, ""));
            format!("{before}&cursor={next}")
        });
        (std::mem::take(body["data"].as_array_mut().unwrap()), next)
    }

    /// The rows of all pages.
    pub async fn all(&self, path: &str) -> Vec<Value> {
        self.all_of(path, None).await
    }

    /// The same, as a caller gets them.
    pub async fn all_of(&self, path: &str, caller: Option<&Caller>) -> Vec<Value> {
        let (mut rows, mut next) = self.page_of(path, caller).await;
        while let Some(path) = next {
            let (more, behind) = self.page_of(&path, caller).await;
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
    // One connection: what a request leaves on it, the next one meets.
    let store = Postgres::new(secrets.clone(), "reader".to_owned()).connections(1);
    let sources = Sources::of(Datasource::OperationalStore, store);
    let sources = sources.and(Datasource::Lake, lake.unwrap());
    Serve::new(objects.clone(), secrets.clone(), sources)
}

async fn define(
    objects: &Arc<dyn Objects>,
    more: &[(&str, &str, &str)],
) -> (DefinitionSet, StepInput) {
    let own = ROUTES.map(|(name, query, params)| {
        let sort = if name == "down" { "[at]" } else { "[]" };
        let fields = format!("    params: [{params}]\n    sort: {sort}\n");
        (name, query, fields)
    });
    let more = more
        .iter()
        .map(|(name, query, fields)| (*name, *query, (*fields).to_owned()));
    let all: Vec<_> = own.into_iter().chain(more).collect();
    let routes = |prefix: &str, datasource: &str| {
        let routes = all.iter().map(|(name, query, fields)| {
            let query = json!(query);
            format!("  /{prefix}/{name}:\n    {datasource}\n    query: {query}\n{fields}")
        });
        routes.collect::<String>()
    };
    let endpoint = format!(
        "metadata: {{ name: both, description: The same twice }}\nroutes:\n{}{}",
        routes("both", UNITED),
        routes("lake", IN_THE_LAKE)
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
