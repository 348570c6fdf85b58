//! Route → bound SQL → bytes: the endpoints' HTTP interface over the operational store.
//!
//! A request is matched with a route, its key is checked, its parameters are read by their types and bound, and the rows
//! are written as JSON while PostgreSQL sends them. Whatever happens, the answer is `{"data", "error", "page"}`.

mod answer;
mod consumers;
mod cursor;
mod docs;
mod json;
mod numeric;
mod openapi;
mod page;
mod params;
mod plan;
mod problem;
mod routes;
pub mod server;
mod shape;
mod store;

use bytes::Bytes;
use consumers::Consumers;
use cursor::{Cursor, Scope};
use deadpool_postgres::Object;
use http::{Method, Request, Response};
use millrace_model::{Failure, FailureName};
use millrace_store::objects::Objects;
use millrace_store::secrets::Secrets;
use page::{Page, Trouble};
use params::{Arguments, Value};
use plan::Plan;
use problem::Problem;
use routes::{Routes, Served};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::Store;

/// What a route allows.
const ALLOWED: &str = "GET, HEAD, OPTIONS";
/// How much longer than its query an answer may take: the store may not be there to end it.
const GRACE: Duration = Duration::from_secs(2);

/// The endpoints.
#[derive(Debug)]
pub struct Serve {
    routes: Arc<Routes>,
    consumers: Arc<Consumers>,
    store: Store,
}

impl Serve {
    /// The endpoints that `objects` define, over the operational store whose reader `store_secret` names. Nothing is read
    /// before the first request.
    pub fn new(objects: Arc<dyn Objects>, secrets: Arc<dyn Secrets>, store_secret: String) -> Self {
        Self {
            routes: Arc::new(Routes::new(objects)),
            consumers: Arc::new(Consumers::new(secrets.clone())),
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
            routes: self.routes.clone(),
            consumers: self.consumers.clone(),
            store,
        };
        self.store.share(threads).into_iter().map(share).collect()
    }

    /// Whether requests can be answered with data: the definitions are there, and the store takes a connection.
    pub(crate) async fn ready(&self) -> Result<(), Problem> {
        self.routes.table().await.map_err(|error| {
            tracing::error!(%error, "the endpoints' definitions cannot be read");
            Problem::unavailable()
        })?;
        let connection = self.store.connection().await;
        connection.map(drop).map_err(|failure| no_store(&failure))
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
        let table = self.routes.table().await.map_err(|error| {
            tracing::error!(%error, "the endpoints' definitions cannot be read");
            Problem::unavailable()
        })?;
        let own = matches!(path, "/docs" | "/docs/" | "/openapi.json");
        let found = table.find(path);
        if !own && found.is_none() {
            return Err(Problem::not_found(path));
        }
        match *request.method() {
            Method::GET | Method::HEAD => {}
            Method::OPTIONS => return Ok(answer::allow(answer::empty(), ALLOWED)),
            _ => {
                let problem = Problem::method(request.method().as_str(), ALLOWED);
                return Ok(answer::allow(answer::problem(&problem), ALLOWED));
            }
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
        if let Some(secret) = &route.route.auth {
            let consumer = self.consumers.identify(secret, request.headers()).await?;
            tracing::debug!(consumer, path = route.route.path, "identified");
        }
        let arguments = params::read(
            &route.route.params,
            in_path,
            request.uri().query().unwrap_or_default(),
        )?;
        let page = self.page(route, &arguments).await?;
        tracing::debug!(rows = page.rows, path = route.route.path, "read");
        Ok(answer::rows(
            page.body,
            route.route.cache_ttl.map(|ttl| ttl.0),
        ))
    }

    /// A page. Tables may have been replaced since the query was prepared, and a connection may have died while the
    /// Lambda stood still: both are tried once more, and nothing is lost by that, since queries only read.
    async fn page(&self, route: &Served, arguments: &Arguments) -> Result<Page, Problem> {
        let mut tries = 0;
        loop {
            tries += 1;
            let client = self
                .store
                .connection()
                .await
                .map_err(|failure| no_store(&failure))?;
            // Each statement has its own time limit; this one is for a store that does not keep it.
            let limit = route.route.timeout.saturating_mul(2) + GRACE;
            let attempt =
                match tokio::time::timeout(limit, self.try_page(&client, route, arguments)).await {
                    Ok(Ok(page)) => return Ok(page),
                    Ok(Err(attempt)) => attempt,
                    Err(_) => {
                        drop(Object::take(client));
                        return Err(Problem::timeout(route.route.timeout));
                    }
                };
            match attempt {
                Attempt::Told(problem) => return Err(problem),
                Attempt::Failed(Trouble::Stale { .. }) if tries < 3 => {
                    route.set_plan(None);
                    client.statement_cache.clear();
                }
                Attempt::Failed(Trouble::Lost(_)) if tries < 3 => drop(Object::take(client)),
                Attempt::Failed(trouble) => {
                    // Whatever is on its way on the connection shall not meet the next request.
                    if matches!(
                        trouble,
                        Trouble::TooLarge(_) | Trouble::Lost(_) | Trouble::Other(_)
                    ) {
                        drop(Object::take(client));
                    }
                    return Err(told(trouble, route));
                }
            }
        }
    }

    async fn try_page(
        &self,
        client: &Object,
        route: &Served,
        arguments: &Arguments,
    ) -> Result<Page, Attempt> {
        let plan = match route.plan() {
            Some(plan) => plan,
            None => make_plan(client, route)
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
        let scope = || scope(route, &plan, arguments);
        let cursor = match &arguments.cursor {
            None => None,
            Some(text) => {
                let width = plan.keys.as_ref().map_or(0, Vec::len);
                let cursor = Cursor::decode(text, scope(), width);
                Some(cursor.ok_or_else(|| Attempt::Told(params::bad_cursor()))?)
            }
        };
        let request = page::Request {
            plan: &plan,
            values: &values,
            limit: arguments.limit,
            cursor,
            scope: &scope,
            timeout: route.route.timeout,
        };
        page::fetch(client, &request).await.map_err(Attempt::Failed)
    }

    /// Learns the columns of the routes that nobody asked yet; without a store, their documentation goes without.
    async fn plan_all(&self, routes: &[Arc<Served>]) {
        let unknown: Vec<&Arc<Served>> = routes
            .iter()
            .filter(|route| route.plan().is_none())
            .collect();
        if unknown.is_empty() {
            return;
        }
        let Ok(client) = self.store.connection().await else {
            return;
        };
        for route in unknown {
            if let Err(error) = make_plan(&client, route).await {
                tracing::warn!(
                    path = route.route.path,
                    error = page::text(&error),
                    "the query cannot be prepared"
                );
            }
        }
    }
}

fn no_store(failure: &Failure) -> Problem {
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

async fn make_plan(client: &Object, route: &Served) -> Result<Arc<Plan>, tokio_postgres::Error> {
    let plan = Arc::new(Plan::make(client, &route.sql, &route.kinds()).await?);
    route.set_plan(Some(plan.clone()));
    Ok(plan)
}

/// What a cursor belongs to: another query, other parameters, or other columns than those it was made for cannot go on
/// from it.
fn scope(route: &Served, plan: &Plan, arguments: &Arguments) -> Scope {
    let mut digest = Sha256::new();
    let mut part = |text: &str| {
        digest.update(text.len().to_be_bytes());
        digest.update(text);
    };
    part(&route.route.path);
    part(&route.sql);
    for value in arguments.values.values() {
        part(&format!("{value:?}"));
    }
    for column in &plan.columns {
        part(column.kind.name());
    }
    for key in plan.keys.iter().flatten() {
        part(&key.sql);
    }
    let mut scope = Scope::default();
    scope.copy_from_slice(&digest.finalize()[..8]);
    scope
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
