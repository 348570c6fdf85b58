//! Route → bound SQL → bytes: the endpoints' HTTP interface over the operational store.
//!
//! A request is matched with a route, its key is checked, its parameters are read by their types and bound, and the rows
//! are written as JSON while PostgreSQL sends them. Whatever happens, the answer is `{"data", "error", "page"}`.

mod access;
mod answer;
mod asked;
mod cache;
pub mod check;
mod compress;
pub mod contract;
mod cursor;
mod dataset;
mod definitions;
mod docs;
mod format;
mod json;
mod numeric;
mod openapi;
mod page;
mod params;
mod plan;
mod problem;
mod routes;
mod sent;
pub mod server;
mod shape;
mod store;
mod value;

use access::{Access, Count, Limits};
use asked::{Asked, etag, has, masked};
use bytes::Bytes;
use cache::{Cache, Kept};
use cursor::{Cursor, Seal};
use dataset::Dataset;
use deadpool_postgres::Object;
use definitions::Definitions;
use format::Format;
use http::{Method, Request, Response};
use millrace_model::FailureName;
use millrace_store::objects::Objects;
use millrace_store::secrets::{Caller, Secrets};
use page::{Page, Trouble};
use plan::Plan;
use problem::Problem;
use routes::{Served, Sort};
use serde_json::Map;
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::{Lease, Refusal, Store};
use value::Value;

/// How much longer than its query an answer may take: the store may not be there to end it.
const GRACE: Duration = Duration::from_secs(2);

/// The endpoints.
#[derive(Debug)]
pub struct Serve {
    definitions: Arc<Definitions>,
    access: Arc<Access>,
    limits: Arc<Limits>,
    cache: Arc<Cache>,
    store: Store,
}

impl Serve {
    /// The endpoints that `objects` define, over the operational store whose reader `store_secret` names. Nothing is read
    /// before the first request.
    pub fn new(objects: Arc<dyn Objects>, secrets: Arc<dyn Secrets>, store_secret: String) -> Self {
        Self {
            definitions: Arc::new(Definitions::new(objects)),
            access: Arc::new(Access::new(secrets.clone())),
            limits: Arc::default(),
            cache: Arc::default(),
            store: Store::new(secrets, store_secret),
        }
    }

    /// With at most so many connections to the operational store.
    #[must_use]
    pub fn connections(mut self, most: usize) -> Self {
        self.store = self.store.connections(most);
        self
    }

    /// The same endpoints for several threads, each with its share of the connections to the store; fewer where there
    /// are not enough of these.
    pub(crate) fn share(self, threads: usize) -> Vec<Self> {
        let share = |store| Self {
            definitions: self.definitions.clone(),
            access: self.access.clone(),
            limits: self.limits.clone(),
            cache: self.cache.clone(),
            store,
        };
        self.store.share(threads).into_iter().map(share).collect()
    }

    /// Whether requests can be answered with data: the definitions are there, and the store takes a connection.
    pub(crate) async fn ready(&self) -> Result<(), Problem> {
        self.definitions.table().await.map_err(|error| {
            tracing::error!(%error, "the endpoints' definitions cannot be read");
            Problem::unavailable()
        })?;
        let connection = self.store.connection().await;
        connection.map(drop).map_err(no_store)
    }

    /// Answers a request.
    pub async fn handle(&self, request: Request<Bytes>) -> Response<Bytes> {
        let started = Instant::now();
        let head = request.method() == Method::HEAD;
        let mut response = self
            .answer(&request)
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

    async fn answer(&self, request: &Request<Bytes>) -> Result<Response<Bytes>, Problem> {
        let path = request.uri().path();
        let table = self.definitions.table().await.map_err(|error| {
            tracing::error!(%error, "the endpoints' definitions cannot be read");
            Problem::unavailable()
        })?;
        let own = matches!(path, "/docs" | "/docs/" | "/openapi.json");
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
        match found {
            Some((route, in_path)) => self.serve(&route, &in_path, request).await,
            None if path == "/openapi.json" => {
                self.plan_all(&table.routes).await;
                Ok(answer::document(
                    "application/json",
                    openapi::document(&table.routes),
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
    ) -> Result<Response<Bytes>, Problem> {
        let definition = &route.route;
        let caller = match &definition.auth {
            Some(auth) => {
                let identified = self
                    .access
                    .identify(auth, &definition.scopes, request.headers())
                    .await;
                Some(identified?)
            }
            None => None,
        };
        let name = caller.as_ref().map_or("", |caller| caller.name.as_str());
        let count = [definition.rate_limit, definition.quota]
            .into_iter()
            .flatten()
            .map(|rate| self.limits.count(&definition.path, name, rate))
            .reduce(Count::stricter);
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

    /// Answers with rows, out of memory where they are there.
    async fn rows(
        &self,
        route: &Served,
        in_path: &[(String, String)],
        request: &Request<Bytes>,
        caller: Option<&Caller>,
    ) -> Result<Response<Bytes>, Problem> {
        let definition = &route.route;
        let format = Format::accepted(request.headers())?;
        let mut arguments = params::read(definition.into(), in_path, sent(request)?)?;
        let no_claims = Map::new();
        let claims = caller.map_or(&no_claims, |caller| &caller.claims);
        params::add_claims(&mut arguments, &definition.params, claims)?;
        let asked = Asked {
            route,
            arguments: &arguments,
            caller: caller.map_or("", |caller| caller.name.as_str()),
            masked: masked(route, caller),
            format,
        };
        let dataset = self.dataset(route).await?;
        let steady = dataset.as_deref().filter(|_| route.steady);
        let key = asked.key(steady);
        let kept_by_callers = request.method() != Method::POST;
        let etag = steady.filter(|_| kept_by_callers).and_then(|_| etag(&key));
        let about = |next| answer::Rows {
            format,
            next,
            etag: etag.as_ref(),
            dataset: dataset.as_deref(),
            cache: definition.caching.filter(|_| kept_by_callers),
        };
        if etag
            .as_ref()
            .is_some_and(|etag| has(request.headers(), etag))
        {
            return Ok(answer::not_modified(&about(None)));
        }
        if let Some(caching) = definition.caching
            && let Some(kept) = self.cache.get(&key, caching.ttl)
        {
            return Ok(answer::rows(kept.body, &about(kept.next.as_deref())));
        }
        let page = self.page(&asked).await?;
        tracing::debug!(rows = page.rows, path = definition.path, "read");
        let kept = Kept {
            body: page.body.into(),
            next: page.next,
        };
        if definition.caching.is_some() {
            self.cache.put(key, kept.clone());
        }
        Ok(answer::rows(kept.body, &about(kept.next.as_deref())))
    }

    /// What the route's tables hold now, at most a second ago. A store that cannot say it just now does not take away what
    /// is known.
    async fn dataset(&self, route: &Served) -> Result<Option<Arc<Dataset>>, Problem> {
        if let Some(dataset) = route.dataset.fresh() {
            return Ok(dataset);
        }
        let read = match self.store.connection().await {
            Ok(mut client) => {
                client.set_busy(true);
                let read = dataset::read(&client, &route.relations).await;
                client.set_busy(false);
                read.map_err(|error| page::text(&error))
            }
            Err(Refusal::Busy) => Err("all connections are in use".to_owned()),
            Err(Refusal::Failed(failure)) => Err(failure.to_string()),
        };
        match read {
            Ok(dataset) => {
                route.dataset.set(dataset.clone());
                Ok(dataset)
            }
            Err(error) => {
                tracing::warn!(
                    path = route.route.path,
                    error,
                    "the dataset's version was not read"
                );
                Ok(route.dataset.last())
            }
        }
    }

    /// A page. Tables may have been replaced since the query was prepared, and a connection may have died while the
    /// Lambda stood still: both are tried once more, and nothing is lost by that, since queries only read.
    async fn page(&self, asked: &Asked<'_>) -> Result<Page, Problem> {
        let route = asked.route;
        let mut tries = 0;
        loop {
            tries += 1;
            let mut client = self.store.connection().await.map_err(no_store)?;
            // From here on, whoever lets the connection go ends what runs on it: the caller may leave at any time.
            client.set_busy(true);
            // Each statement has its own time limit; this one is for a store that does not keep it.
            let limit = route.route.timeout.saturating_mul(2) + GRACE;
            let attempt = match tokio::time::timeout(limit, self.try_page(&client, asked)).await {
                Ok(Ok(page)) => {
                    client.set_busy(false);
                    return Ok(page);
                }
                Ok(Err(attempt)) => attempt,
                Err(_) => return Err(Problem::timeout(route.route.timeout)),
            };
            match attempt {
                Attempt::Told(problem) => {
                    client.set_busy(false);
                    return Err(problem);
                }
                Attempt::Failed(Trouble::Stale { .. }) if tries < 3 => {
                    route.forget_plans();
                    client.statement_cache.clear();
                    client.set_busy(false);
                }
                Attempt::Failed(Trouble::Lost(_)) if tries < 3 => {}
                Attempt::Failed(trouble) => {
                    // Whatever is on its way on the connection shall not meet the next request.
                    let unsure = matches!(
                        trouble,
                        Trouble::TooLarge(_) | Trouble::Lost(_) | Trouble::Other(_)
                    );
                    client.set_busy(unsure);
                    return Err(told(trouble, route));
                }
            }
        }
    }

    async fn try_page(&self, client: &Lease, asked: &Asked<'_>) -> Result<Page, Attempt> {
        let (route, arguments) = (asked.route, asked.arguments);
        let sort = arguments.sort.as_ref();
        let plan = match route.plan(sort) {
            Some(plan) => plan,
            None => make_plan(client, route, sort)
                .await
                .map_err(|error| match error.code() {
                    None => Attempt::Failed(Trouble::Lost(error)),
                    Some(_) => Attempt::Failed(Trouble::stale(&error)),
                })?,
        };
        let values: Vec<&Value> = route
            .bound
            .iter()
            .map(|name| arguments.values.get(name).unwrap_or(&Value::Null))
            .collect();
        let seal = || Seal {
            key: client.seal().clone(),
            scope: asked.scope(&plan),
        };
        let cursor = match &arguments.cursor {
            None => None,
            Some(text) => {
                let width = plan.keys.as_ref().map_or(0, Vec::len);
                let cursor = Cursor::decode(text, &seal(), width);
                Some(cursor.ok_or_else(|| Attempt::Told(params::bad_cursor()))?)
            }
        };
        let request = page::Request {
            plan: &plan,
            values: &values,
            limit: arguments.limit,
            cursor,
            seal: &seal,
            format: asked.format,
            timeout: route.route.timeout,
            masked: &asked.masked,
            fields: arguments.fields.as_deref(),
        };
        page::fetch(client, &request).await.map_err(Attempt::Failed)
    }

    /// Learns the columns of the routes that nobody asked yet; without a store, their documentation goes without.
    async fn plan_all(&self, routes: &[Arc<Served>]) {
        let unknown: Vec<&Arc<Served>> = routes
            .iter()
            .filter(|route| route.plan(None).is_none())
            .collect();
        if unknown.is_empty() {
            return;
        }
        let Ok(client) = self.store.connection().await else {
            return;
        };
        for route in unknown {
            if let Err(error) = make_plan(&client, route, None).await {
                tracing::warn!(
                    path = route.route.path,
                    error = page::text(&error),
                    "the query cannot be prepared"
                );
            }
        }
    }
}

fn no_store(refusal: Refusal) -> Problem {
    let failure = match refusal {
        Refusal::Busy => return Problem::busy(),
        Refusal::Failed(failure) => failure,
    };
    tracing::error!(%failure, "the operational store cannot be reached");
    match failure.name {
        FailureName::BadDefinition | FailureName::Internal => Problem::internal(),
        _ => Problem::unavailable(),
    }
}

/// How an attempt at a page ended.
enum Attempt {
    /// The caller is to be told.
    Told(Problem),
    /// It may go better with another connection, or another plan.
    Failed(Trouble),
}

async fn make_plan(
    client: &Object,
    route: &Served,
    sort: Option<&Sort>,
) -> Result<Arc<Plan>, tokio_postgres::Error> {
    let plan = Arc::new(Plan::make(client, route.sql(sort), &route.kinds()).await?);
    route.set_plan(sort, plan.clone());
    Ok(plan)
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

/// What a request says: in its URL, or in its body, and not in both.
fn sent(request: &Request<Bytes>) -> Result<Vec<(String, sent::Sent)>, Problem> {
    let in_url = sent::of_query(request.uri().query().unwrap_or_default())?;
    if request.method() != Method::POST {
        return Ok(in_url);
    }
    if let Some((name, _)) = in_url.first() {
        return Err(Problem::parameter(
            name,
            format!(
                "`{}` belongs into the body of a POST",
                problem::excerpt(name)
            ),
        ));
    }
    let kind = request.headers().get(http::header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(Problem::media_type());
    }
    sent::of_body(request.body())
}

fn told(trouble: Trouble, route: &Served) -> Problem {
    let path = &route.route.path;
    match trouble {
        Trouble::Timeout => Problem::timeout(route.route.timeout),
        Trouble::TooLarge(rows) => Problem::too_large(page::LARGEST, rows),
        Trouble::BadCursor => params::bad_cursor(),
        Trouble::BadValue(message) => Problem::bad_values(&message),
        Trouble::Lost(error) => {
            tracing::error!(
                path,
                error = page::text(&error),
                "the connection to the operational store was lost"
            );
            Problem::unavailable()
        }
        Trouble::Stale { error, missing } => {
            tracing::error!(
                path,
                error,
                "the route's query does not fit the published tables"
            );
            if missing {
                Problem::not_published()
            } else {
                Problem::internal()
            }
        }
        Trouble::Other(error) => {
            tracing::error!(path, error, "the route's query failed");
            Problem::internal()
        }
    }
}
