//! After a run: small files made one, and files removed that no reader needs any more, as long as there is time for it.

use crate::job::{BYTES_A_SECOND, Job, OVERHEAD};
use millrace_lake::Error;
use millrace_model::keys;
use millrace_model::step::{Counts, Place};
use std::time::Duration;

impl Job<'_> {
    /// Looks after those tables. What fails is left to the next run: the rows are where they should be.
    pub(crate) async fn look_after(&self, names: &[String], counts: &mut Counts) {
        for name in names {
            let work = self.look_after_one(name, counts);
            let done = match self.time_for_upkeep() {
                // What is broken off leaves files that no commit names, as a kill does.
                Some(time) => tokio::time::timeout(time, work).await,
                None => Ok(work.await),
            };
            match done {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::warn!(table = name, %error, "the table was not looked after");
                }
                Err(_) => tracing::info!(table = name, "upkeep is left to the next run"),
            }
        }
    }

    async fn look_after_one(&self, name: &str, counts: &mut Counts) -> Result<(), Error> {
        let Some(bytes) = self.bytes_in_time() else {
            return Ok(());
        };
        let key = keys::table(&self.input.pipeline, name);
        let Some(table) = self.lake.table(&key).await? else {
            return Ok(());
        };
        let (compacted, table) = self.lake.compact(&table, bytes).await?;
        let removed = table.vacuum(self.table.keep_versions).await?;
        for (what, count) in [("files_compacted", compacted), ("files_removed", removed)] {
            if count > 0 {
                *counts.entry(what.to_owned()).or_default() += count as u64;
            }
        }
        Ok(())
    }

    /// How many bytes can be written anew before the deadline; none where there is no time.
    fn bytes_in_time(&self) -> Option<u64> {
        let Some(time) = self.time_for_upkeep() else {
            return Some(u64::MAX);
        };
        let seconds = Some(time.as_secs()).filter(|seconds| *seconds > 0)?;
        Some(seconds.saturating_mul(BYTES_A_SECOND))
    }

    /// How long upkeep may take; none where nothing ends it.
    fn time_for_upkeep(&self) -> Option<Duration> {
        (self.deadline.place() != Place::Unbounded)
            .then(|| self.deadline.left().saturating_sub(OVERHEAD))
    }
}
