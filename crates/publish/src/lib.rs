//! Delta → PostgreSQL. A table is published in one transaction: its rows, its indexes, its grants, and the note of which
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
mod relation;
mod target;

use millrace_lake::{Lake, Table};
use millrace_model::step::{Counts, Deadline, Next, Observer, Place, StepInput, StepOutput};
use millrace_model::{Failure, FailureName};
use millrace_postgres::{Credentials, connect, failure};
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
}

/// Why a transaction does not go on.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It failed.
    Failed(Failure),
    /// PostgreSQL says no.
    Postgres(tokio_postgres::Error),
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
        }
    }

    /// Publishes the `schema.table` that the input names. In a Lambda, what cannot be done by the deadline is rolled back
    /// and handed to a task: a transaction cannot be continued by somebody else.
    pub async fn run(
        &self,
        input: &StepInput,
        deadline: Deadline,
        observer: &dyn Observer,
    ) -> Result<StepOutput, Failure> {
        let pinned = definitions::pinned(&*self.objects, &input.definition).await?;
        let target = Target::of(&pinned, &input.name)?;
        let Some(table) = self.lake.table(&target.source).await? else {
            // Nothing was ever written: there are no columns to make a relation of.
            tracing::info!(table = target.source, "there is no table to publish yet");
            return Ok(StepOutput::new(
                input,
                Next::Done,
                Counts::from([("rows".to_owned(), 0)]),
            ));
        };
        let (client, credentials) = self.connect().await?;
        let mut progress = Progress::new(deadline, observer);
        let stop = match self
            .publish(client, &credentials, &target, &table, input, &mut progress)
            .await
        {
            Ok(()) => {
                tracing::info!(relation = target.name(), counts = ?progress.counts, "published");
                return Ok(StepOutput::new(input, Next::Done, progress.counts));
            }
            Err(stop) => stop,
        };
        match stop {
            Stop::TooSlow => {
                tracing::info!(
                    relation = target.name(),
                    "the rest would take too long here; a task publishes it"
                );
                Ok(StepOutput::new(input, Next::Task, Counts::new()))
            }
            Stop::Failed(failure) => Err(failure),
            Stop::Postgres(error) => Err(failure(
                &error,
                &credentials,
                &format!("publish {}", target.name()),
            )),
        }
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
