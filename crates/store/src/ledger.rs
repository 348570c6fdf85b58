//! The run ledger: one document a run, changed by compare-and-swap, so that steps that run side by side each find their
//! own record and none loses another's.

mod names;

use crate::json;
use crate::objects::{ErrorKind, Objects};
use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use millrace_model::ledger::{RecordedFailure, Run, RunId, RunStatus, StepRecord, step_name};
use millrace_model::step::{Counts, Next, StepInput, StepKind, StepOutput, add_counts};
use millrace_model::{Failure, keys};
use std::sync::Arc;

/// How many entries a page looks at, at most: a status that no run has does not make a request endless.
const EXAMINED: usize = 500;
/// How many entries are read at once.
const AT_ONCE: usize = 16;

/// The run ledger.
#[derive(Clone, Debug)]
pub struct Ledger {
    objects: Arc<dyn Objects>,
}

/// Which runs a list shows.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Those of this pipeline; of all where this is none.
    pub pipeline: Option<String>,
    /// Those of this status; of any where this is none.
    pub status: Option<RunStatus>,
}

/// Some of the runs that a filter lets through.
#[derive(Clone, Debug)]
pub struct Page {
    /// The runs, newest first. There may be fewer than asked for, even none, with more to come.
    pub runs: Vec<Run>,
    /// What the next page is asked for with; none behind the last one.
    pub next: Option<RunId>,
}

impl Ledger {
    /// The ledger that lies among those objects.
    pub fn new(objects: Arc<dyn Objects>) -> Self {
        Self { objects }
    }

    /// Makes a run's entry; the entry that is there already goes before it. Gives back the one that counts, and whether it
    /// is new.
    pub async fn create(&self, run: Run) -> Result<(Run, bool), Failure> {
        let key = keys::run(&run.run);
        match json::create(self.objects.as_ref(), &key, &run).await {
            Ok(_) => Ok((run, true)),
            Err(error) if error.kind == ErrorKind::Exists => {
                match json::get(self.objects.as_ref(), &key).await? {
                    Some(there) => Ok((there, false)),
                    None => Err(error.into()),
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A run's entry.
    pub async fn get(&self, run: &RunId) -> Result<Option<Run>, Failure> {
        Ok(json::get(self.objects.as_ref(), &keys::run(run)).await?)
    }

    /// Changes a run's entry, if there is one and `change` says that it did something. Gives back what is there then.
    pub async fn update(
        &self,
        run: &RunId,
        mut change: impl FnMut(&mut Run) -> bool,
    ) -> Result<Option<Run>, Failure> {
        json::update(
            self.objects.as_ref(),
            &keys::run(run),
            |there: Option<Run>| Ok(there.and_then(|mut run| change(&mut run).then_some(run))),
        )
        .await
    }

    /// Notes that a run's execution is under way. What has ended stays as it is.
    pub async fn running(
        &self,
        run: &RunId,
        execution: Option<&str>,
    ) -> Result<Option<Run>, Failure> {
        self.update(run, |run| {
            if run.status.is_final() {
                return false;
            }
            let before = run.clone();
            run.status = RunStatus::Running;
            run.started_at.get_or_insert_with(now);
            if let Some(execution) = execution {
                run.execution = Some(execution.to_owned());
            }
            *run != before
        })
        .await
    }

    /// Notes how a run ended. The first end counts.
    pub async fn finish(
        &self,
        run: &RunId,
        status: RunStatus,
        failure: Option<RecordedFailure>,
    ) -> Result<Option<Run>, Failure> {
        self.update(run, |run| {
            if run.status.is_final() {
                return false;
            }
            run.status = status;
            run.ended_at = Some(now());
            run.failure.clone_from(&failure);
            true
        })
        .await
    }

    /// Notes that an invocation of a step began, and where. A run that has ended is not touched.
    pub async fn step_started(
        &self,
        kind: StepKind,
        input: &StepInput,
        ran_on: &str,
    ) -> Result<(), Failure> {
        self.update(&input.run, |run| {
            if run.status.is_final() {
                return false;
            }
            let record = run
                .steps
                .entry(step_name(kind, &input.name))
                .or_insert_with(|| StepRecord {
                    kind,
                    started_at: now(),
                    ended_at: None,
                    invocations: 0,
                    done: false,
                    ran_on: Vec::new(),
                    counts: Counts::new(),
                    findings: Vec::new(),
                    failure: None,
                });
            record.invocations = record.invocations.max(input.invocation + 1);
            record.ended_at = None;
            if !record.ran_on.iter().any(|place| place == ran_on) {
                record.ran_on.push(ran_on.to_owned());
            }
            true
        })
        .await
        .map(drop)
    }

    /// Notes how an invocation of a step ended, once. A run that has ended gets the record of a step that began before
    /// that, and nothing else.
    pub async fn step_ended(
        &self,
        kind: StepKind,
        input: &StepInput,
        outcome: Result<&StepOutput, &Failure>,
    ) -> Result<(), Failure> {
        self.update(&input.run, |run| {
            let Some(record) = run.steps.get_mut(&step_name(kind, &input.name)) else {
                return false;
            };
            // An earlier invocation's end, or this one's once more.
            if record.ended_at.is_some() || record.invocations != input.invocation + 1 {
                return false;
            }
            record.ended_at = Some(now());
            match outcome {
                Ok(output) => {
                    record.done = output.next == Next::Done;
                    record.failure = None;
                    add_counts(&mut record.counts, &output.counts);
                    record.findings.extend(output.findings.iter().cloned());
                }
                Err(failure) => record.failure = Some(failure.clone()),
            }
            true
        })
        .await
        .map(drop)
    }

    /// Some of the runs, newest first, behind `after`.
    pub async fn list(
        &self,
        filter: &Filter,
        after: Option<&RunId>,
        limit: usize,
    ) -> Result<Page, Failure> {
        // One more than are looked at tells whether there is another page.
        let mut known = self.names(filter, after, EXAMINED + 1).await?;
        let total = known.len();
        known.truncate(EXAMINED);
        let read = |run: RunId| async move {
            let entry = self.get(&run).await?;
            Ok::<_, Failure>((run, entry))
        };
        let mut entries = futures::stream::iter(known).map(read).buffered(AT_ONCE);
        let mut page = Page {
            runs: Vec::new(),
            next: None,
        };
        let mut examined = 0;
        while page.runs.len() < limit
            && let Some((run, entry)) = entries.try_next().await?
        {
            examined += 1;
            page.next = Some(run);
            let wanted = |run: &Run| filter.status.is_none_or(|status| run.status == status);
            page.runs.extend(entry.filter(wanted));
        }
        if examined == total {
            page.next = None;
        }
        Ok(page)
    }
}

/// The moment, RFC 3339, to the millisecond.
pub fn now() -> String {
    format!("{:.3}", Timestamp::now())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::Folder;
    use futures::future::join_all;
    use millrace_model::FailureName;
    use millrace_model::ledger::Trigger;

    fn entry(run: RunId) -> Run {
        Run {
            pipeline: run.pipeline().to_owned(),
            run,
            status: RunStatus::Queued,
            trigger: Trigger::Cli,
            definition: "0123".to_owned(),
            created_at: now(),
            started_at: None,
            ended_at: None,
            execution: None,
            steps: std::collections::BTreeMap::new(),
            failure: None,
        }
    }

    fn input(run: &RunId, name: &str, invocation: u32) -> StepInput {
        StepInput {
            run: run.clone(),
            pipeline: run.pipeline().to_owned(),
            definition: "0123".to_owned(),
            name: name.to_owned(),
            invocation,
        }
    }

    fn output(input: &StepInput, next: Next, records: u64) -> StepOutput {
        StepOutput::new(input, next, Counts::from([("records".to_owned(), records)]))
    }

    fn ledger() -> (tempfile::TempDir, Ledger) {
        let place = tempfile::tempdir().unwrap();
        let ledger = Ledger::new(Arc::new(Folder::new(place.path())));
        (place, ledger)
    }

    #[tokio::test]
    async fn the_first_entry_counts() {
        let (_place, ledger) = ledger();
        let run = entry(RunId::new("a", 0, 1));
        let second = Run {
            definition: "4567".to_owned(),
            ..run.clone()
        };
        assert_eq!(
            ledger.create(run.clone()).await.unwrap(),
            (run.clone(), true)
        );
        assert_eq!(ledger.create(second).await.unwrap(), (run.clone(), false));
        assert_eq!(ledger.get(&run.run).await.unwrap(), Some(run));
    }

    #[tokio::test]
    async fn an_invocation_counts_once() {
        let (_place, ledger) = ledger();
        let run = RunId::new("a", 0, 1);
        ledger.create(entry(run.clone())).await.unwrap();
        let (first, second) = (input(&run, "quakes", 0), input(&run, "quakes", 1));
        let transient = Failure::new(FailureName::Transient, "503");
        let started = |input, place| ledger.step_started(StepKind::Ingest, input, place);
        let ended = |input, outcome| ledger.step_ended(StepKind::Ingest, input, outcome);

        started(&first, "lambda").await.unwrap();
        ended(&first, Err(&transient)).await.unwrap();
        started(&first, "lambda").await.unwrap();
        let more = output(&first, Next::More, 5);
        ended(&first, Ok(&more)).await.unwrap();
        ended(&first, Ok(&more)).await.unwrap();
        started(&second, "task").await.unwrap();
        ended(&first, Ok(&more)).await.unwrap();
        ended(&second, Ok(&output(&second, Next::Done, 3)))
            .await
            .unwrap();

        let record = ledger
            .get(&run)
            .await
            .unwrap()
            .unwrap()
            .steps
            .remove("ingest/quakes")
            .unwrap();
        assert!(record.done && record.ended_at.is_some() && record.failure.is_none());
        assert_eq!((record.invocations, record.counts["records"]), (2, 8));
        assert_eq!(record.ran_on, ["lambda", "task"]);
    }

    #[tokio::test]
    async fn steps_side_by_side_lose_nothing() {
        let (_place, ledger) = ledger();
        let run = RunId::new("a", 0, 1);
        ledger.create(entry(run.clone())).await.unwrap();
        let inputs: Vec<_> = (0..8)
            .map(|number| input(&run, &format!("r{number}"), 0))
            .collect();
        join_all(inputs.iter().map(async |input| {
            ledger
                .step_started(StepKind::Ingest, input, "lambda")
                .await
                .unwrap();
            let done = output(input, Next::Done, 1);
            ledger
                .step_ended(StepKind::Ingest, input, Ok(&done))
                .await
                .unwrap();
        }))
        .await;
        let steps = ledger.get(&run).await.unwrap().unwrap().steps;
        assert_eq!(steps.values().filter(|step| step.done).count(), 8);
    }

    #[tokio::test]
    async fn what_has_ended_stays_ended() {
        let (_place, ledger) = ledger();
        let run = RunId::new("a", 0, 1);
        let step = input(&run, "quakes", 0);
        ledger.create(entry(run.clone())).await.unwrap();
        ledger.running(&run, Some("arn")).await.unwrap();
        ledger
            .step_started(StepKind::Ingest, &step, "lambda")
            .await
            .unwrap();
        let ended = ledger
            .finish(&run, RunStatus::Cancelled, None)
            .await
            .unwrap()
            .unwrap();
        let late = output(&step, Next::Done, 1);

        ledger
            .step_ended(StepKind::Ingest, &step, Ok(&late))
            .await
            .unwrap();
        ledger
            .step_started(StepKind::Transform, &step, "lambda")
            .await
            .unwrap();
        ledger.running(&run, None).await.unwrap();
        ledger
            .finish(&run, RunStatus::Succeeded, None)
            .await
            .unwrap();

        let there = ledger.get(&run).await.unwrap().unwrap();
        assert_eq!(
            (there.status, &there.ended_at),
            (RunStatus::Cancelled, &ended.ended_at)
        );
        assert_eq!(there.steps.len(), 1);
        assert!(
            there.steps["ingest/quakes"].done,
            "what a step did before is told still"
        );
        let nobody = ledger.running(&RunId::new("a", 0, 2), None).await.unwrap();
        assert_eq!(nobody, None, "a run without an entry gets none");
    }

    #[tokio::test]
    async fn lists_the_newest_first_page_by_page() {
        let (_place, ledger) = ledger();
        for (second, pipeline) in ["b", "a", "a", "b", "a-b"].into_iter().enumerate() {
            let run = RunId::new(pipeline, second as i64, 0);
            ledger.create(entry(run.clone())).await.unwrap();
            if second % 2 == 0 {
                ledger
                    .finish(&run, RunStatus::Succeeded, None)
                    .await
                    .unwrap();
            }
        }
        let list = async |pipeline: Option<&str>, status, limit| {
            let filter = Filter {
                pipeline: pipeline.map(ToOwned::to_owned),
                status,
            };
            let mut pages = Vec::new();
            let mut after = None;
            loop {
                let page = ledger.list(&filter, after.as_ref(), limit).await.unwrap();
                pages.push(
                    page.runs
                        .iter()
                        .map(|run| run.pipeline.clone())
                        .collect::<Vec<_>>()
                        .join(" "),
                );
                after = page.next;
                if after.is_none() {
                    return pages;
                }
            }
        };
        assert_eq!(list(None, None, 9).await, ["a-b b a a b"]);
        assert_eq!(list(None, None, 2).await, ["a-b b", "a a", "b"]);
        assert_eq!(list(Some("a"), None, 1).await, ["a", "a"]);
        assert_eq!(list(None, Some(RunStatus::Succeeded), 9).await, ["a-b a b"]);
        assert_eq!(list(Some("c"), None, 9).await, [""]);
    }
}
