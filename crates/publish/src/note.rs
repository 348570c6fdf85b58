//! The note that publish leaves in the store, in the transaction of the rows: which version of which table they are.

use crate::Stop;
use crate::relation::locked;
use crate::target::Target;
use millrace_model::ledger::RunId;
use millrace_model::recent::RecentRows;
use millrace_model::{Failure, FailureName};
use millrace_postgres::RECENT;
use tokio_postgres::{Client, Transaction};

/// How long whoever reads notes is held up by the one publish that makes room for what they say.
const ROOM_TIMEOUT: &str = "SET LOCAL lock_timeout = '2s'";

/// What a relation holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The key of the Delta table in the lake.
    pub source: String,
    /// Its version.
    pub version: u64,
    /// What tells that content of it from others.
    pub files: String,
    /// A digest of what the relation is made of.
    pub layout: String,
    /// Which of the rows it has; all of them where this is none.
    pub recent: Option<RecentRows>,
}

/// Sees to it that notes can be left: in a store that is not set up nothing is published, and one that an older Millrace
/// set up lacks a column.
pub async fn make_room(client: &mut Client) -> Result<(), Stop> {
    let there = client
        .query_one(
            "SELECT to_regclass('millrace.published') IS NOT NULL, EXISTS (
                 SELECT FROM pg_catalog.pg_attribute
                 WHERE attrelid = to_regclass('millrace.published') AND attname = 'recent')",
            &[],
        )
        .await?;
    let (set_up, whole): (bool, bool) = (there.try_get(0)?, there.try_get(1)?);
    if !set_up {
        let text = "the operational store is not set up: it has no table millrace.published; set it up with its \
                    admin's credentials first";
        return Err(Failure::new(FailureName::BadDefinition, text).into());
    }
    if whole {
        return Ok(());
    }
    let transaction = locked(client, "millrace.published").await?;
    transaction.batch_execute(ROOM_TIMEOUT).await?;
    transaction.batch_execute(RECENT).await?;
    transaction.commit().await?;
    Ok(())
}

impl Note {
    /// What the store says of a relation; none where Millrace has not made it.
    pub async fn read(
        transaction: &Transaction<'_>,
        target: &Target,
    ) -> Result<Option<Self>, Stop> {
        let row = transaction
            .query_opt(
                "SELECT source, version, files, layout, recent::text FROM millrace.published
                 WHERE schema = $1 AND relation = $2",
                &[&target.schema, &target.relation],
            )
            .await?;
        let Some(row) = row else { return Ok(None) };
        let recent: Option<String> = row.try_get(4)?;
        Ok(Some(Self {
            source: row.try_get(0)?,
            version: row.try_get::<_, i64>(1)?.cast_unsigned(),
            files: row.try_get(2)?,
            layout: row.try_get(3)?,
            // What cannot be read says nothing, and the relation is made anew.
            recent: recent.and_then(|recent| serde_json::from_str(&recent).ok()),
        }))
    }

    /// Leaves it, where it says something else than the one that is there.
    pub async fn write(
        &self,
        transaction: &Transaction<'_>,
        target: &Target,
        run: &RunId,
    ) -> Result<(), Stop> {
        let recent = self.recent.as_ref().map(serde_json::to_string).transpose();
        let recent =
            recent.map_err(|error| Failure::new(FailureName::Internal, error.to_string()))?;
        transaction
            .execute(
                "INSERT INTO millrace.published AS present
                     (schema, relation, source, version, files, layout, run, recent)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8::text::jsonb)
                 ON CONFLICT (schema, relation) DO UPDATE SET
                     source = EXCLUDED.source, version = EXCLUDED.version, files = EXCLUDED.files,
                     layout = EXCLUDED.layout, recent = EXCLUDED.recent, run = EXCLUDED.run, published_at = now()
                 WHERE (present.source, present.version, present.files, present.layout, present.recent)
                     IS DISTINCT FROM
                       (EXCLUDED.source, EXCLUDED.version, EXCLUDED.files, EXCLUDED.layout, EXCLUDED.recent)",
                &[
                    &target.schema,
                    &target.relation,
                    &self.source,
                    &self.version.cast_signed(),
                    &self.files,
                    &self.layout,
                    &run.as_str(),
                    &recent,
                ],
            )
            .await?;
        Ok(())
    }
}
