//! REST → raw: pulls a resource page by page and keeps every body as it came.
//!
//! Nothing of a body is interpreted but what the pull itself needs: how many records it has, where the next page is, and
//! how far the incremental field has come. Bodies are compressed and committed in segments (`millrace_model::raw`), and
//! the committed segments are the checkpoint: a pull that is killed at any moment, or run by two at once, goes on from
//! them and ends with what one clean pull leaves.

mod answer;
mod auth;
mod checkpoint;
mod cursor;
mod dead;
mod fetch;
#[cfg(test)]
mod hostile;
mod limits;
mod paginate;
mod pull;
mod redact;
mod report;
mod request;
mod retry;
mod scan;
mod segment;
mod sender;
mod slices;
mod tally;
mod targets;
mod throttle;
mod wire;

pub use limits::Limits;
pub use wire::{Exchange, Heading, Player, Recorder, Taken, Watch};

use auth::Authenticator;
use checkpoint::Checkpoint;
use dead::Letters;
use millrace_model::definition::pipeline::Resource;
use millrace_model::definition::{Connection, Pinned};
use millrace_model::mode::RunMode;
use millrace_model::raw::Position;
use millrace_model::state::{Extent, ResourceState};
use millrace_model::step::{Counts, Deadline, Next, Observer, Place, StepInput, StepOutput};
use millrace_model::{Failure, keys};
use millrace_store::objects::Objects;
use millrace_store::secrets::Secrets;
use millrace_store::{definitions, json};
use pull::{Ending, Job, Pull};
use redact::Redaction;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use throttle::{Terms, Throttle};
use wire::Wire;

/// After how many invocations a pull is handed to a task instead of being continued.
const INVOCATIONS: u32 = 2;

/// How long to wait before looking again whether a parent resource is complete.
const PARENT_WAIT: Duration = Duration::from_secs(15);

/// The step that pulls resources.
#[derive(Debug)]
pub struct Ingest {
    objects: Arc<dyn Objects>,
    secrets: Arc<dyn Secrets>,
    limits: Limits,
    wire: Wire,
    unbounded: &'static str,
    throttles: Mutex<HashMap<String, Arc<Throttle>>>,
    authenticators: Mutex<HashMap<String, Arc<Authenticator>>>,
}

impl Ingest {
    /// The step over that lake and those secrets.
    pub fn new(objects: Arc<dyn Objects>, secrets: Arc<dyn Secrets>) -> Self {
        Self {
            objects,
            secrets,
            limits: Limits::default(),
            wire: Wire::default(),
            unbounded: "cli",
            throttles: Mutex::default(),
            authenticators: Mutex::default(),
        }
    }

    /// The step with other limits.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// The step with somebody who looks on.
    #[must_use]
    pub fn watched_by(self, watch: Arc<dyn Watch>) -> Self {
        let wire = self.wire.watched_by(watch);
        Self { wire, ..self }
    }

    /// The step that puts on a cassette what sources answer: without credentials, and without personal data.
    #[must_use]
    pub fn recording(self, recorder: Arc<Recorder>) -> Self {
        let wire = self.wire.recording(recorder);
        Self { wire, ..self }
    }

    /// The step that asks no source but takes all answers from a cassette; it needs no secrets.
    #[must_use]
    pub fn playing(self, player: Arc<Player>) -> Self {
        let wire = self.wire.playing(player);
        Self { wire, ..self }
    }

    /// The step as a task: manifests say so. Without this, what has no deadline is taken for the command line.
    #[must_use]
    pub fn as_task(self) -> Self {
        Self {
            unbounded: "task",
            ..self
        }
    }

    /// Pulls the resource that `input` names, from where the run has come to: to its end, or until the deadline is near.
    pub async fn run(
        &self,
        input: &StepInput,
        deadline: Deadline,
        observer: &dyn Observer,
    ) -> Result<StepOutput, Failure> {
        let objects = &*self.objects;
        let pinned = definitions::pinned(objects, &input.definition).await?;
        let resource = pinned.resource(&input.name)?;
        let connection = pinned.connection(&resource.connection)?;
        let checkpoint =
            Checkpoint::read(objects, &input.pipeline, &input.name, &input.run).await?;
        if checkpoint.next == Position::End {
            self.complete(input, &checkpoint, &pinned).await?;
            return Ok(StepOutput::new(input, Next::Done, Counts::new()));
        }
        let reached = self.wire.reached(connection);
        let auth = self.authenticator(&reached)?;
        let redaction = match &resource.personal_data {
            Some(personal) if !self.wire.plays() => {
                let redaction = Redaction::of(personal, &resource.records, &*self.secrets);
                Some(Arc::new(redaction.await?))
            }
            _ => None,
        };
        let job = Job {
            redaction: redaction.as_ref(),
            objects,
            auth: &auth,
            observer,
            input,
            pinned: &pinned,
            connection,
            resource,
            deadline,
            limits: self.limits,
            wire: &self.wire,
            written_by: match deadline.place() {
                Place::Lambda => "lambda",
                Place::Unbounded => self.unbounded,
            },
        };
        let throttles = self.throttles(&reached, resource);
        let mut pull = Box::new(Pull::new(job, checkpoint, throttles.clone()).await?);
        let ending = pull.run().await;
        for throttle in throttles {
            // What is not given back runs out by itself.
            if let Err(failure) = throttle.leave().await {
                tracing::warn!(%failure, "the leased requests could not be given back");
            }
        }
        let ending = ending?;
        if ending == Ending::Complete {
            self.complete(input, &pull.checkpoint, &pinned).await?;
        }
        let (next, wait_seconds) = decide(input, ending, pull.has_progressed());
        let mut output = StepOutput::new(input, next, pull.tally.counts());
        output.wait_seconds = wait_seconds;
        if ending == Ending::Parent {
            // Waiting for a parent says nothing about how long the resource itself takes.
            output.input.invocation = input.invocation;
        }
        Ok(output)
    }

    /// Notes that the run's raw payloads are complete, and moves the cursor; what was sent again is no longer dead then. All
    /// the same where that is noted already.
    async fn complete(
        &self,
        input: &StepInput,
        checkpoint: &Checkpoint,
        pinned: &Pinned,
    ) -> Result<(), Failure> {
        let key = keys::state(&input.pipeline, &input.name);
        let extent = Extent::of(&pinned.mode);
        json::update(&*self.objects, &key, |state: Option<ResourceState>| {
            let mut state = state.unwrap_or_default();
            let cursor = checkpoint.cursor.clone();
            let is_new = state.complete(
                &input.run,
                checkpoint.segments,
                checkpoint.records,
                cursor,
                extent,
            );
            if is_new {
                state.complete_partitions(checkpoint.cursors.clone(), extent);
            }
            Ok::<_, Failure>(is_new.then_some(state))
        })
        .await?;
        if let RunMode::Retry { run } = &pinned.mode {
            let letters = Letters::read(&*self.objects, input, run).await?;
            letters.remove().await?;
        }
        Ok(())
    }

    /// What proves who sends a connection's requests, the same for all pulls of this process.
    fn authenticator(&self, connection: &Connection) -> Result<Arc<Authenticator>, Failure> {
        let mut authenticators = self
            .authenticators
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // The definition may be changed between two runs of a long-lived process.
        let known = authenticators
            .get(&connection.name)
            .filter(|known| known.is_of(connection));
        if let Some(known) = known {
            return Ok(known.clone());
        }
        let (secrets, objects) = (self.secrets.clone(), self.objects.clone());
        let made = Authenticator::new(connection, secrets, objects, self.limits.lease)?;
        let made = Arc::new(made.watched_by(self.wire.watch().cloned()));
        authenticators.insert(connection.name.clone(), made.clone());
        Ok(made)
    }

    /// The throttle of each of a connection's credentials, the same for all pulls of this process.
    fn throttles(&self, connection: &Connection, resource: &Resource) -> Vec<Arc<Throttle>> {
        let (keys, terms) = Terms::of(connection, resource);
        let mut throttles = self
            .throttles
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut throttle = |key: String| match throttles.get(&key) {
            Some(throttle) if *throttle.terms() == terms => throttle.clone(),
            // There is none, or the definition was changed between two runs of a long-lived process.
            _ => {
                let throttle = Throttle::new(self.objects.clone(), key.clone(), terms.clone());
                let throttle = Arc::new(throttle);
                throttles.insert(key, throttle.clone());
                throttle
            }
        };
        keys.into_iter().map(&mut throttle).collect()
    }
}

/// What the conductor is to do after a pull that ended so.
fn decide(input: &StepInput, ending: Ending, has_progressed: bool) -> (Next, u64) {
    match ending {
        Ending::Complete => (Next::Done, 0),
        Ending::Wait(wait) => (
            Next::Wait,
            wait.as_secs() + u64::from(wait.subsec_nanos() > 0),
        ),
        Ending::Parent => (Next::Wait, PARENT_WAIT.as_secs()),
        // A page that takes longer than a whole Lambda would be begun again and again.
        Ending::PageTooSlow if !has_progressed => (Next::Task, 0),
        Ending::PageTooSlow | Ending::Deadline if input.invocation >= INVOCATIONS => {
            (Next::Task, 0)
        }
        Ending::PageTooSlow | Ending::Deadline => (Next::More, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_model::ledger::RunId;

    fn input(invocation: u32) -> StepInput {
        StepInput {
            run: RunId::new("quakes", 1_517_961_600, 1),
            pipeline: "quakes".into(),
            definition: "0".into(),
            name: "quakes".into(),
            invocation,
        }
    }

    #[test]
    fn the_conductor_is_told_what_helps() {
        for (invocation, ending, has_progressed, expected) in [
            (0, Ending::Complete, false, (Next::Done, 0)),
            (0, Ending::Deadline, true, (Next::More, 0)),
            (1, Ending::PageTooSlow, true, (Next::More, 0)),
            (0, Ending::PageTooSlow, false, (Next::Task, 0)),
            (2, Ending::Deadline, true, (Next::Task, 0)),
            (0, Ending::Parent, false, (Next::Wait, 15)),
            (
                9,
                Ending::Wait(Duration::from_millis(90_001)),
                false,
                (Next::Wait, 91),
            ),
        ] {
            assert_eq!(
                decide(&input(invocation), ending, has_progressed),
                expected,
                "{ending:?}"
            );
        }
    }
}
