//! Endpoints over a database of one's own.

use bytes::Bytes;
use http::{Request, Response};
use millrace_model::definition::Datasource;
use millrace_postgres::private::PrivateServer;
use millrace_postgres::{Credentials, connect};
use millrace_serve::source::Sources;
use millrace_serve::{Serve, server};
use millrace_serve_postgres::Postgres;
use millrace_store::objects::{Folder, Objects};
use millrace_store::secrets::LocalSecrets;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_postgres::Client;

/// The store as its reader sees it.
fn reading(secrets: Arc<LocalSecrets>) -> Postgres {
    Postgres::new(secrets, "millrace/reader".to_owned())
}

fn sources(store: Postgres) -> Sources {
    Sources::of(Datasource::OperationalStore, store)
}

/// Endpoints, and the store that they read.
#[allow(dead_code, reason = "each file of tests uses some of it")]
pub struct Place {
    pub serve: Serve,
    pub objects: Arc<dyn Objects>,
    pub owner: Credentials,
    pub reader: Credentials,
    /// The owner's connection.
    pub client: Client,
    pub server: PrivateServer,
    dir: TempDir,
}

#[allow(dead_code, reason = "each file of tests uses some of it")]
impl Place {
    /// A fresh database, on a server that all tests share.
    pub async fn new() -> Self {
        let server = PrivateServer::start(
            &Path::new(env!("CARGO_TARGET_TMPDIR")).join("postgres"),
            None,
        )
        .await
        .unwrap();
        let (owner, reader) = server.fresh_store("serve").await.unwrap();
        let client = connect(&owner, "test").await.unwrap();
        client.batch_execute("CREATE SCHEMA s").await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let objects: Arc<dyn Objects> = Arc::new(Folder::new(dir.path().join("lake")));
        let secrets = Arc::new(LocalSecrets::new(Some(dir.path().join("secrets.yaml")), []));
        let serve = Serve::new(objects.clone(), secrets.clone(), sources(reading(secrets)));
        let place = Self {
            serve,
            objects,
            owner,
            reader,
            client,
            server,
            dir,
        };
        place.secrets(&place.reader.to_secret());
        place
    }

    /// The same endpoints once more, for a server of their own, with at most so many connections to the store.
    pub fn another(&self, connections: usize) -> Serve {
        let file = self.dir.path().join("secrets.yaml");
        let secrets = Arc::new(LocalSecrets::new(Some(file), []));
        let source = reading(secrets.clone()).connections(connections);
        Serve::new(self.objects.clone(), secrets, sources(source))
    }

    /// Puts the reader's secret, beside the consumers'.
    pub fn secrets(&self, reader: &str) {
        let secrets = json!({
            "millrace/reader": serde_json::from_str::<Value>(reader).unwrap(),
            "millrace/consumers": { "dashboard": "key-of-dashboard" },
        });
        std::fs::write(self.dir.path().join("secrets.yaml"), secrets.to_string()).unwrap();
    }

    /// Puts another secret, beside the reader's.
    pub fn secret(&self, name: &str, value: &Value) {
        let reader: Value = serde_json::from_str(&self.reader.to_secret()).unwrap();
        let secrets = json!({ "millrace/reader": reader, name: value });
        std::fs::write(self.dir.path().join("secrets.yaml"), secrets.to_string()).unwrap();
    }

    /// Puts an endpoint of one route.
    pub async fn route(&self, name: &str, path: &str, query: &str, more: &str) {
        let text = format!(
            "metadata: {{ name: {name}, description: A test's }}\nroutes:\n  {path}:\n    datasource: operational_store\n    \
             query: {}\n{more}",
            json!(query)
        );
        let key = millrace_model::keys::definition("endpoint", name);
        self.objects.put(&key, Bytes::from(text)).await.unwrap();
    }

    pub async fn send(&self, request: Request<Bytes>) -> Response<Bytes> {
        self.serve.handle(request).await
    }

    pub async fn get(&self, uri: &str) -> (u16, Value) {
        let response = self
            .send(Request::get(uri).body(Bytes::new()).unwrap())
            .await;
        let body = serde_json::from_slice(response.body()).unwrap_or_else(|error| {
            panic!("{error}: {}", String::from_utf8_lossy(response.body()));
        });
        (response.status().as_u16(), body)
    }

    /// All rows, page by page.
    pub async fn pages(&self, uri: &str, limit: usize) -> Vec<Value> {
        let mut rows = Vec::new();
        let mut cursor = String::new();
        let separator = if uri.contains('?') { '&' } else { '?' };
        loop {
            let (status, mut body) = self
                .get(&format!("{uri}{separator}limit={limit}{cursor}"))
                .await;
            assert_eq!(status, 200, "{body}");
            let Value::Array(data) = body["data"].take() else {
                panic!("{body}")
            };
            assert!(data.len() <= limit);
            assert!(body["page"]["next"].is_null() || data.len() == limit);
            rows.extend(data);
            match body["page"]["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return rows,
            }
        }
    }
}

/// A server that runs until it is told to stop.
#[allow(dead_code, reason = "each file of tests uses some of it")]
pub struct Running {
    pub address: SocketAddr,
    pub stop: oneshot::Sender<()>,
    pub ended: tokio::task::JoinHandle<std::io::Result<()>>,
}

/// The endpoints as a server of their own, with four connections to the store.
#[allow(dead_code, reason = "each file of tests uses some of it")]
pub async fn start(place: &Place) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, told) = oneshot::channel::<()>();
    let stopped = async {
        told.await.ok();
    };
    let serve = place.another(4);
    let ended = tokio::spawn(server::run(listener, serve, stopped));
    Running {
        address,
        stop,
        ended,
    }
}
