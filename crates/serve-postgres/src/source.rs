//! The operational store as `serve` asks it.

use crate::page::{self, Trouble};
use crate::plan::Plan;
use crate::store::{DEFAULT_TIMEOUT, Lease, Refusal, Store};
use crate::{check, dataset, half, reads};
use async_trait::async_trait;
use deadpool_postgres::Object;
use millrace_model::{Failure, FailureName};
use millrace_serve::source::{
    Asked, Cursor, Dataset, Half, IndexRead, Joint, LARGEST, Page, Problem, Query, Recent,
    Refusal as HalfRefusal, Seal, Served, Snapshot, Sort, Source, bad_cursor,
};
use millrace_store::secrets::Secrets;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::types::Type;

/// How much longer than its query an answer may take: the store may not be there to end it.
const GRACE: Duration = Duration::from_secs(2);

/// The operational store, over a bounded pool of connections.
#[derive(Debug)]
pub struct Postgres {
    store: Store,
}

impl Postgres {
    /// The store whose reader that secret names. Nothing is read yet.
    pub fn new(secrets: Arc<dyn Secrets>, secret: String) -> Self {
        Self {
            store: Store::new(secrets, secret),
        }
    }

    /// With at most so many connections.
    #[must_use]
    pub fn connections(mut self, most: usize) -> Self {
        self.store = self.store.connections(most);
        self
    }

    /// The connection that a page is read by.
    async fn held(&self, asked: &Asked<'_>) -> Result<Arc<Lease>, Refusal> {
        let plan = asked.route.plan_of::<Plan>(asked.arguments.sort.as_ref());
        // A time limit of its own is set on a connection, for all that is asked there.
        let is_short =
            plan.is_some_and(|plan| plan.is_lookup) && asked.route.route.timeout == DEFAULT_TIMEOUT;
        if is_short {
            self.store.connection_for_lookup().await
        } else {
            self.store.connection().await.map(Arc::new)
        }
    }

    async fn try_page(&self, client: &Lease, asked: &Asked<'_>) -> Result<Page, Attempt> {
        let arguments = asked.arguments;
        let plan = plan(client, asked.route, arguments.sort.as_ref()).await;
        let plan = plan.map_err(Attempt::Failed)?;
        let seal = || Seal {
            key: client.seal().clone(),
            scope: asked.scope(tied_to(&plan)),
        };
        let cursor = match &arguments.cursor {
            None => None,
            Some(text) => {
                let width = plan.pages.keys.as_ref().map_or(0, Vec::len);
                let cursor = Cursor::decode(text, &seal(), width);
                Some(cursor.ok_or_else(|| Attempt::Told(bad_cursor()))?)
            }
        };
        let request = page::Request {
            asked,
            plan: &plan,
            cursor,
            seal: &seal,
        };
        page::fetch(client, &request).await.map_err(Attempt::Failed)
    }
}

#[async_trait]
impl Source for Postgres {
    fn share(&self, threads: usize) -> Vec<Arc<dyn Source>> {
        let share = |store| Arc::new(Self { store }) as Arc<dyn Source>;
        self.store.share(threads).into_iter().map(share).collect()
    }

    async fn warm_up(&self) {
        self.store.connection().await.ok();
    }

    async fn ready(&self) -> Result<(), Problem> {
        let connection = self.store.connection().await;
        connection.map(drop).map_err(no_store)
    }

    async fn dataset(&self, route: &Served) -> Result<Option<Arc<Dataset>>, String> {
        match self.store.connection().await {
            Ok(client) => {
                client.set_busy(true);
                // Whoever asks this is about to ask for rows: how they are read is learnt in the same round trip.
                let plan = async {
                    if route.plan_of::<Plan>(None).is_none() {
                        // What goes wrong with it goes wrong again, and is told, when the rows are asked for.
                        make_plan(&client, route, None).await.ok();
                    }
                };
                let (read, ()) = tokio::join!(dataset::read(&client, &route.relations), plan);
                client.set_busy(false);
                read.map_err(|error| page::text(&error))
            }
            Err(Refusal::Busy) => Err("all connections are in use".to_owned()),
            Err(Refusal::Failed(failure)) => Err(failure.to_string()),
        }
    }

    async fn learn(&self, routes: &[&Served]) {
        let Ok(client) = self.store.connection().await else {
            return;
        };
        for route in routes {
            if let Err(error) = make_plan(&client, route, None).await {
                tracing::warn!(
                    path = route.route.path,
                    error = page::text(&error),
                    "the query cannot be prepared"
                );
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
            let client = self.held(asked).await.map_err(no_store)?;
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
                Attempt::Failed(trouble) => {
                    clean_up(&client, route, &trouble);
                    if tries == 3 || !trouble.may_pass() {
                        return Err(told(trouble, route));
                    }
                }
            }
        }
    }

    async fn check(&self, route: &Served) -> Result<Result<(), String>, Failure> {
        let client = self.store.connection().await;
        let client = client.map_err(|refusal| match refusal {
            Refusal::Failed(failure) => failure,
            Refusal::Busy => Failure::new(FailureName::Transient, "the store takes no connection"),
        })?;
        Ok(check::check(&client, route).await)
    }

    async fn indexes(&self, query: &Query<'_>) -> Result<Vec<IndexRead>, String> {
        let client = self.store.connection().await;
        let client = client.map_err(|_| "the store takes no connection".to_owned())?;
        let read = reads::read_by(&client, query).await;
        // Whatever the explanation left behind.
        client.batch_execute("ROLLBACK").await.ok();
        read.map_err(|error| page::text(&error))
    }

    fn as_recent(&self) -> Option<&dyn Recent> {
        Some(self)
    }
}

#[async_trait]
impl Recent for Postgres {
    async fn snapshot(&self, route: &Served) -> Result<Option<Snapshot>, String> {
        let client = self.store.connection().await;
        let client = client.map_err(|refusal| no_store(refusal).detail)?;
        let [relation] = route.relations.as_slice() else {
            return Ok(None);
        };
        let read = dataset::read_snapshot(&client, relation).await;
        read.map_err(|error| page::text(&error))
    }

    async fn learn_half(&self, route: &Served) -> Result<(), HalfRefusal> {
        let client = self.store.connection().await.map_err(no_store)?;
        let made = plan(&client, route, None).await;
        made.map(drop)
            .map_err(|trouble| HalfRefusal::Again(told(trouble, route)))
    }

    async fn append(
        &self,
        half: &Half<'_>,
        joint: &mut Joint<'_>,
    ) -> Result<Snapshot, HalfRefusal> {
        let (route, sort) = (half.asked.route, half.asked.arguments.sort.as_ref());
        let client = self.store.connection().await.map_err(no_store)?;
        // From here on, whoever lets the connection go ends what runs on it: the caller may leave at any time.
        client.set_busy(true);
        let read = async {
            let plan = plan(&client, route, sort).await?;
            if !joint.takes(&plan.columns) {
                return Err(Trouble::changed());
            }
            half::append(&client, half, &plan, joint).await
        };
        let trouble = match read.await {
            Ok(snapshot) => {
                client.set_busy(false);
                return Ok(snapshot);
            }
            Err(trouble) => trouble,
        };
        clean_up(&client, route, &trouble);
        let may_pass = trouble.may_pass();
        let problem = told(trouble, route);
        Err(if may_pass {
            HalfRefusal::Again(problem)
        } else {
            HalfRefusal::Told(problem)
        })
    }
}

/// How a route's query is run, as it is known, or as it is learnt now.
async fn plan(client: &Lease, route: &Served, sort: Option<&Sort>) -> Result<Arc<Plan>, Trouble> {
    match route.plan_of::<Plan>(sort) {
        Some(plan) => Ok(plan),
        None => make_plan(client, route, sort)
            .await
            .map_err(|error| match error.code() {
                None => Trouble::Lost(error),
                Some(_) => Trouble::stale(&error),
            }),
    }
}

/// Leaves behind what went wrong nothing that the next request would meet.
fn clean_up(client: &Lease, route: &Served, trouble: &Trouble) {
    if matches!(trouble, Trouble::Stale { .. }) {
        route.forget_plans();
        client.statement_cache.clear();
    }
    client.set_busy(trouble.leaves_answers());
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

/// What a cursor depends on besides what was asked.
fn tied_to(plan: &Plan) -> impl Iterator<Item = &str> {
    let keys = plan.pages.keys.iter().flatten();
    let types = plan.values.iter().map(Type::name);
    types.chain(keys.map(|key| key.sql.as_str()))
}

/// Learns how a route's query is run, in its own order or in one that a caller may choose.
async fn make_plan(
    client: &Object,
    route: &Served,
    sort: Option<&Sort>,
) -> Result<Arc<Plan>, tokio_postgres::Error> {
    let plan = Plan::make(client, route.sql(sort), &route.kinds(), route.is_half).await?;
    let plan = Arc::new(plan);
    route.set_plan(sort, plan.clone());
    Ok(plan)
}

fn told(trouble: Trouble, route: &Served) -> Problem {
    let path = &route.route.path;
    match trouble {
        Trouble::Timeout => Problem::timeout(route.route.timeout),
        Trouble::TooLarge(rows) => Problem::too_large(LARGEST, rows),
        Trouble::BadCursor => bad_cursor(),
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
        Trouble::Postgres(error) => told(page::trouble(error, false), route),
        Trouble::Other(error) => {
            tracing::error!(path, error, "the route's query failed");
            Problem::internal()
        }
    }
}
