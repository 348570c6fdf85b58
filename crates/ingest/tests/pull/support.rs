//! A lake in a folder, a source in this process, and what lies in the lake after a pull.

use async_trait::async_trait;
use axum::Router;
use bytes::Bytes;
use millrace_ingest::{Ingest, Limits};
use millrace_model::definition::connection::{Auth, Politeness, RateLimit, Timeouts};
use millrace_model::definition::format::Format;
use millrace_model::definition::pipeline::{
    Concurrency, CursorValue, End, Incremental, OnRefusal, Paginate, Pipeline, RequestForm,
    Resource, Slices, TimestampForm,
};
use millrace_model::definition::{Connection, FieldPath, Pinned, SecretRef};
use millrace_model::ledger::RunId;
use millrace_model::mode::RunMode;
use millrace_model::raw::{Manifest, Page, Position};
use millrace_model::state::ResourceState;
use millrace_model::step::{Deadline, Next, StepInput, StepOutput, Unobserved};
use millrace_model::{Failure, keys};
use millrace_store::objects::{Entry, Error, ErrorKind, Folder, Object, Objects, Version};
use millrace_store::secrets::{Secret, SecretError, SecretErrorKind, SecretVersion, Secrets};
use millrace_store::{definitions, json};
use sample::{Options, Running};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

pub const SECRET: &str = "millrace/source";

/// Limits with which tests are quick, and with which a pull has many segments.
pub fn limits() -> Limits {
    Limits {
        segment_bytes: 40_000,
        backoff_first: Duration::from_millis(4),
        backoff_most: Duration::from_millis(20),
        reserve: Duration::from_millis(200),
        ..Limits::default()
    }
}

/// Secrets of which there is one: as a copy has it, and as it is now.
#[derive(Debug)]
pub struct OneSecret {
    pub copy: String,
    pub now: String,
}

impl OneSecret {
    pub fn new(text: &str) -> Self {
        Self {
            copy: text.to_owned(),
            now: text.to_owned(),
        }
    }
}

#[async_trait]
impl Secrets for OneSecret {
    async fn get(&self, name: &str) -> Result<Secret, SecretError> {
        Ok(Secret::new(name, &self.copy))
    }

    async fn refresh(&self, name: &str) -> Result<Secret, SecretError> {
        Ok(Secret::new(name, &self.now))
    }

    async fn read(&self, name: &str) -> Result<(Secret, SecretVersion), SecretError> {
        Ok((self.refresh(name).await?, SecretVersion("1".into())))
    }

    async fn replace(
        &self,
        name: &str,
        _: &str,
        _: &SecretVersion,
    ) -> Result<SecretVersion, SecretError> {
        Err(SecretError::new(
            SecretErrorKind::Denied,
            name,
            "may not be written",
        ))
    }
}

/// A lake that is gone from a certain call on, as it is for a process that is killed; the call itself may have been
/// carried out or not.
#[derive(Debug)]
pub struct Mortal {
    pub inner: Arc<dyn Objects>,
    pub calls_left: AtomicUsize,
    pub carries_out_the_last: bool,
}

impl Mortal {
    fn check(&self, key: &str) -> Result<bool, Error> {
        let left = self
            .calls_left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            });
        match left {
            Err(_) => Err(Error::new(ErrorKind::Transient, key)),
            Ok(1) if !self.carries_out_the_last => Err(Error::new(ErrorKind::Transient, key)),
            Ok(left) => Ok(left > 1),
        }
    }

    fn after<T>(is_alive: bool, key: &str, result: Result<T, Error>) -> Result<T, Error> {
        if is_alive {
            result
        } else {
            Err(Error::new(ErrorKind::Transient, key))
        }
    }
}

#[async_trait]
impl Objects for Mortal {
    async fn get(&self, key: &str) -> Result<Option<Object>, Error> {
        let is_alive = self.check(key)?;
        Self::after(is_alive, key, self.inner.get(key).await)
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, Error> {
        let is_alive = self.check(key)?;
        Self::after(is_alive, key, self.inner.get_range(key, range).await)
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<Version, Error> {
        let is_alive = self.check(key)?;
        Self::after(is_alive, key, self.inner.put(key, bytes).await)
    }

    async fn create(&self, key: &str, bytes: Bytes) -> Result<Version, Error> {
        let is_alive = self.check(key)?;
        Self::after(is_alive, key, self.inner.create(key, bytes).await)
    }

    async fn replace(&self, key: &str, bytes: Bytes, version: &Version) -> Result<Version, Error> {
        let is_alive = self.check(key)?;
        Self::after(is_alive, key, self.inner.replace(key, bytes, version).await)
    }

    async fn delete(&self, key: &str) -> Result<(), Error> {
        let is_alive = self.check(key)?;
        Self::after(is_alive, key, self.inner.delete(key).await)
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Entry>, Error> {
        let is_alive = self.check(prefix)?;
        Self::after(
            is_alive,
            prefix,
            self.inner.list(prefix, after, limit).await,
        )
    }
}

/// A lake, a definition and a source.
pub struct World {
    pub objects: Arc<dyn Objects>,
    pub connection: Connection,
    pub resource: Resource,
    pub secrets: Arc<OneSecret>,
    _folder: tempfile::TempDir,
}

impl World {
    /// A world whose resource is at that URL and has one page.
    pub fn new(base_url: &str, path: &str, records: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            objects: Arc::new(Folder::new(folder.path())),
            connection: Connection {
                name: "source".into(),
                base_url: base_url.into(),
                auth: Auth::None,
                politeness: Politeness::default(),
                headers: BTreeMap::new(),
                timeouts: Timeouts::default(),
            },
            resource: Resource {
                name: "quakes".into(),
                connection: "source".into(),
                rate_scope: None,
                path: path.into(),
                params: BTreeMap::new(),
                headers: BTreeMap::new(),
                request: RequestForm::default(),
                slices: Slices::default(),
                on_refusal: OnRefusal::default(),
                report: None,
                paginate: Paginate::None,
                format: Format::default(),
                records: FieldPath(records.into()),
                incremental: None,
                personal_data: None,
                filter: None,
                answers: Vec::new(),
                key: vec![FieldPath("id".into())],
            },
            secrets: Arc::new(OneSecret::new("none")),
            _folder: folder,
        }
    }

    /// A world with the earthquakes of a sample source, `limit` to a page.
    pub fn of_quakes(source: &Running, limit: u64) -> Self {
        let mut world = Self::new(&source.event_url(), "/query", "features");
        world.resource.params = BTreeMap::from([
            ("format".into(), "geojson".into()),
            ("orderby".into(), "time-asc".into()),
        ]);
        world.resource.paginate = Paginate::Offset {
            offset_param: "offset".into(),
            limit_param: "limit".into(),
            limit,
            first: 1,
            end: End::default(),
        };
        world
    }

    pub fn incremental(mut self) -> Self {
        self.resource.incremental = Some(Incremental {
            field: FieldPath("properties.updated".into()),
            param: Some("updatedafter".into()),
            start: CursorValue::Timestamp(1_514_764_800_000),
            lookback: Duration::from_secs(10),
            end_param: None,
            lag: Duration::ZERO,
            read: None,
            timezone: None,
            send: TimestampForm::Iso,
        });
        self
    }

    pub fn auth(mut self, auth: impl FnOnce(SecretRef) -> Auth, secret: &str) -> Self {
        self.connection.auth = auth(SecretRef {
            name: SECRET.into(),
            field: None,
        });
        self.secrets = Arc::new(OneSecret::new(secret));
        self
    }

    pub fn rate_limit(mut self, requests: u32, per: Duration) -> Self {
        self.connection.politeness.rates = vec![RateLimit { requests, per }];
        self
    }

    /// The first invocation's input of that run.
    pub async fn input(&self, run: u32) -> StepInput {
        let pinned = Pinned {
            pipeline: Pipeline {
                name: "seismology".into(),
                description: String::new(),
                schedule: None,
                concurrency: Concurrency::Forbid,
                config: BTreeMap::new(),
                resources: vec![self.resource.clone()],
                tables: Vec::new(),
                models: Vec::new(),
                publish: Vec::new(),
            },
            connections: vec![self.connection.clone()],
            endpoints: Vec::new(),
            mode: RunMode::default(),
        };
        StepInput {
            run: run_id(run),
            pipeline: "seismology".into(),
            definition: definitions::pin(&*self.objects, &pinned).await.unwrap(),
            name: "quakes".into(),
            invocation: 0,
        }
    }

    pub fn ingest(&self) -> Ingest {
        Ingest::new(self.objects.clone(), self.secrets.clone()).with_limits(limits())
    }

    pub fn ingest_until(&self, calls: usize, carries_out_the_last: bool) -> Ingest {
        let objects = Mortal {
            inner: self.objects.clone(),
            calls_left: AtomicUsize::new(calls),
            carries_out_the_last,
        };
        Ingest::new(Arc::new(objects), self.secrets.clone()).with_limits(limits())
    }

    /// Runs without a deadline.
    pub async fn run(&self, run: u32) -> Result<StepOutput, Failure> {
        self.ingest()
            .run(&self.input(run).await, Deadline::NONE, &Unobserved)
            .await
    }

    /// Runs without a deadline, to a good end.
    pub async fn pull(&self, run: u32) -> Pulled {
        let output = self.run(run).await.unwrap();
        assert_eq!(output.next, Next::Done);
        self.pulled(run).await
    }

    /// What a run has left in the lake.
    pub async fn pulled(&self, run: u32) -> Pulled {
        let folder = keys::raw_manifests("seismology", "quakes", &run_id(run));
        let mut manifests: Vec<Manifest> = Vec::new();
        let mut pages = Vec::new();
        for entry in self.objects.list(&folder, None, 10_000).await.unwrap() {
            let manifest: Manifest = json::get(&*self.objects, &entry.key)
                .await
                .unwrap()
                .unwrap();
            assert_eq!(
                manifest.segment as usize,
                manifests.len(),
                "no segment is missing"
            );
            let object = self
                .objects
                .get(manifest.object.as_ref().unwrap())
                .await
                .unwrap()
                .unwrap();
            for page in &manifest.pages {
                let frame =
                    &object.bytes[page.offset as usize..(page.offset + page.length) as usize];
                let body = zstd::decode_all(frame).unwrap();
                assert_eq!(body.len() as u64, page.body_length);
                pages.push((page.clone(), body));
            }
            manifests.push(manifest);
        }
        Pulled {
            manifests,
            pages,
            records: self.resource.records.clone(),
        }
    }

    /// As if the waits that the source has asked for were over.
    pub async fn let_waits_pass(&self) {
        let_waits_pass(&*self.objects).await;
    }

    pub async fn state(&self) -> Option<ResourceState> {
        json::get(&*self.objects, &keys::state("seismology", "quakes"))
            .await
            .unwrap()
    }

    /// All that lies in the lake, as text where it is text.
    pub async fn everything(&self) -> String {
        let mut text = String::new();
        for entry in self.objects.list("", None, 10_000).await.unwrap() {
            let object = self.objects.get(&entry.key).await.unwrap().unwrap();
            text.push_str(&entry.key);
            text.push_str(&String::from_utf8_lossy(&object.bytes));
        }
        text
    }
}

/// What a run has left in the lake.
pub struct Pulled {
    pub manifests: Vec<Manifest>,
    pub pages: Vec<(Page, Vec<u8>)>,
    records: FieldPath,
}

impl Pulled {
    /// The ids of all records, in order.
    pub fn ids(&self) -> Vec<String> {
        let mut ids = Vec::new();
        for (page, body) in self.pages.iter().filter(|(_, body)| !body.is_empty()) {
            let body: serde_json::Value = serde_json::from_slice(body).unwrap();
            let list = self
                .records
                .segments()
                .fold(&body, |value, segment| &value[segment]);
            let list = list.as_array().unwrap();
            assert_eq!(list.len() as u64, page.records);
            ids.extend(
                list.iter()
                    .map(|record| record["id"].as_str().unwrap().to_owned()),
            );
        }
        ids
    }

    pub fn is_complete(&self) -> bool {
        self.manifests
            .last()
            .is_some_and(|manifest| manifest.next == Position::End)
    }

    /// What two runs that pulled the same have in common, whatever happened to them.
    pub fn essence(&self) -> Vec<(String, u16, String, u64)> {
        let essence = |page: &Page| {
            (
                page.url.clone(),
                page.status,
                page.sha256.clone(),
                page.records,
            )
        };
        self.pages.iter().map(|(page, _)| essence(page)).collect()
    }

    /// Asserts that each body is, byte for byte, one that the source sent in answer to that URL.
    pub fn assert_verbatim(&self, source: &Running) {
        let sent = source.sent();
        for (page, _) in &self.pages {
            let path = page.url.strip_prefix(&source.url).unwrap();
            let same = sent
                .iter()
                .any(|sent| sent.url == path && sent.sha256 == page.sha256);
            assert!(same, "{path} was not sent as it was kept");
        }
    }
}

pub fn run_id(run: u32) -> RunId {
    RunId::new("seismology", 1_517_961_600, run)
}

pub async fn source(records: u32) -> Running {
    sample::start(Options {
        records,
        ..Options::default()
    })
    .await
    .unwrap()
}

/// The ids of a source's records, oldest first.
pub async fn ids_of(source: &Running) -> Vec<String> {
    let mut all = World::new(&source.url, "/list", "");
    all.resource.params = BTreeMap::from([("size".into(), "10000".into())]);
    all.pull(999).await.ids()
}

/// As if the waits that a source has asked for were over, and what others hold had run out.
pub async fn let_waits_pass(objects: &dyn Objects) {
    for entry in objects.list("limits/", None, 100).await.unwrap() {
        objects.delete(&entry.key).await.unwrap();
    }
}

/// Serves those routes on a port of their own, and gives back the URL.
pub async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}
