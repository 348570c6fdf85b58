//! Starting a run, once, however often it is asked for.

use crate::Control;
use crate::gate::Verdict;
use millrace_model::definition::{Pinned, Problem};
use millrace_model::ledger::{RecordedFailure, Run, RunId, RunStatus, Trigger};
use millrace_model::{Failure, keys};
use millrace_store::ledger::now;
use millrace_store::objects::ErrorKind;
use millrace_store::{definitions, json};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// What the definitions say of a pipeline.
pub(crate) enum Defined {
    /// It can run.
    Sound(Box<Pinned>),
    /// It cannot, because of these.
    Broken(Vec<Problem>),
    /// There is no such pipeline.
    Absent(Vec<Problem>),
}

/// Which run an idempotency key started.
#[derive(Serialize, Deserialize)]
struct KeyedRun {
    run: RunId,
}

impl Control {
    /// Reads what the definitions say of a pipeline now.
    pub(crate) async fn defined(&self, pipeline: &str) -> Result<Defined, Failure> {
        let (set, problems) = definitions::read_set(self.objects.as_ref()).await?;
        let known = set.pipelines.contains_key(pipeline);
        let models = set.pipelines.get(pipeline).map(|found| &found.models);
        let models = models.into_iter().flatten();
        let files: Vec<String> = models.filter_map(|model| model.file.clone()).collect();
        let is_own = |problem: &Problem| {
            is_definition(&problem.file, "pipelines", pipeline) || files.contains(&problem.file)
        };
        let (own, others): (Vec<_>, Vec<_>) = problems.into_iter().partition(is_own);
        Ok(match set.pin(pipeline) {
            Ok(pinned) if own.is_empty() => Defined::Sound(Box::new(pinned)),
            Err(unknown) if own.is_empty() && !known => Defined::Absent(unknown),
            // A connection that is missing may be there, and broken.
            Err(missing) if own.is_empty() => {
                let connections = others
                    .into_iter()
                    .filter(|problem| problem.file.starts_with("connections/"));
                Defined::Broken(missing.into_iter().chain(connections).collect())
            }
            _ => Defined::Broken(own),
        })
    }

    /// The run that an idempotency key started before, if it did.
    pub(crate) async fn keyed_run(
        &self,
        pipeline: &str,
        key: &str,
    ) -> Result<Option<RunId>, Failure> {
        let keyed: Option<KeyedRun> =
            json::get(self.objects.as_ref(), &idempotency(pipeline, key)).await?;
        Ok(keyed.map(|keyed| keyed.run))
    }

    /// A name for a run that a caller asks for: with a key the one that the key got first.
    pub(crate) async fn name_run(
        &self,
        pipeline: &str,
        key: Option<&str>,
    ) -> Result<RunId, Failure> {
        let run = RunId::beginning(pipeline, jiff::Timestamp::now(), rand::random());
        let Some(key) = key else {
            return Ok(run);
        };
        let keyed = KeyedRun { run: run.clone() };
        match json::create(self.objects.as_ref(), &idempotency(pipeline, key), &keyed).await {
            Ok(_) => Ok(run),
            Err(error) if error.kind == ErrorKind::Exists => self
                .keyed_run(pipeline, key)
                .await?
                .ok_or_else(|| error.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// Starts a run: enters it in the ledger with its definition pinned, and asks the gate. Gives back its entry.
    pub(crate) async fn start(
        &self,
        run: RunId,
        trigger: Trigger,
        pinned: &Pinned,
    ) -> Result<Run, Failure> {
        let definition = definitions::pin(self.objects.as_ref(), pinned).await?;
        let (entry, _) = self.ledger.create(entry(run, trigger, definition)).await?;
        self.admit(entry).await
    }

    /// Goes on with a run that stands in the ledger: asks the gate, and starts the execution where it may.
    pub(crate) async fn admit(&self, entry: Run) -> Result<Run, Failure> {
        if entry.status != RunStatus::Queued {
            return Ok(entry);
        }
        let pinned = definitions::pinned(self.objects.as_ref(), &entry.definition).await?;
        let entry = match self
            .ask_gate(&entry.run, pinned.pipeline.concurrency)
            .await?
        {
            Verdict::Enter => {
                let entry = self.launch(entry).await?;
                if entry.status.is_final() {
                    self.release(&entry.run).await?;
                }
                entry
            }
            Verdict::Wait => self.ledger.get(&entry.run).await?.unwrap_or(entry),
            Verdict::Refuse(active) => self.skip(entry, &active).await?,
        };
        tracing::info!(run = %entry.run, status = ?entry.status, "a run was asked for");
        Ok(entry)
    }

    /// Enters a run in the ledger that cannot start, since nobody is there to be told.
    pub(crate) async fn refuse(
        &self,
        run: RunId,
        trigger: Trigger,
        problems: &[Problem],
    ) -> Result<Run, Failure> {
        let listed: Vec<String> = problems.iter().map(ToString::to_string).collect();
        let now = now();
        let failed = Run {
            status: RunStatus::Failed,
            ended_at: Some(now),
            failure: Some(RecordedFailure {
                name: "BadDefinition".to_owned(),
                message: listed.join("\n"),
            }),
            ..entry(run, trigger, String::new())
        };
        let (entry, _) = self.ledger.create(failed).await?;
        tracing::error!(run = %entry.run, problems = ?listed, "a run cannot start: its definition is wrong");
        Ok(entry)
    }

    /// Starts the execution of a run that the gate let in, unless the run has ended meanwhile. What cannot be started, now
    /// or later, has failed; who gets back a run that has ended takes it out of the gate.
    pub(crate) async fn launch(&self, entry: Run) -> Result<Run, Failure> {
        let entry = self.ledger.get(&entry.run).await?.unwrap_or(entry);
        if entry.status != RunStatus::Queued {
            return Ok(entry);
        }
        let noted = match self.conductor.start(&entry).await {
            Ok(execution) => self.ledger.running(&entry.run, Some(&execution)).await?,
            Err(failure) if failure.name.is_retryable() => return Err(failure),
            Err(Failure { name, message }) => {
                let failure = RecordedFailure {
                    name: name.to_string(),
                    message,
                };
                self.ledger
                    .finish(&entry.run, RunStatus::Failed, Some(failure))
                    .await?
            }
        };
        let entry = noted.unwrap_or(entry);
        if entry.status == RunStatus::Cancelled || entry.status == RunStatus::Skipped {
            self.conductor
                .stop(&entry.run, "the run ended before its execution began")
                .await?;
        }
        Ok(entry)
    }

    /// Notes that a run was refused, unless it was let in by another who asked for the same.
    async fn skip(&self, entry: Run, active: &[RunId]) -> Result<Run, Failure> {
        let active: Vec<&str> = active.iter().map(RunId::as_str).collect();
        let message = format!(
            "the pipeline's concurrency does not let another run start beside {}",
            active.join(", ")
        );
        let skipped = self
            .ledger
            .update(&entry.run, |run| {
                let waits = run.status == RunStatus::Queued;
                if waits {
                    run.status = RunStatus::Skipped;
                    run.ended_at = Some(now());
                    run.failure = Some(RecordedFailure {
                        name: "Refused".to_owned(),
                        message: message.clone(),
                    });
                }
                waits
            })
            .await?;
        Ok(skipped.unwrap_or(entry))
    }
}

/// The run that a schedule means at a time: however often its event comes, the same.
pub(crate) fn scheduled_run(
    schedule: &str,
    pipeline: &str,
    scheduled_at: jiff::Timestamp,
) -> RunId {
    let digest = Sha256::digest(format!("{schedule}\n{scheduled_at}"));
    let discriminator = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
    RunId::new(pipeline, scheduled_at.as_second(), discriminator)
}

fn idempotency(pipeline: &str, key: &str) -> String {
    keys::idempotency(pipeline, &hex::encode(Sha256::digest(key)))
}

/// A new entry.
fn entry(run: RunId, trigger: Trigger, definition: String) -> Run {
    Run {
        pipeline: run.pipeline().to_owned(),
        run,
        status: RunStatus::Queued,
        trigger,
        definition,
        created_at: now(),
        started_at: None,
        ended_at: None,
        execution: None,
        steps: BTreeMap::new(),
        failure: None,
    }
}

/// Whether a file is the definition of that kind and name.
fn is_definition(file: &str, folder: &str, name: &str) -> bool {
    let rest = file
        .strip_prefix(folder)
        .and_then(|rest| rest.strip_prefix('/'));
    rest.and_then(|rest| rest.strip_prefix(name))
        .is_some_and(|end| end.starts_with('.'))
}
