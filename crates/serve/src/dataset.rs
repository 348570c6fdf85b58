//! What the tables of a route hold now: the version that publish noted in the same transaction as the rows.

use deadpool_postgres::Object;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long what was read counts as now: as long as a new version may stay unseen.
const FRESH: Duration = Duration::from_secs(1);

const PUBLISHED: &str = "
    SELECT p.source || ' ' || p.version || ' ' || p.files || ' ' || p.layout, p.run, p.published_at
    FROM unnest($1::text[], $2::text[]) AS r (schema, relation)
    JOIN millrace.published AS p ON (p.schema, p.relation) = (r.schema, r.relation)
    ORDER BY p.schema, p.relation";

/// The version of what a route reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    /// What tells this version from all others.
    pub identity: [u8; 32],
    /// When the table that was published longest ago was: nothing in the answer is older than its source was then.
    pub as_of: Timestamp,
    /// The run that published that table.
    pub run: String,
}

/// What is known of a route's dataset.
#[derive(Debug, Default)]
pub struct Known(Mutex<Option<(Instant, Option<Arc<Dataset>>)>>);

impl Known {
    /// The dataset, if it was looked at just now: inside none where Millrace published nothing of it.
    #[allow(clippy::option_option)] // Outside: whether it is known.
    pub fn fresh(&self) -> Option<Option<Arc<Dataset>>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = known.as_ref().filter(|(at, _)| at.elapsed() < FRESH);
        fresh.map(|(_, dataset)| dataset.clone())
    }

    /// What was found last, however long ago.
    pub fn last(&self) -> Option<Arc<Dataset>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().and_then(|(_, dataset)| dataset.clone())
    }

    /// Remembers what was found.
    pub fn set(&self, dataset: Option<Arc<Dataset>>) {
        let now = Some((Instant::now(), dataset));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }
}

/// Reads the version of these tables, schema and name. None where one of them is not Millrace's: then nobody says when
/// it changes.
pub async fn read(
    client: &Object,
    relations: &[(String, String)],
) -> Result<Option<Arc<Dataset>>, tokio_postgres::Error> {
    let (schemas, names): (Vec<&str>, Vec<&str>) = relations
        .iter()
        .map(|(schema, name)| (schema.as_str(), name.as_str()))
        .unzip();
    let statement = client.prepare_cached(PUBLISHED).await?;
    let rows = client.query(&statement, &[&schemas, &names]).await?;
    if rows.is_empty() || rows.len() < relations.len() {
        return Ok(None);
    }
    let mut digest = Sha256::new();
    let mut oldest: Option<(Timestamp, String)> = None;
    for row in rows {
        let identity: String = row.try_get(0)?;
        digest.update(identity.len().to_be_bytes());
        digest.update(identity);
        let (run, at): (String, Timestamp) = (row.try_get(1)?, row.try_get(2)?);
        if oldest.as_ref().is_none_or(|(known, _)| at < *known) {
            oldest = Some((at, run));
        }
    }
    Ok(oldest.map(|(as_of, run)| {
        Arc::new(Dataset {
            identity: digest.finalize().into(),
            as_of,
            run,
        })
    }))
}
