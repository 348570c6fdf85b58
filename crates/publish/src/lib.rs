//! Delta → the stores that endpoints read. What becomes of a table in Redis stands in [`redis`]; of the operational store:
//!
//! A table is published in one transaction: its rows, its indexes, its grants, and the note of which
//! Delta version it now holds. Whoever reads it sees the old rows or the new ones; a publish that is killed leaves the
//! old ones; one that is repeated finds that there is nothing to do.
//!
//! Where the lake can tell what was written since the version that is published, only that is merged. Elsewhere a new
//! table is filled beside the old one and takes its place.

mod column;
mod copy;
mod indexes;
mod load;
mod nested;
mod note;
mod recent;
mod redis;
mod relation;
mod target;

use millrace_lake::{Lake, Table};
use millrace_model::definition::{Datasource, Pinned};
use millrace_model::step::{Counts, Deadline, Next, Observer, Place, StepInput, StepOutput};
use millrace_model::{Failure, FailureName};
use millrace_postgres::{Credentials, connect, failure};
use millrace_redis::RedisError;
use millrace_store::definitions;
use millrace_store::objects::Objects;
use millrace_store::secrets::Secrets;
use std::sync::Arc;
use std::time::{Duration, Instant};
use target::Target;
use tokio_postgres::Client;

/// How long before its deadline a Lambda lets go: the task that takes over needs a transaction that is not in its way.
const MARGIN: Duration = Duration::from_secs(5);
/// How long rows are copied before it is judged whether the rest can be done in time.
const JUDGEMENT: Duration = Duration::from_secs(5);

/// Publishes tables.
#[derive(Debug)]
pub struct Publish {
    objects: Arc<dyn Objects>,
    lake: Lake,
    secrets: Arc<dyn Secrets>,
    store_secret: String,
    redis_secret: Option<String>,
}

/// Why a publish does not go on.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It failed.
    Failed(Failure),
    /// PostgreSQL says no.
    Postgres(tokio_postgres::Error),
    /// Redis does.
    Redis(RedisError),
    /// It would not be done by the deadline.
    TooSlow,
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<tokio_postgres::Error> for Stop {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Postgres(error)
    }
}

impl From<RedisError> for Stop {
    fn from(error: RedisError) -> Self {
        Self::Redis(error)
    }
}

impl Publish {
    /// Publishes what pipelines of `objects` and `lake` say into the operational store whose owner `store_secret` names.
    pub fn new(
        objects: Arc<dyn Objects>,
        lake: Lake,
        secrets: Arc<dyn Secrets>,
        store_secret: String,
    ) -> Self {
        Self {
            objects,
            lake,
            secrets,
            store_secret,
            redis_secret: None,
        }
    }

    /// The same, with a Redis whose owner that secret names; without one, nothing can be published there.
    #[must_use]
    pub fn with_redis(mut self, secret: Option<&str>) -> Self {
        self.redis_secret = secret.map(str::to_owned);
        self
    }

    /// Publishes what the input names. In a Lambda, what cannot be done by the deadline is handed to a task: a transaction
    /// cannot be continued by somebody else.
    pub async fn run(
        &self,
        input: &StepInput,
        deadline: Deadline,
        observer: &dyn Observer,
    ) -> Result<StepOutput, Failure> {
        let pinned = definitions::pinned(&*self.objects, &input.definition).await?;
        let mut progress = Progress::new(deadline, observer);
        let to = pinned.pipeline.publish_step(&input.name).map(|it| it.to);
        let done = if to == Some(Datasource::Redis) {
            self.to_redis(&pinned, input, &mut progress).await
        } else {
            self.to_postgres(&pinned, input, &mut progress).await
        };
        match done {
            Ok(()) => {
                tracing::info!(name = input.name, counts = ?progress.counts, "published");
                Ok(StepOutput::new(input, Next::Done, progress.counts))
            }
            Err(Stop::Failed(failure)) => Err(failure),
            Err(Stop::TooSlow) => {
                let name = &input.name;
                tracing::info!(
                    name,
                    "the rest would take too long here; a task publishes it"
                );
                Ok(StepOutput::new(input, Next::Task, Counts::new()))
            }
            Err(Stop::Postgres(error)) => Err(internal(&error)),
            Err(Stop::Redis(error)) => Err(internal(&error)),
        }
    }

    /// The table of that key; none where nothing was ever written, so that there are no columns to publish.
    async fn table(&self, key: &str) -> Result<Option<Table>, Failure> {
        let table = self.lake.table(key).await?;
        if table.is_none() {
            tracing::info!(table = key, "there is no table to publish yet");
        }
        Ok(table)
    }

    async fn to_postgres(
        &self,
        pinned: &Pinned,
        input: &StepInput,
        progress: &mut Progress<'_>,
    ) -> Result<(), Stop> {
        let target = Target::of(pinned, &input.name)?;
        let Some(table) = self.table(&target.source).await? else {
            return Ok(());
        };
        let (client, credentials) = self.connect().await?;
        let published = self.publish(client, &credentials, &target, &table, input, progress);
        published.await.map_err(|stop| match stop {
            Stop::Postgres(error) => {
                let what = format!("publish {}", target.name());
                Stop::Failed(failure(&error, &credentials, &what))
            }
            stop => stop,
        })
    }

    async fn to_redis(
        &self,
        pinned: &Pinned,
        input: &StepInput,
        progress: &mut Progress<'_>,
    ) -> Result<(), Stop> {
        let target = redis::Target::of(pinned, &input.name)?;
        let Some(table) = self.table(&target.source).await? else {
            return Ok(());
        };
        let Some(secret) = &self.redis_secret else {
            let text = format!(
                "{} goes to Redis, and this deployment knows none",
                target.name
            );
            return Err(Failure::new(FailureName::BadDefinition, text).into());
        };
        let connection = millrace_redis::login(&*self.secrets, secret, redis::PATIENCE).await?;
        let published = redis::publish(&connection, &target, &table, &input.run, progress);
        published.await.map_err(|stop| match stop {
            Stop::Redis(error) => {
                let what = format!("publish {}", target.name);
                Stop::Failed(connection.failure(&error, &what))
            }
            stop => stop,
        })
    }

    /// A login that is refused is tried once more with the secret as it is now: it may have been rotated.
    async fn connect(&self) -> Result<(Client, Credentials), Failure> {
        let secret = self.secrets.get(&self.store_secret).await?;
        let credentials = Credentials::parse(&self.store_secret, secret.text())?;
        match connect(&credentials, "millrace publish").await {
            Err(failure) if failure.name == FailureName::Unauthorized => {}
            connected => return connected.map(|client| (client, credentials)),
        }
        let secret = self.secrets.refresh(&self.store_secret).await?;
        let credentials = Credentials::parse(&self.store_secret, secret.text())?;
        let client = connect(&credentials, "millrace publish").await?;
        Ok((client, credentials))
    }

    async fn publish(
        &self,
        mut client: Client,
        credentials: &Credentials,
        target: &Target,
        table: &Table,
        input: &StepInput,
        progress: &mut Progress<'_>,
    ) -> Result<(), Stop> {
        let cancel = client.cancel_token();
        let limit = progress.deadline.left().saturating_sub(MARGIN);
        let bounded = progress.deadline.place() == Place::Lambda;
        let work = relation::publish(&mut client, target, table, &input.run, progress);
        if !bounded {
            return work.await;
        }
        if let Ok(done) = tokio::time::timeout(limit, work).await {
            return done;
        }
        // What runs on the server would go on without anybody listening, an index being made for instance, and hold its
        // locks against the task.
        if let Ok(tls) = credentials.tls()
            && let Err(error) = cancel.cancel_query(tls).await
        {
            tracing::warn!(%error, "the query under way was not cancelled");
        }
        Err(Stop::TooSlow)
    }
}

/// The failure of a step whose store's error nobody has told yet.
fn internal(error: &dyn std::error::Error) -> Failure {
    Failure::new(FailureName::Internal, error.to_string())
}

/// What was done so far, and whether the rest can be done in time.
pub(crate) struct Progress<'a> {
    counts: Counts,
    expected: Option<u64>,
    started: Instant,
    deadline: Deadline,
    observer: &'a dyn Observer,
}

impl<'a> Progress<'a> {
    fn new(deadline: Deadline, observer: &'a dyn Observer) -> Self {
        Self {
            counts: Counts::from([("rows".to_owned(), 0)]),
            expected: None,
            started: Instant::now(),
            deadline,
            observer,
        }
    }

    /// How many rows there will be, as far as that is known.
    fn expect(&mut self, rows: Option<u64>) {
        self.expected = rows;
        self.started = Instant::now();
    }

    fn set(&mut self, name: &str, count: u64) {
        self.counts.insert(name.to_owned(), count);
        self.observer.progress(&self.counts);
    }

    fn add(&mut self, name: &str, count: u64) {
        let so_far = self.counts.get(name).copied().unwrap_or_default();
        self.set(name, so_far + count);
    }

    fn bytes(&mut self, bytes: usize) {
        *self.counts.entry("bytes".to_owned()).or_default() += bytes as u64;
    }

    /// Counts rows, and stops where what is left would take longer than there is time. Indexes are taken to need as long
    /// as the rows themselves.
    fn rows(&mut self, rows: usize) -> Result<(), Stop> {
        let so_far = self.counts.entry("rows".to_owned()).or_default();
        *so_far += rows as u64;
        let so_far = *so_far;
        self.observer.progress(&self.counts);
        let spent = self.started.elapsed();
        if self.deadline.place() == Place::Lambda
            && spent > JUDGEMENT
            && let Some(expected) = self.expected
        {
            let whole = spent.mul_f64(expected.max(so_far) as f64 / so_far.max(1) as f64);
            if whole * 2 > self.deadline.left() + spent {
                return Err(Stop::TooSlow);
            }
        }
        Ok(())
    }
}
