//! The newest versions of tables, as far as they are known.

use crate::published::Target;
use jiff::Timestamp;
use millrace_engine::{Engine, Relation};
use millrace_lake::{Lake, Table};
use millrace_model::{Failure, FailureName};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long what was found last counts as the newest: as long as a new version may stay unseen.
const FRESH: Duration = Duration::from_secs(1);

/// A version of a table.
#[derive(Debug)]
pub struct Version {
    /// The table at that version.
    table: Table,
    /// The same for queries.
    pub relation: Relation,
    /// When it was made.
    pub made: Timestamp,
    /// The columns that name a row.
    pub key: Vec<String>,
    /// The columns that hold JSON.
    pub json: Vec<String>,
}

impl Version {
    /// What tells it from all others.
    pub fn identity(&self) -> String {
        format!("{} {}", self.table.key(), self.table.version())
    }
}

/// What is known, by the tables' keys.
#[derive(Debug)]
pub struct Versions {
    lake: Lake,
    engine: Engine,
    known: Mutex<HashMap<String, Arc<Known>>>,
}

#[derive(Debug, Default)]
struct Known {
    last: Mutex<Option<(Instant, Arc<Version>)>>,
    /// An older one that is asked for by its number.
    numbered: tokio::sync::Mutex<Option<Arc<Version>>>,
    /// Of several requests that find it too old, one looks.
    look: tokio::sync::Mutex<()>,
}

impl Known {
    fn last(&self) -> Option<(Instant, Arc<Version>)> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.clone()
    }

    fn set(&self, version: Arc<Version>) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some((Instant::now(), version));
    }
}

impl Versions {
    /// The tables of a lake, for queries of that engine.
    pub fn new(lake: Lake, engine: Engine) -> Self {
        Self {
            lake,
            engine,
            known: Mutex::default(),
        }
    }

    /// The newest version, at most a second old; none where there is no such table.
    pub async fn newest(&self, target: &Target) -> Result<Option<Arc<Version>>, Failure> {
        let known = self.known(&target.table);
        let fresh = |known: &Known| known.last().filter(|(looked, _)| looked.elapsed() < FRESH);
        if let Some((_, version)) = fresh(&known) {
            return Ok(Some(version));
        }
        let _one_looks = known.look.lock().await;
        if let Some((_, version)) = fresh(&known) {
            return Ok(Some(version));
        }
        let version = match known.last() {
            Some((_, version)) => self.newer(version, target).await?,
            None => match self.lake.table(&target.table).await? {
                Some(table) => self.version(table, target).await?,
                None => return Ok(None),
            },
        };
        known.set(version.clone());
        Ok(Some(version))
    }

    /// What was found last, however long ago; looks only where nothing was found yet.
    pub async fn last(&self, target: &Target) -> Result<Option<Arc<Version>>, Failure> {
        match self.known(&target.table).last() {
            Some((_, version)) => Ok(Some(version)),
            None => self.newest(target).await,
        }
    }

    /// The version of that number; none where there is no such table. An error where its log is gone.
    pub async fn numbered(
        &self,
        target: &Target,
        number: u64,
    ) -> Result<Option<Arc<Version>>, Failure> {
        let known = self.known(&target.table);
        let is_it = |version: &Arc<Version>| {
            version.table.version() == number
                && (&version.key, &version.json) == (&target.key, &target.json)
        };
        if let Some((_, version)) = known.last().filter(|(_, version)| is_it(version)) {
            return Ok(Some(version));
        }
        let mut numbered = known.numbered.lock().await;
        if let Some(version) = numbered.clone().filter(is_it) {
            return Ok(Some(version));
        }
        let table = match numbered.take() {
            Some(before) => Some(before.table.at_version(number).await?),
            None => self.lake.table_at(&target.table, number).await?,
        };
        let Some(table) = table else { return Ok(None) };
        let version = self.version(table, target).await?;
        *numbered = Some(version.clone());
        Ok(Some(version))
    }

    /// Forgets what is known of a table: its files may be gone.
    pub fn forget(&self, target: &Target) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.remove(&target.table);
    }

    fn known(&self, table: &str) -> Arc<Known> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(table.to_owned()).or_default().clone()
    }

    async fn newer(&self, version: Arc<Version>, target: &Target) -> Result<Arc<Version>, Failure> {
        match version.table.newer().await? {
            Some(table) => self.version(table, target).await,
            None if (&version.key, &version.json) != (&target.key, &target.json) => {
                self.version(version.table.clone(), target).await
            }
            None => Ok(version),
        }
    }

    async fn version(&self, table: Table, target: &Target) -> Result<Arc<Version>, Failure> {
        let relation = self.engine.relation(&table, &target.key);
        let relation =
            relation.map_err(|error| Failure::new(FailureName::Internal, error.to_string()))?;
        let last = table.history(1).await?;
        let made = last.first().and_then(|entry| entry.at.parse().ok());
        Ok(Arc::new(Version {
            table,
            relation,
            // The log of a version that was checkpointed long ago may be gone.
            made: made.unwrap_or(Timestamp::UNIX_EPOCH),
            key: target.key.clone(),
            json: target.json.clone(),
        }))
    }
}
