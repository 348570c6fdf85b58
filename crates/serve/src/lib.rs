//! Route → bound SQL → bytes: the endpoints' HTTP interface over sources of data.
//!
//! A request is matched with a route, its key is checked, and its parameters are read by their types. A [`source::Source`]
//! binds them and writes the rows as they come. Whatever happens, the answer is `{"data", "error", "page"}`.

mod access;
mod answer;
mod asked;
mod cache;
pub mod check;
mod column;
mod columnar;
mod compress;
pub mod contract;
mod cursor;
mod dataset;
mod decimal;
mod definitions;
mod docs;
mod export;
mod format;
mod noted;
mod openapi;
mod pages;
mod params;
mod problem;
pub mod reads;
mod routes;
mod rows;
mod sent;
pub mod server;
pub mod source;
mod time;
mod united;
mod value;
mod writer;

use access::{Access, Count, Limits, Quotas};
use bytes::Bytes;
use cache::Cache;
use definitions::Definitions;
use http::{Method, Request, Response};
use millrace_model::definition::endpoint::Route;
use millrace_model::{Failure, keys};
use millrace_store::objects::Objects;
use millrace_store::secrets::{Caller, Secrets};
use noted::Vain;
use problem::Problem;
use routes::{Served, Table};
use source::Sources;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a process gets ready before it answers all the same; Lambda gives ten seconds.
const WARM_UP: Duration = Duration::from_secs(5);

/// The endpoints.
#[derive(Clone, Debug)]
pub struct Serve {
    objects: Arc<dyn Objects>,
    definitions: Arc<Definitions>,
    access: Arc<Access>,
    limits: Arc<Limits>,
    quotas: Arc<Quotas>,
    cache: Arc<Cache>,
    sources: Sources,
    vain: Arc<Vain>,
    /// Whether the lake notifies functions of what they are to do behind an answer; where it does not, this process does
    /// what it can by itself.
    by_notice: bool,
}

impl Serve {
    /// The endpoints that `objects` define, over those sources. Nothing is read yet.
    pub fn new(objects: Arc<dyn Objects>, secrets: Arc<dyn Secrets>, sources: Sources) -> Self {
        Self {
            definitions: Arc::new(Definitions::new(objects.clone())),
            access: Arc::new(Access::new(secrets)),
            limits: Arc::default(),
            quotas: Arc::new(Quotas::new(objects.clone())),
            cache: Arc::default(),
            sources,
            objects,
            vain: Arc::default(),
            by_notice: false,
        }
    }

    /// Leaves what is to be done behind an answer to those whom the lake notifies of it ([`Serve::do_noticed`],
    /// [`Serve::make_noticed`]): a Lambda stands still between two requests.
    #[must_use]
    pub fn by_notice(mut self) -> Self {
        self.by_notice = true;
        self
    }

    /// Does what the notice at that key tells of: makes the files of an export, or notes what routes answer. Whoever answers
    /// for the contract needs no note of its own, and makes exports alone.
    pub async fn do_noticed(&self, key: &str) -> Result<(), Failure> {
        match keys::contract_of_notice(key) {
            Some(datasource) => self.note_rows(datasource).await,
            None => self.make_noticed(key).await,
        }
    }

    /// The same endpoints for several threads, each with its share of the sources; fewer where there is not enough of
    /// these.
    pub(crate) fn share(self, threads: usize) -> Vec<Self> {
        let share = |sources| Self {
            sources,
            ..self.clone()
        };
        self.sources.share(threads).into_iter().map(share).collect()
    }

    /// Reads the definitions and lets the sources get ready, all at once, before anybody asks. What goes wrong with it is
    /// told to those who ask.
    pub async fn warm_up(&self) {
        // What is asked for first is there first, and to log in takes longer than to read definitions.
        let both = async { tokio::join!(self.warm_sources(), self.definitions.table()) };
        tokio::time::timeout(WARM_UP, both).await.ok();
    }

    async fn warm_sources(&self) {
        let all = self.sources.iter().map(|(_, source)| source.warm_up());
        futures::future::join_all(all).await;
    }

    /// Whether requests can be answered with data: the definitions are there, and the sources can be asked.
    pub(crate) async fn ready(&self) -> Result<(), Problem> {
        self.table().await?;
        for (_, source) in self.sources.iter() {
            source.ready().await?;
        }
        Ok(())
    }

    /// The routes.
    async fn table(&self) -> Result<Arc<Table>, Problem> {
        self.definitions.table().await.map_err(|error| {
            tracing::error!(%error, "the endpoints' definitions cannot be read");
            Problem::unavailable()
        })
    }

    /// Answers a request.
    pub async fn handle(&self, request: Request<Bytes>) -> Response<Bytes> {
        self.respond(request, None).await
    }

    /// Answers a request of somebody who is known already, whatever its headers say: of a test, which holds no key.
    pub async fn answer_to(&self, request: Request<Bytes>, caller: Caller) -> Response<Bytes> {
        self.respond(request, Some(caller)).await
    }

    /// The scopes that a request's route wants; none where there is no such route.
    pub async fn scopes(&self, request: &Request<Bytes>) -> Vec<String> {
        let Ok(table) = self.definitions.table().await else {
            return Vec::new();
        };
        let found = table.find(request.uri().path());
        found.map_or_else(Vec::new, |(route, _)| route.route.scopes.clone())
    }

    async fn respond(&self, request: Request<Bytes>, known: Option<Caller>) -> Response<Bytes> {
        let started = Instant::now();
        let head = request.method() == Method::HEAD;
        let mut response = self
            .answer(&request, known)
            .await
            .unwrap_or_else(|problem| answer::problem(&problem));
        tracing::info!(
            method = %request.method(),
            path = request.uri().path(),
            status = response.status().as_u16(),
            bytes = response.body().len(),
            milliseconds = started.elapsed().as_millis() as u64,
            "answered"
        );
        if head {
            let length = response.body().len();
            *response.body_mut() = Bytes::new();
            response
                .headers_mut()
                .insert(http::header::CONTENT_LENGTH, length.into());
        }
        response
    }

    async fn answer(
        &self,
        request: &Request<Bytes>,
        known: Option<Caller>,
    ) -> Result<Response<Bytes>, Problem> {
        let path = request.uri().path();
        let table = self.table().await?;
        let export = export::of_path(path);
        let own = matches!(path, "/docs" | "/docs/" | "/openapi.json") || export.is_some();
        let found = table.find(path);
        if !own && found.is_none() {
            return Err(Problem::not_found(path));
        }
        let allowed = allowed(found.as_ref().map(|(route, _)| &**route));
        let method = match request.method().as_str() {
            "HEAD" => "GET",
            other => other,
        };
        if method == "OPTIONS" {
            return Ok(answer::allow(answer::empty(), allowed));
        }
        if !allowed.split(", ").any(|name| name == method) {
            let problem = Problem::method(request.method().as_str(), allowed);
            return Ok(answer::allow(answer::problem(&problem), allowed));
        }
        if let Some(export) = export {
            return self.export(export, request, known).await;
        }
        match found {
            Some((route, in_path)) => self.serve(&route, &in_path, request, known).await,
            None if path == "/openapi.json" => {
                self.plan_all(&table.routes).await;
                let others = self.rows_of_others(&table.routes).await;
                Ok(answer::document(
                    "application/json",
                    openapi::document(&table.routes, &others),
                ))
            }
            None => Ok(docs::page()),
        }
    }

    async fn serve(
        &self,
        route: &Served,
        in_path: &[(String, String)],
        request: &Request<Bytes>,
        known: Option<Caller>,
    ) -> Result<Response<Bytes>, Problem> {
        let definition = &route.route;
        let caller = match (&definition.auth, known) {
            (Some(_), Some(caller)) => Some(caller),
            (Some(auth), None) => Some(self.access.identify(auth, request.headers()).await?),
            (None, _) => None,
        };
        if let Some(caller) = &caller {
            access::allow(caller, &definition.scopes)?;
        }
        let name = caller.as_ref().map_or("", |caller| caller.name.as_str());
        let count = self.count(definition, name).await;
        let answered = match count.and_then(Count::refusal) {
            Some(refusal) => Err(refusal),
            None => self.rows(route, in_path, request, caller.as_ref()).await,
        };
        let mut response = answered.unwrap_or_else(|problem| answer::problem(&problem));
        if let Some(count) = count {
            count.write(response.headers_mut());
        }
        answer::lifetime(&mut response, route.deprecated, route.sunset);
        Ok(response)
    }

    /// Counts a request; what the rate limit refuses, the quota does not count.
    async fn count(&self, route: &Route, caller: &str) -> Option<Count> {
        let rate = route.rate_limit;
        let rate = rate.map(|rate| self.limits.count(&route.path, caller, rate));
        let quota = match route.quota {
            Some(quota) if rate.and_then(Count::refusal).is_none() => {
                Some(self.quotas.count(&route.path, caller, quota).await)
            }
            _ => None,
        };
        rate.into_iter().chain(quota).reduce(Count::stricter)
    }

    /// What answers a route.
    fn source(&self, route: &Served) -> Option<source::Asker<'_>> {
        self.sources.of_route(&route.route)
    }

    /// Learns the columns of the routes that nobody asked yet; what cannot be learnt, their documentation goes without.
    async fn plan_all(&self, routes: &[Arc<Served>]) {
        let routes = routes.iter().map(|route| &**route);
        let unknown: Vec<&Served> = routes.filter(|route| route.plan(None).is_none()).collect();
        for (datasource, source) in self.sources.iter() {
            let is_its = |route: &&Served| route.route.datasource == datasource;
            let its: Vec<&Served> = unknown.iter().copied().filter(is_its).collect();
            if !its.is_empty() {
                source.learn(&its).await;
            }
        }
    }
}

/// The methods of a route, or of a document.
fn allowed(route: Option<&Served>) -> &'static str {
    let has = |method: &str| {
        route.is_none_or(|route| route.route.methods.iter().any(|known| known == method))
    };
    match (has("GET"), route.is_some() && has("POST")) {
        (true, true) => "GET, HEAD, POST, OPTIONS",
        (false, true) => "POST, OPTIONS",
        _ => "GET, HEAD, OPTIONS",
    }
}
