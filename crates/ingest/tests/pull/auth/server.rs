//! A source that shows its items to whom it may concern, and what a pull from it needs.

use crate::support::{World, limits};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use millrace_ingest::Ingest;
use millrace_model::Failure;
use millrace_model::definition::parse;
use millrace_model::definition::pipeline::Paginate;
use millrace_model::step::{Deadline, StepOutput, Unobserved};
use millrace_store::secrets::LocalSecrets;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::task::JoinHandle;

pub const PAGES: usize = 6;
pub const ITEMS: usize = 5;

/// A request as the source sees it.
pub struct Call {
    pub method: String,
    pub uri: String,
    pub path: String,
    pub query: BTreeMap<String, String>,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Call {
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    pub fn bearer(&self) -> &str {
        self.header("authorization")
            .strip_prefix("Bearer ")
            .unwrap_or_default()
    }

    pub fn form(&self) -> BTreeMap<String, String> {
        url::form_urlencoded::parse(&self.body)
            .into_owned()
            .collect()
    }

    /// The client by `Authorization: Basic`, as `id:secret`.
    pub fn basic(&self) -> String {
        let pair = self
            .header("authorization")
            .strip_prefix("Basic ")
            .unwrap_or_default();
        String::from_utf8(STANDARD.decode(pair).unwrap()).unwrap()
    }
}

/// An answer: status, headers, body.
pub struct Answer(pub u16, pub Vec<(&'static str, String)>, pub Value);

pub fn refused(status: u16, body: Value) -> Answer {
    Answer(status, Vec::new(), body)
}

pub fn granted(body: Value) -> Answer {
    Answer(200, Vec::new(), body)
}

/// The page that is asked for.
pub fn items(call: &Call) -> Answer {
    let page: usize = call.query["page"].parse().unwrap();
    let count = if page <= PAGES { ITEMS } else { 0 };
    let items: Vec<_> = (0..count)
        .map(|number| json!({ "id": format!("{page}-{number}") }))
        .collect();
    granted(json!({ "items": items }))
}

/// A source that answers so, and ends with the test.
pub struct Server {
    pub url: String,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub async fn serve(answer: impl Fn(&Call) -> Answer + Send + Sync + 'static) -> Server {
    let answer = Arc::new(answer);
    let app = Router::new().fallback(move |request: Request| {
        let answer = Arc::clone(&answer);
        async move {
            let (parts, body) = request.into_parts();
            let query = parts.uri.query().unwrap_or_default().as_bytes();
            let call = Call {
                method: parts.method.to_string(),
                uri: parts.uri.to_string(),
                path: parts.uri.path().to_owned(),
                query: url::form_urlencoded::parse(query).into_owned().collect(),
                headers: parts.headers,
                body: to_bytes(body, 1 << 20).await.unwrap().to_vec(),
            };
            let Answer(status, headers, body) = answer(&call);
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(name, value);
            }
            response.body(Body::from(body.to_string())).unwrap()
        }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    Server { url, task }
}

/// A lake and secrets of this machine, for a source whose connection has that `auth`; `URL` in it is the source's.
pub struct Place {
    pub world: World,
    folder: tempfile::TempDir,
}

impl Place {
    pub fn new(url: &str, auth: &str, secret: &str) -> Self {
        let mut world = World::new(url, "/items", "items");
        world.connection = connection(url, auth);
        world.resource.paginate = pages();
        let folder = tempfile::tempdir().unwrap();
        let place = Self { world, folder };
        place.put_secret(secret);
        place
    }

    /// Puts a secret in as its author does.
    pub fn put_secret(&self, secret: &str) {
        let text = json!({ "millrace/source": secret }).to_string();
        std::fs::write(self.folder.path().join("secrets.yaml"), text).unwrap();
    }

    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    pub fn ingest(&self) -> Ingest {
        let secrets = Arc::new(secrets(&self.folder()));
        Ingest::new(self.world.objects.clone(), secrets).with_limits(limits())
    }

    pub async fn run(&self, run: u32) -> Result<StepOutput, Failure> {
        let input = self.world.input(run).await;
        self.ingest().run(&input, Deadline::NONE, &Unobserved).await
    }

    /// Runs, and asserts that all is there.
    pub async fn pull(&self, run: u32) {
        self.run(run).await.unwrap();
        assert_eq!(self.world.pulled(run).await.ids().len(), PAGES * ITEMS);
    }
}

pub fn secrets(folder: &std::path::Path) -> LocalSecrets {
    LocalSecrets::new(Some(folder.join("secrets.yaml")), []).written_to(folder.join("written"))
}

pub fn connection(url: &str, auth: &str) -> millrace_model::definition::Connection {
    let auth = auth
        .replace("URL", url)
        .replace("SECRET", "aws::secret/millrace/source");
    let text = format!("connection: source\nbase_url: {url}\nauth:\n  {auth}\n");
    parse::connection("connections/source.yaml", &text).unwrap()
}

pub fn pages() -> Paginate {
    Paginate::Page {
        page_param: "page".into(),
        size_param: None,
        size: Some(ITEMS as u64),
        end: millrace_model::definition::pipeline::End::default(),
        first: 1,
    }
}
