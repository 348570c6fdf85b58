//! The lake as `serve` asks it.

use crate::page::{self, Trouble};
use crate::plan::{NoPlan, Plan, Read, identity};
use crate::published::{Published, Target};
use crate::versions::Versions;
use crate::{bind, half};
use arrow::array::ArrayRef;
use async_trait::async_trait;
use jiff::Timestamp;
use millrace_engine::{Engine, ErrorKind, Limits};
use millrace_lake::Lake;
use millrace_model::digest::Digest;
use millrace_model::{Failure, FailureName};
use millrace_serve::source::{
    self, Asked, Cursor, Dataset, Half, IndexRead, Joint, LARGEST, Older, Page, Problem, Query,
    Refusal, Seal, Served, Snapshot, Sort, Source, bad_cursor, sample, seal_key,
};
use millrace_store::objects::Objects;
use millrace_store::secrets::Secrets;
use ring::hmac;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};

/// How many queries are answered at once; those behind them wait.
const QUERIES: usize = 32;
/// How long a request waits for its turn.
const WAIT: Duration = Duration::from_secs(3);
/// How many bytes of files a query may read with its sample parameters before `check` refuses it.
const READ: u64 = 512 * 1024 * 1024;
const MIB: u64 = 1024 * 1024;

/// What the lake's queries may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    /// Bytes of memory for sorting, grouping and joining, of all queries together. Nothing goes to disk.
    pub queries: usize,
    /// Bytes of memory for the rows of tables that are asked again and again.
    pub rows: usize,
}

impl Room {
    /// So much memory, half of it for either.
    pub fn halves(memory: usize) -> Self {
        let half = memory / 2;
        Self {
            queries: half,
            rows: half,
        }
    }
}

/// The tables that pipelines publish to the lake.
#[derive(Clone, Debug)]
pub struct LakeSource(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    published: Published,
    versions: Versions,
    engine: Engine,
    secrets: Arc<dyn Secrets>,
    seal_secret: String,
    seal: OnceCell<hmac::Key>,
    turns: Semaphore,
}

impl LakeSource {
    /// The tables of `lake` that the pipelines' definitions in `objects` publish. Cursors are sealed with what the secret
    /// `seal_secret` holds. Nothing is read yet.
    pub fn new(
        lake: Lake,
        objects: Arc<dyn Objects>,
        secrets: Arc<dyn Secrets>,
        seal_secret: String,
        room: &Room,
    ) -> Result<Self, Failure> {
        let limits = Limits {
            memory: room.queries,
            spill: PathBuf::new(),
            spill_bytes: 0,
            threads: 1,
        };
        let engine = Engine::new(limits).map_err(|error| {
            Failure::new(
                FailureName::Internal,
                format!("the lake cannot be asked: {error}"),
            )
        })?;
        let engine = engine.holding(room.rows);
        Ok(Self(Arc::new(Inner {
            published: Published::new(objects),
            versions: Versions::new(lake, engine.clone()),
            engine,
            secrets,
            seal_secret,
            seal: OnceCell::new(),
            turns: Semaphore::new(QUERIES),
        })))
    }
}

/// Why the tables of a route cannot be read.
#[derive(Debug)]
enum Missing {
    /// Nothing is there under that name.
    Table(String),
    /// Something is in the way.
    Failed(Failure),
}

impl From<Failure> for Missing {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl std::fmt::Display for Missing {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Table(name) => write!(formatter, "there is no {name} in the lake yet"),
            Self::Failed(failure) => failure.fmt(formatter),
        }
    }
}

impl Missing {
    fn problem(&self, route: &Served) -> Problem {
        let path = &route.route.path;
        match self {
            Self::Table(name) => {
                tracing::error!(path, table = name, "the lake has no such table");
                Problem::not_published()
            }
            Self::Failed(failure) => {
                tracing::error!(path, %failure, "the lake cannot be read");
                Problem::unavailable()
            }
        }
    }
}

impl Inner {
    /// The tables that a route reads.
    async fn targets(&self, route: &Served) -> Result<Vec<((String, String), Target)>, Missing> {
        let targets = self.published.targets().await;
        let targets =
            targets.map_err(|error| Failure::new(FailureName::Transient, error.to_string()))?;
        let target = |relation: &(String, String)| {
            let name = format!("{}.{}", relation.0, relation.1);
            match targets.get(&name) {
                Some(target) => Ok((relation.clone(), target.clone())),
                None => Err(Missing::Table(name)),
            }
        };
        route.relations.iter().map(target).collect()
    }

    /// The newest version of each, or what was found last.
    async fn read(&self, route: &Served, newest: bool) -> Result<Read, Missing> {
        let mut read = Read::new();
        for (relation, target) in self.targets(route).await? {
            let version = if newest {
                self.versions.newest(&target).await?
            } else {
                self.versions.last(&target).await?
            };
            let name = || format!("{}.{}", relation.0, relation.1);
            let version = version.ok_or_else(|| Missing::Table(name()))?;
            read.push((relation, version));
        }
        Ok(read)
    }

    /// How a route's query is run over what is known of its tables.
    async fn plan(
        &self,
        route: &Served,
        sort: Option<&Sort>,
        read: &Read,
    ) -> Result<Arc<Plan>, NoPlan> {
        let known = route.plan_of::<Plan>(sort);
        if let Some(known) = known.filter(|known| known.identity == identity(read)) {
            return Ok(known);
        }
        let plan = Arc::new(Plan::make(&self.engine, route, sort, read).await?);
        route.set_plan(sort, plan.clone());
        Ok(plan)
    }

    /// What seals cursors.
    async fn seal(&self) -> Result<hmac::Key, Problem> {
        let read = async || {
            let secret = self.secrets.get(&self.seal_secret).await?;
            Ok::<_, Failure>(seal_key(secret.text().as_bytes()))
        };
        let key = self.seal.get_or_try_init(read).await;
        let key = key.map_err(|failure| {
            tracing::error!(%failure, "the secret that seals cursors cannot be read");
            Problem::unavailable()
        })?;
        Ok(key.clone())
    }

    async fn turn(&self) -> Result<SemaphorePermit<'_>, Problem> {
        match tokio::time::timeout(WAIT, self.turns.acquire()).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) | Err(_) => Err(Problem::busy()),
        }
    }

    /// A page. Files of a version that is known may have been removed since: then the newest one is read.
    async fn page(&self, asked: &Asked<'_>) -> Result<Page, Problem> {
        let route = asked.route;
        let key = self.seal().await?;
        let mut again = false;
        loop {
            let read = self.read(route, again).await;
            let read = read.map_err(|missing| missing.problem(route))?;
            let sort = asked.arguments.sort.as_ref();
            let plan = self.plan(route, sort, &read).await;
            let plan = plan.map_err(|error| {
                tracing::error!(path = route.route.path, %error, "the route's query does not fit the published tables");
                Problem::internal()
            })?;
            let seal = Seal {
                key: key.clone(),
                scope: asked.scope(tied_to(&plan).iter().map(String::as_str)),
            };
            let cursor = asked.arguments.cursor.as_deref();
            let cursor = cursor.map(|text| Cursor::decode(text, &seal, plan.keys.len()));
            let request = page::Request {
                asked,
                plan: &plan,
                cursor: match cursor {
                    Some(None) => return Err(bad_cursor()),
                    Some(cursor) => cursor,
                    None => None,
                },
                seal: &seal,
            };
            match page::fetch(&request).await {
                Ok(page) => return Ok(page),
                Err(Trouble::Engine(error)) if error.kind == ErrorKind::Store && !again => {
                    tracing::warn!(path = route.route.path, %error, "files were not read; once more");
                    again = true;
                    route.forget_plans();
                    for (_, target) in self.targets(route).await.unwrap_or_default() {
                        self.versions.forget(&target);
                    }
                }
                Err(trouble) => return Err(told(trouble, route)),
            }
        }
    }

    /// Rows of the version whose recent rows are elsewhere. Where its files are gone, what is known may be too old.
    async fn append(
        &self,
        half: &Half<'_>,
        of: &Snapshot,
        joint: &mut Joint<'_>,
    ) -> Result<(), Refusal> {
        let (route, sort) = (half.asked.route, half.asked.arguments.sort.as_ref());
        let path = &route.route.path;
        let lacking = |error: &dyn std::fmt::Display| {
            let (table, version) = (&of.source, of.version);
            tracing::error!(path, table, version, %error, "the lake lacks the version whose recent rows the store has");
            Refusal::Again(Problem::unavailable())
        };
        let targets = self.targets(route).await;
        let targets = targets.map_err(|missing| missing.problem(route))?;
        let [(relation, target)] = targets.as_slice() else {
            return Err(Problem::internal().into());
        };
        if target.table != of.source {
            return Err(lacking(&"the definitions say another table"));
        }
        let version = self.versions.numbered(target, of.version).await;
        let version = version.map_err(|failure| lacking(&failure))?;
        let version = version.ok_or_else(|| lacking(&"there is no such table"))?;
        let read = vec![(relation.clone(), version)];
        let plan = self.plan(route, sort, &read).await;
        let plan = plan.map_err(|error| {
            tracing::error!(path, %error, "the route's query does not fit the published tables");
            Problem::internal()
        })?;
        if !joint.takes(source::Plan::columns(&*plan)) {
            return Err(lacking(&"its columns are others"));
        }
        match half::append(half, &plan, of.rows.from, joint).await {
            Err(Trouble::Engine(error)) if error.kind == ErrorKind::Store => Err(lacking(&error)),
            appended => appended.map_err(|trouble| told(trouble, route).into()),
        }
    }

    /// What is in the way of a route's answers in one order.
    async fn check(&self, route: &Served, sort: Option<&Sort>, read: &Read) -> Result<(), String> {
        let plan = self.plan(route, sort, read).await;
        let plan = plan.map_err(|error| format!("the lake refuses the query: {error}"))?;
        let definition = &route.route;
        let columns = millrace_serve::source::Plan::columns(&*plan);
        let masked = definition.mask.keys().map(|column| ("mask", column));
        let chosen = definition.fields.iter().map(|column| ("fields", column));
        for (field, column) in masked.chain(chosen) {
            if columns.iter().all(|known| known.name != *column) {
                return Err(format!(
                    "`{field}` names `{column}`, which is no column of the answer"
                ));
            }
        }
        let params = route.bound.iter().filter_map(|name| {
            let mut params = definition.params.iter();
            params.find(|param| param.name == *name)
        });
        let samples: Result<Vec<ArrayRef>, String> = params
            .zip(&plan.parameters)
            .map(|(param, kind)| bind::array(&sample(param), kind))
            .collect();
        let samples = samples?;
        for stretch in plan.pages.stretches(None) {
            let statement = plan.statement(&stretch, 101).await;
            let reads = match statement {
                Ok(statement) => statement.reads(&samples, Timestamp::now()).await,
                Err(error) => Err(error),
            };
            let reads = reads.map_err(|error| format!("the lake refuses the query: {error}"))?;
            if reads > READ {
                return Err(format!(
                    "an answer reads {} MiB of files, and may read {} MiB: narrow it by parameters that are compared \
                     with columns by which the table's files differ, or publish the table to the operational store",
                    reads / MIB,
                    READ / MIB
                ));
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Source for LakeSource {
    fn share(&self, threads: usize) -> Vec<Arc<dyn Source>> {
        let share = |_| Arc::new(self.clone()) as Arc<dyn Source>;
        (0..threads.max(1)).map(share).collect()
    }

    async fn warm_up(&self) {
        tokio::join!(self.0.published.targets(), self.0.seal())
            .0
            .ok();
    }

    async fn ready(&self) -> Result<(), Problem> {
        let targets = self.0.published.targets().await;
        targets.map(drop).map_err(|error| {
            tracing::error!(%error, "the pipelines' definitions cannot be read");
            Problem::unavailable()
        })
    }

    async fn dataset(&self, route: &Served) -> Result<Option<Arc<Dataset>>, String> {
        let read = match self.0.read(route, true).await {
            Ok(read) => read,
            Err(Missing::Table(_)) => return Ok(None),
            Err(Missing::Failed(failure)) => return Err(failure.to_string()),
        };
        let digest = Digest::of(identity(&read));
        let oldest = read.iter().map(|(_, version)| version.made).min();
        Ok(oldest.map(|as_of| {
            Arc::new(Dataset {
                identity: digest.bytes(),
                as_of,
                run: None,
                snapshot: None,
            })
        }))
    }

    async fn learn(&self, routes: &[&Served]) {
        for route in routes {
            let learnt = match self.0.read(route, false).await {
                Ok(read) => self
                    .0
                    .plan(route, None, &read)
                    .await
                    .map_err(|error| error.to_string()),
                Err(missing) => Err(missing.to_string()),
            };
            if let Err(error) = learnt {
                tracing::warn!(
                    path = route.route.path,
                    error,
                    "the query cannot be planned"
                );
            }
        }
    }

    async fn page(&self, asked: &Asked<'_>) -> Result<Page, Problem> {
        let limit = asked.route.route.timeout;
        let _turn = self.0.turn().await?;
        // To drop the page is to end what is done for it.
        match tokio::time::timeout(limit, self.0.page(asked)).await {
            Ok(page) => page,
            Err(_) => Err(Problem::timeout(limit)),
        }
    }

    async fn check(&self, route: &Served) -> Result<Result<(), String>, Failure> {
        let read = match self.0.read(route, true).await {
            Ok(read) => read,
            Err(Missing::Failed(failure)) => return Err(failure),
            // What is not there yet says nothing about the query.
            Err(Missing::Table(_)) => return Ok(Ok(())),
        };
        for sort in route.sorts() {
            if let Err(message) = self.0.check(route, sort, &read).await {
                return Ok(Err(match sort {
                    None => message,
                    Some(sort) => format!("sorted by `{}`: {message}", sort.column),
                }));
            }
        }
        Ok(Ok(()))
    }

    async fn indexes(&self, _: &Query<'_>) -> Result<Vec<IndexRead>, String> {
        Err("the lake has no indexes: leave `index` out of the test".to_owned())
    }

    fn as_older(&self) -> Option<&dyn Older> {
        Some(self)
    }
}

#[async_trait]
impl Older for LakeSource {
    async fn append(
        &self,
        half: &Half<'_>,
        of: &Snapshot,
        joint: &mut Joint<'_>,
    ) -> Result<(), Refusal> {
        let _turn = self.0.turn().await?;
        self.0.append(half, of, joint).await
    }

    async fn cursor_key(&self) -> Result<hmac::Key, Problem> {
        self.0.seal().await
    }
}

/// What a cursor depends on besides what was asked.
fn tied_to(plan: &Plan) -> Vec<String> {
    let keys = plan.pages.keys.iter().flatten().zip(&plan.keys);
    keys.map(|(key, kind)| format!("{} {kind}", key.sql))
        .collect()
}

fn told(trouble: Trouble, route: &Served) -> Problem {
    let path = &route.route.path;
    match trouble {
        Trouble::TooLarge(rows) => Problem::too_large(LARGEST, rows),
        Trouble::BadCursor => bad_cursor(),
        Trouble::BadValue(message) => Problem::bad_values(&message),
        Trouble::Unwritten(value) => {
            tracing::error!(path, ?value, "a value cannot be written");
            Problem::internal()
        }
        Trouble::Engine(error) => match error.kind {
            ErrorKind::Data => Problem::bad_values(&error.message),
            ErrorKind::Exhausted => {
                tracing::warn!(path, %error, "the route's query ran out of memory");
                Problem::exhausted()
            }
            ErrorKind::Store => {
                tracing::error!(path, %error, "the lake's files cannot be read");
                Problem::unavailable()
            }
            ErrorKind::Query | ErrorKind::Internal => {
                tracing::error!(path, %error, "the route's query failed");
                Problem::internal()
            }
        },
    }
}
