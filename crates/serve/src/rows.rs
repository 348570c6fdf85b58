//! Answers with rows: what a request says is read, and a page is fetched, or taken out of memory.

use crate::asked::{Asked, etag, has, masked};
use crate::cache::Kept;
use crate::cursor::{Cursor, Seal};
use crate::dataset::{self, Dataset};
use crate::format::Format;
use crate::page::{self, Page, Trouble};
use crate::plan::Plan;
use crate::problem::Problem;
use crate::routes::{Served, Sort};
use crate::sent;
use crate::store::{Lease, Refusal};
use crate::value::Value;
use crate::{Serve, answer, no_store, params};
use bytes::Bytes;
use deadpool_postgres::Object;
use http::{Method, Request, Response};
use millrace_store::secrets::Caller;
use serde_json::Map;
use std::sync::Arc;
use std::time::Duration;

/// How much longer than its query an answer may take: the store may not be there to end it.
const GRACE: Duration = Duration::from_secs(2);

impl Serve {
    /// Answers with rows, out of memory where they are there.
    pub(crate) async fn rows(
        &self,
        route: &Served,
        in_path: &[(String, String)],
        request: &Request<Bytes>,
        caller: Option<&Caller>,
    ) -> Result<Response<Bytes>, Problem> {
        let definition = &route.route;
        let format = Format::accepted(request.headers())?;
        let mut arguments = params::read(definition.into(), in_path, sent::of(request)?)?;
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
}

/// How an attempt at a page ended.
enum Attempt {
    /// The caller is to be told.
    Told(Problem),
    /// It may go better with another connection, or another plan.
    Failed(Trouble),
}

/// Learns how a route's query is run, in its own order or in one that a caller may choose.
pub async fn make_plan(
    client: &Object,
    route: &Served,
    sort: Option<&Sort>,
) -> Result<Arc<Plan>, tokio_postgres::Error> {
    let plan = Arc::new(Plan::make(client, route.sql(sort), &route.kinds()).await?);
    route.set_plan(sort, plan.clone());
    Ok(plan)
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
