//! The names of runs, newest first. Names lie in the order of their times, oldest first, so that what is asked for most
//! lies at the end, and a pipeline that runs every minute has half a million a year: the last days are looked through,
//! and further back only as far as it takes.

use super::{AT_ONCE, Filter, Ledger};
use futures::stream::{self, StreamExt, TryStreamExt};
use jiff::{SignedDuration, Timestamp};
use millrace_model::ledger::RunId;
use millrace_model::{Failure, keys};
use std::cmp::Reverse;

/// How many keys a list takes from the store at once.
const KEYS: usize = 1000;
/// How far back the first look goes.
const FIRST_LOOK: SignedDuration = SignedDuration::from_hours(24);
/// How much further the next one goes.
const FURTHER: i32 = 8;

impl Ledger {
    /// The names of at least so many runs behind `after`, newest first; fewer where there are no more.
    pub(super) async fn names(
        &self,
        filter: &Filter,
        after: Option<&RunId>,
        wanted: usize,
    ) -> Result<Vec<RunId>, Failure> {
        let pipelines = match &filter.pipeline {
            Some(pipeline) => vec![pipeline.clone()],
            None => self.pipelines().await?,
        };
        let is_behind =
            |run: &RunId| after.is_none_or(|after| newest_first(run) > newest_first(after));
        let (mut found, mut many) = (Vec::new(), Vec::new());
        let whole = pipelines.into_iter().map(|pipeline| async move {
            let names = self.some(&pipeline, None).await?;
            Ok::<_, Failure>((pipeline, names))
        });
        let mut whole = stream::iter(whole).buffered(AT_ONCE);
        while let Some((pipeline, (names, more))) = whole.try_next().await? {
            if more {
                many.push(pipeline);
            } else {
                found.extend(names);
            }
        }
        let mut end = after.map(|after| after.began() + SignedDuration::from_secs(1));
        let mut look = FIRST_LOOK;
        while !many.is_empty() {
            let latest = end.unwrap_or_else(Timestamp::now);
            // Names have whole seconds; a look that began within one would meet it twice.
            let start = latest.as_second().saturating_sub(look.as_secs()).max(0);
            let start = Timestamp::from_second(start).unwrap_or(Timestamp::UNIX_EPOCH);
            let looks = many.clone().into_iter();
            let looks =
                looks.map(|pipeline| async move { self.between(&pipeline, start, end).await });
            let looks: Vec<_> = stream::iter(looks).buffered(AT_ONCE).try_collect().await?;
            found.extend(looks.into_iter().flatten());
            let enough = found
                .iter()
                .filter(|run| run.began() >= start && is_behind(run));
            if enough.count() >= wanted || start == Timestamp::UNIX_EPOCH {
                // Of small pipelines there are older ones than were looked for in the others.
                found.retain(|run| run.began() >= start);
                break;
            }
            (end, look) = (Some(start), look * FURTHER);
        }
        found.retain(is_behind);
        found.sort_unstable_by(|one, other| newest_first(one).cmp(&newest_first(other)));
        Ok(found)
    }

    /// The pipelines that have runs.
    async fn pipelines(&self) -> Result<Vec<String>, Failure> {
        let mut pipelines = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let next = self
                .objects
                .list(keys::ALL_RUNS, after.as_deref(), 1)
                .await?;
            let Some(entry) = next.first() else {
                return Ok(pipelines);
            };
            let name = entry.key.strip_prefix(keys::ALL_RUNS).unwrap_or_default();
            after = Some(match name.split_once('/') {
                // Behind all keys of its folder: `0` follows `/`.
                Some((pipeline, _)) => {
                    pipelines.push(pipeline.to_owned());
                    format!("{}{pipeline}0", keys::ALL_RUNS)
                }
                None => entry.key.clone(),
            });
        }
    }

    /// The names of a pipeline's runs that began from `start` on and before `end`.
    async fn between(
        &self,
        pipeline: &str,
        start: Timestamp,
        end: Option<Timestamp>,
    ) -> Result<Vec<RunId>, Failure> {
        let first = RunId::new(pipeline, start.as_second(), 0);
        let mut after = keys::run(&first);
        // A name is longer than what it begins with, and lies behind that.
        after.truncate(after.len() - "00000000.json".len());
        let mut found = Vec::new();
        loop {
            let (names, more) = self.some(pipeline, Some(&after)).await?;
            let is_over = |run: &RunId| end.is_some_and(|end| run.began() >= end);
            let ended = names.last().is_none_or(is_over) || !more;
            after = names.last().map(keys::run).unwrap_or_default();
            found.extend(names.into_iter().filter(|run| !is_over(run)));
            if ended {
                return Ok(found);
            }
        }
    }

    /// The first of a pipeline's runs behind a key, and whether there are more.
    async fn some(
        &self,
        pipeline: &str,
        after: Option<&str>,
    ) -> Result<(Vec<RunId>, bool), Failure> {
        let entries = self
            .objects
            .list(&keys::runs(pipeline), after, KEYS)
            .await?;
        let more = entries.len() == KEYS;
        // What is not a run's entry was put there by hand, and is nobody's.
        let names = entries.into_iter().filter_map(|entry| {
            let name = entry.key.rsplit('/').next()?.strip_suffix(".json")?;
            RunId::try_from(name.to_owned()).ok()
        });
        Ok((names.collect(), more))
    }
}

/// What runs are sorted by: the time in their names, then the rest of them.
fn newest_first(run: &RunId) -> (Reverse<&str>, &str) {
    let pipeline = run.pipeline();
    (Reverse(&run.as_str()[pipeline.len() + 1..]), pipeline)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::Folder;
    use bytes::Bytes;
    use std::sync::Arc;

    /// A pipeline that runs every second of some minutes a day ago, around where the first look begins.
    #[tokio::test]
    async fn no_run_is_met_twice_where_looks_meet() {
        let place = tempfile::tempdir().unwrap();
        let ledger = Ledger::new(Arc::new(Folder::new(place.path())));
        let now = Timestamp::now().as_second();
        let mut all: Vec<RunId> = (0..1200)
            .map(|n| RunId::new("often", now - 86_400 + 100 - n, 1))
            .collect();
        for run in &all {
            let entry = Bytes::from_static(b"{}");
            ledger.objects.put(&keys::run(run), entry).await.unwrap();
        }
        all.sort_unstable_by(|one, other| newest_first(one).cmp(&newest_first(other)));
        let filter = Filter::default();
        assert_eq!(ledger.names(&filter, None, 1200).await.unwrap(), all);
    }

    /// A pipeline that runs every few minutes, one that runs every month, and one that ran once.
    async fn ledger(place: &std::path::Path) -> (Ledger, Vec<RunId>) {
        let ledger = Ledger::new(Arc::new(Folder::new(place)));
        let now = Timestamp::now().as_second();
        let often = (0..1500).map(|n| RunId::new("often", now - n * 400, (n % 7) as u32));
        let monthly = (0..30).map(|n| RunId::new("monthly", now - n * 30 * 86_400, 1));
        let once = [RunId::new("once", 12, 3)];
        let mut runs: Vec<RunId> = often.chain(monthly).chain(once).collect();
        for run in &runs {
            let entry = Bytes::from_static(b"{}");
            ledger.objects.put(&keys::run(run), entry).await.unwrap();
        }
        let stray = ledger.objects.put("runs/often/notes.txt", Bytes::new());
        stray.await.unwrap();
        runs.sort_unstable_by(|one, other| newest_first(one).cmp(&newest_first(other)));
        (ledger, runs)
    }

    #[tokio::test]
    async fn pages_of_names_add_up_to_all_of_them() {
        let place = tempfile::tempdir().unwrap();
        let (ledger, all) = ledger(place.path()).await;
        for (pipeline, wanted) in [
            (None, 400),
            (None, 700),
            (Some("often"), 300),
            (Some("monthly"), 7),
            (Some("no"), 5),
        ] {
            let filter = Filter {
                pipeline: pipeline.map(str::to_owned),
                status: None,
            };
            let expected: Vec<&RunId> = all
                .iter()
                .filter(|run| pipeline.is_none_or(|pipeline| run.pipeline() == pipeline))
                .collect();
            let mut found: Vec<RunId> = Vec::new();
            loop {
                let mut names = ledger.names(&filter, found.last(), wanted).await.unwrap();
                names.truncate(wanted);
                if names.is_empty() {
                    break;
                }
                found.extend(names);
            }
            assert!(expected.into_iter().eq(&found), "{pipeline:?} {wanted}");
        }
    }

    #[tokio::test]
    async fn the_newest_ones_are_found_without_reading_all_names() {
        let place = tempfile::tempdir().unwrap();
        let (ledger, _) = ledger(place.path()).await;
        let filter = Filter::default();
        let names = ledger.names(&filter, None, 100).await.unwrap();
        // A day of one that runs every few minutes, not a week and a half.
        assert!((100..=300).contains(&names.len()), "{}", names.len());
    }
}
