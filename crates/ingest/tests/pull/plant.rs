//! Definitions as authors write them, pulled from a source that notes what it is asked.

use crate::support::{Mortal, OneSecret, let_waits_pass, limits, run_id, serve};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, Uri};
use axum::response::{IntoResponse, Response};
use millrace_ingest::{Ingest, Limits};
use millrace_model::definition::{Pinned, parse};
use millrace_model::mode::RunMode;
use millrace_model::raw::Manifest;
use millrace_model::state::ResourceState;
use millrace_model::step::{Deadline, Next, StepInput, StepOutput, Unobserved};
use millrace_model::{Failure, keys};
use millrace_records::Rules;
use millrace_store::objects::{Folder, Objects};
use millrace_store::{definitions, json};
use serde_json::Value;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};

/// A request that a source was sent.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Asked {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).unwrap()
    }

    /// The value of a query parameter.
    pub fn param(&self, name: &str) -> Option<String> {
        let query = self.uri.query().unwrap_or_default();
        url::form_urlencoded::parse(query.as_bytes())
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }

    pub fn number(&self, name: &str, default: usize) -> usize {
        self.param(name)
            .map_or(default, |text| text.parse().unwrap())
    }
}

type Answer = dyn Fn(&Asked) -> Response + Send + Sync;
type Notes = Arc<Mutex<Vec<Asked>>>;

/// A source whose answers a function makes.
pub struct Source {
    pub url: String,
    asked: Notes,
}

impl Source {
    pub async fn new(answer: impl Fn(&Asked) -> Response + Send + Sync + 'static) -> Self {
        let asked: Notes = Arc::default();
        let state: (Arc<Answer>, _) = (Arc::new(answer), asked.clone());
        let router = Router::new().fallback(handle).with_state(state);
        Self {
            url: serve(router).await,
            asked,
        }
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

async fn handle(
    State((answer, asked)): State<(Arc<Answer>, Notes)>,
    request: Request<Body>,
) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let one = Asked {
        method: parts.method,
        uri: parts.uri,
        headers: parts.headers,
        body,
    };
    let response = answer(&one);
    asked.lock().unwrap().push(one);
    response
}

pub fn json_of(value: Value) -> Response {
    axum::Json(value).into_response()
}

/// A lake and a definition.
pub struct Plant {
    pub objects: Arc<dyn Objects>,
    pub limits: Limits,
    pinned: Pinned,
    _folder: tempfile::TempDir,
}

impl Plant {
    /// A pipeline `plant` of those resources, whose connection is `source`.
    pub fn new(url: &str, resources: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            objects: Arc::new(Folder::new(folder.path())),
            limits: limits(),
            pinned: pinned(url, resources),
            _folder: folder,
        }
    }

    /// With another definition from now on, and the lake as it is.
    pub fn redefine(&mut self, url: &str, resources: &str) {
        self.pinned = pinned(url, resources);
    }

    /// With so many requests at once from now on.
    pub fn at_once(&mut self, concurrency: u32) {
        self.pinned.connections[0].politeness.concurrency = Some(concurrency);
    }

    /// As if the waits that the source has asked for were over, and what others hold had run out.
    pub async fn let_waits_pass(&self) {
        let_waits_pass(&*self.objects).await;
    }

    /// With runs of that mode from now on.
    pub fn set_mode(&mut self, mode: RunMode) {
        self.pinned = self.pinned.clone().in_mode(mode).unwrap();
    }

    pub async fn input(&self, run: u32, name: &str) -> StepInput {
        StepInput {
            run: run_id(run),
            pipeline: "seismology".into(),
            definition: definitions::pin(&*self.objects, &self.pinned)
                .await
                .unwrap(),
            name: name.into(),
            invocation: 0,
        }
    }

    pub fn ingest(&self) -> Ingest {
        let secrets = Arc::new(OneSecret::new("none"));
        Ingest::new(self.objects.clone(), secrets).with_limits(self.limits)
    }

    /// A step that loses its lake with that call.
    pub fn ingest_until(&self, calls: usize) -> Ingest {
        let objects = Mortal {
            inner: self.objects.clone(),
            calls_left: AtomicUsize::new(calls),
            carries_out_the_last: calls.is_multiple_of(2),
        };
        let secrets = Arc::new(OneSecret::new("none"));
        Ingest::new(Arc::new(objects), secrets).with_limits(self.limits)
    }

    pub async fn run(&self, name: &str) -> Result<StepOutput, Failure> {
        self.run_again(1, name).await
    }

    /// Pulls a resource in the run of that number.
    pub async fn run_again(&self, run: u32, name: &str) -> Result<StepOutput, Failure> {
        self.ingest()
            .run(&self.input(run, name).await, Deadline::NONE, &Unobserved)
            .await
    }

    /// Pulls a resource to its end, and gives its records as transform reads them.
    pub async fn pull(&self, name: &str) -> Vec<Value> {
        assert_eq!(self.run(name).await.unwrap().next, Next::Done);
        self.records(name).await
    }

    pub async fn state(&self, name: &str) -> Option<ResourceState> {
        let key = keys::state("seismology", name);
        json::get(&*self.objects, &key).await.unwrap()
    }

    pub async fn manifests(&self, name: &str) -> Vec<Manifest> {
        self.manifests_of(1, name).await
    }

    pub async fn manifests_of(&self, run: u32, name: &str) -> Vec<Manifest> {
        let folder = keys::raw_manifests("seismology", name, &run_id(run));
        let mut manifests = Vec::new();
        for entry in self.objects.list(&folder, None, 10_000).await.unwrap() {
            manifests.push(
                json::get(&*self.objects, &entry.key)
                    .await
                    .unwrap()
                    .unwrap(),
            );
        }
        manifests
    }

    pub async fn records(&self, name: &str) -> Vec<Value> {
        self.records_of(1, name).await
    }

    /// The records of the run of that number, as transform reads them.
    pub async fn records_of(&self, run: u32, name: &str) -> Vec<Value> {
        let rules = Rules::of(self.pinned.pipeline.resource(name).unwrap());
        let mut records = Vec::new();
        for manifest in self.manifests_of(run, name).await {
            let Some(object) = manifest.object else {
                continue;
            };
            let object = self.objects.get(&object).await.unwrap().unwrap();
            for page in manifest.pages.iter().filter(|page| !page.origin.is_aside) {
                let frame =
                    &object.bytes[page.offset as usize..(page.offset + page.length) as usize];
                let body = zstd::decode_all(frame).unwrap();
                let all = rules.read_all(body.clone(), page).unwrap();
                assert_eq!(all.records.len() as u64, page.records, "{}", page.url);
                let ready = rules.read(body, page).unwrap();
                records.extend(
                    ready.records.iter().map(|span| {
                        serde_json::from_str::<Value>(&ready.text[span.clone()]).unwrap()
                    }),
                );
            }
        }
        records
    }
}

fn pinned(url: &str, resources: &str) -> Pinned {
    let connection = format!("connection: source\nbase_url: {url}\n");
    let connection = parse::connection("connections/source.yaml", &connection).unwrap();
    let pipeline = format!(
        "pipeline: seismology\nconfig: {{ tenant: acme, depth: 3 }}\nresources:\n{resources}"
    );
    let pipeline = parse::pipeline("pipelines/seismology.yaml", &pipeline)
        .unwrap_or_else(|problems| panic!("{problems:#?}"));
    Pinned {
        pipeline,
        connections: vec![connection],
        endpoints: Vec::new(),
        mode: RunMode::default(),
    }
}
