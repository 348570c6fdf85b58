//! What the state machine does on AWS, in this process: plan, ingest, transform, publish, record.

use crate::table::{bytes, grouped};
use crate::workspace::{REDIS_OWNER, STORE_OWNER, Workspace, key_of};
use anyhow::Context;
use futures::TryStreamExt;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use millrace_ingest::{Ingest, Limits, Player};
use millrace_lake::Lake;
use millrace_model::dead::DeadRequest;
use millrace_model::definition::Pinned;
use millrace_model::definition::set::DefinitionSet;
use millrace_model::ledger::{Run, RunId, RunStatus, Trigger};
use millrace_model::mode::RunMode;
use millrace_model::step::{
    Counts, Deadline, Next, Observer, StepInput, StepKind, StepOutput, add_counts,
};
use millrace_model::{Failure, keys};
use millrace_publish::Publish;
use millrace_refine::{Limits as Room, Refine};
use millrace_store::ledger::{Filter, Ledger};
use millrace_store::objects::{self, Objects};
use millrace_store::secrets::Secrets;
use millrace_store::{LakeUrl, definitions, json};
use millrace_transform::Transform;
use rand::Rng as _;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How many bytes of memory a model may take, and how many on disk.
const MODEL_MEMORY: usize = 1024 * 1024 * 1024;
const MODEL_SPILL: u64 = 16 * 1024 * 1024 * 1024;

/// Runs pipelines in this process, over a lake in a folder.
pub struct Conductor {
    objects: Arc<dyn Objects>,
    ledger: Ledger,
    ingest: Ingest,
    transform: Transform,
    refine: Refine,
    publish: Publish,
    /// When its runs say that they began; now, where there is none.
    began: Option<jiff::Timestamp>,
}

/// What a run did.
pub struct Summary {
    /// The run.
    pub run: RunId,
    /// Whether it was begun by an earlier process that did not live to its end.
    pub resumed: bool,
}

impl Conductor {
    /// A conductor over the workspace's lake.
    pub fn new(workspace: &Workspace, secrets: Arc<dyn Secrets>) -> anyhow::Result<Self> {
        let objects = workspace.objects()?;
        let lake = LakeUrl::Folder {
            path: workspace.lake()?,
        };
        let tables = Lake::at(&workspace.lake()?.display().to_string())?;
        Ok(Self {
            ledger: Ledger::new(Arc::clone(&objects)),
            ingest: Ingest::new(Arc::clone(&objects), Arc::clone(&secrets)),
            transform: Transform::new(Arc::clone(&objects), lake),
            refine: Refine::new(Arc::clone(&objects), tables.clone(), room()),
            publish: Publish::new(
                Arc::clone(&objects),
                tables,
                secrets,
                STORE_OWNER.to_owned(),
            )
            .with_redis(Some(REDIS_OWNER)),
            objects,
            began: None,
        })
    }

    /// The conductor whose answers come from a cassette, as if it were when that was recorded.
    pub fn playing(mut self, player: &Arc<Player>) -> anyhow::Result<Self> {
        let heading = player.heading();
        let began = heading.recorded_at.parse();
        self.began =
            Some(began.context("the cassette's heading does not say when it was recorded")?);
        let limits = Limits {
            pages: heading.pages,
            ..Limits::default()
        };
        self.ingest = self.ingest.with_limits(limits).playing(player.clone());
        Ok(self)
    }

    /// Puts the definitions where `serve` looks for them.
    pub async fn keep_definitions(&self, workspace: &Workspace) -> anyhow::Result<()> {
        for (file, text) in workspace.files()? {
            self.objects.put(&key_of(&file)?, text.into()).await?;
        }
        Ok(())
    }

    /// Pulls a pipeline and makes its tables; publishes them too, if `publish`. A run of the same definition that was
    /// killed is taken up where it ended.
    pub async fn run(
        &self,
        set: &DefinitionSet,
        pipeline: &str,
        mode: RunMode,
        publish: bool,
    ) -> anyhow::Result<Summary> {
        let pinned = set.pin(pipeline).map_err(|problems| {
            let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
            anyhow::anyhow!(
                "the pipeline `{pipeline}` cannot run:\n  {}",
                lines.join("\n  ")
            )
        })?;
        let pinned = pinned.in_mode(mode).map_err(anyhow::Error::msg)?;
        let definition = definitions::pin(self.objects.as_ref(), &pinned).await?;
        let (run, resumed) = match self.unfinished(pipeline, &definition).await? {
            Some(run) => (run, true),
            None => (self.begin(pipeline, &definition).await?, false),
        };
        match self.steps(&pinned, &run, &definition, publish).await {
            Ok(()) => drop(self.ledger.finish(&run, RunStatus::Succeeded, None).await?),
            Err(failure) => {
                let recorded = millrace_model::ledger::RecordedFailure {
                    name: failure.name.to_string(),
                    message: failure.message.clone(),
                };
                self.ledger
                    .finish(&run, RunStatus::Failed, Some(recorded))
                    .await?;
                return Err(anyhow::Error::new(failure).context(format!("the run {run} failed")));
            }
        }
        Ok(Summary { run, resumed })
    }

    /// The runs of a pipeline that gave up requests, oldest first, each with how many of them it passed over; those with
    /// which a run ended are none of them.
    pub async fn dead_requests(&self, pipeline: &str) -> anyhow::Result<BTreeMap<RunId, u64>> {
        let folder = keys::all_dead_requests(pipeline);
        let mut found = BTreeMap::new();
        let mut entries = objects::all(self.objects.as_ref(), &folder);
        while let Some(entry) = entries.try_next().await? {
            let run = entry.key.rsplit('/').nth(1).unwrap_or_default();
            let run = RunId::try_from(run.to_owned())?;
            let dead: Option<DeadRequest> = json::get(self.objects.as_ref(), &entry.key).await?;
            let passed_over = dead.is_some_and(|dead| dead.was_skipped);
            *found.entry(run).or_default() += u64::from(passed_over);
        }
        Ok(found)
    }

    /// Publishes what all pipelines have made so far; says in a line each what was published.
    pub async fn publish_everything(&self, set: &DefinitionSet) -> anyhow::Result<Vec<String>> {
        let mut lines = Vec::new();
        for pipeline in set.pipelines.values() {
            let Ok(pinned) = set.pin(&pipeline.name) else {
                continue;
            };
            let definition = definitions::pin(self.objects.as_ref(), &pinned).await?;
            let run = new_run(&pipeline.name, jiff::Timestamp::now());
            for publish in pipeline.copied() {
                let log = format!(
                    "{}/_delta_log/",
                    keys::table(&pipeline.name, &publish.table)
                );
                if self.objects.list(&log, None, 1).await?.is_empty() {
                    lines.push(format!(
                        "{} is not there yet: millrace run {}",
                        publish.target(),
                        pipeline.name
                    ));
                    continue;
                }
                let step = publish.step();
                let input = input(&pinned, &run, &definition, &step);
                let observer = Bar::new(StepKind::Publish, &step, &MultiProgress::new());
                self.publish.run(&input, Deadline::NONE, &observer).await?;
            }
        }
        Ok(lines)
    }

    async fn begin(&self, pipeline: &str, definition: &str) -> anyhow::Result<RunId> {
        let run = new_run(pipeline, self.began.unwrap_or_else(jiff::Timestamp::now));
        let now = jiff::Timestamp::now().to_string();
        let entry = Run {
            run: run.clone(),
            pipeline: pipeline.to_owned(),
            status: RunStatus::Running,
            trigger: Trigger::Cli,
            definition: definition.to_owned(),
            created_at: now.clone(),
            started_at: Some(now),
            ended_at: None,
            execution: None,
            steps: std::collections::BTreeMap::new(),
            failure: None,
        };
        self.ledger.create(entry).await?;
        Ok(run)
    }

    /// The last run, if it was killed: it is under way in the ledger, and no process of this machine works on it.
    async fn unfinished(&self, pipeline: &str, definition: &str) -> anyhow::Result<Option<RunId>> {
        let filter = Filter {
            pipeline: Some(pipeline.to_owned()),
            status: None,
        };
        let last = self
            .ledger
            .list(&filter, None, 1)
            .await?
            .runs
            .into_iter()
            .next();
        Ok(last
            .filter(|run| run.status == RunStatus::Running && run.definition == definition)
            .map(|run| run.run))
    }

    async fn steps(
        &self,
        pinned: &Pinned,
        run: &RunId,
        definition: &str,
        publish: bool,
    ) -> Result<(), Failure> {
        let bars = MultiProgress::new();
        let pipeline = &pinned.pipeline;
        let ingests = pipeline
            .resources
            .iter()
            .map(|resource| (StepKind::Ingest, resource.name.clone()));
        let transforms = pipeline
            .tables
            .iter()
            .map(|table| (StepKind::Transform, table.name.clone()));
        let models = pipeline
            .models
            .iter()
            .map(|model| (StepKind::Refine, model.name.clone()));
        let publishes = pipeline
            .copied()
            .map(|publish| (StepKind::Publish, publish.step()));
        let last = if publish { usize::MAX } else { 0 };
        for (kind, name) in ingests
            .chain(transforms)
            .chain(models)
            .chain(publishes.take(last))
        {
            let bar = Bar::new(kind, &name, &bars);
            let started = Instant::now();
            let counts = self
                .step(kind, input(pinned, run, definition, &name), &bar)
                .await?;
            bar.finish(&counts, started.elapsed());
        }
        Ok(())
    }

    /// One step to its end, through all its checkpoints and waits.
    async fn step(
        &self,
        kind: StepKind,
        mut input: StepInput,
        bar: &Bar,
    ) -> Result<Counts, Failure> {
        let mut total = Counts::new();
        loop {
            self.ledger.step_started(kind, &input, "cli").await?;
            let result = self.invoke(kind, &input, bar).await;
            self.ledger
                .step_ended(kind, &input, result.as_ref())
                .await?;
            let output = result?;
            add_counts(&mut total, &output.counts);
            match output.next {
                Next::Done => return Ok(total),
                Next::More | Next::Task => {}
                Next::Wait => {
                    bar.waits(output.wait_seconds);
                    tokio::time::sleep(Duration::from_secs(output.wait_seconds)).await;
                }
            }
            input = output.input;
        }
    }

    async fn invoke(
        &self,
        kind: StepKind,
        input: &StepInput,
        bar: &Bar,
    ) -> Result<StepOutput, Failure> {
        match kind {
            StepKind::Ingest => self.ingest.run(input, Deadline::NONE, bar).await,
            StepKind::Transform => self.transform.run(input, Deadline::NONE, bar).await,
            StepKind::Refine => self.refine.run(input, Deadline::NONE, bar).await,
            StepKind::Publish => self.publish.run(input, Deadline::NONE, bar).await,
        }
    }
}

/// What models may take of this machine.
pub fn room() -> Room {
    Room {
        memory: MODEL_MEMORY,
        spill: std::env::temp_dir(),
        spill_bytes: MODEL_SPILL,
        threads: std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
    }
}

/// The name of a run that begins then.
pub fn new_run(pipeline: &str, began: jiff::Timestamp) -> RunId {
    RunId::beginning(pipeline, began, rand::rng().random())
}

/// The first input of a step of that name.
pub fn input(pinned: &Pinned, run: &RunId, definition: &str, name: &str) -> StepInput {
    StepInput {
        run: run.clone(),
        pipeline: pinned.pipeline.name.clone(),
        definition: definition.to_owned(),
        name: name.to_owned(),
        invocation: 0,
    }
}

/// A step's line while it runs. Where nobody looks (a pipe, CI) only its end is printed.
struct Bar {
    bar: ProgressBar,
    title: String,
}

impl Bar {
    fn new(kind: StepKind, name: &str, bars: &MultiProgress) -> Self {
        let title = format!("{:<9} {name}", kind.as_str());
        let bar = bars.add(ProgressBar::new_spinner());
        if let Ok(style) = ProgressStyle::with_template("  {spinner} {prefix:<34} {msg}") {
            bar.set_style(style);
        }
        bar.set_prefix(title.clone());
        bar.enable_steady_tick(Duration::from_millis(100));
        Self { bar, title }
    }

    fn waits(&self, seconds: u64) {
        self.bar
            .set_message(format!("the source asks for {seconds} s of patience"));
    }

    fn finish(&self, counts: &Counts, took: Duration) {
        self.bar.finish_and_clear();
        println!("  {:<36} {:>9.2?}   {}", self.title, took, told(counts));
    }
}

impl Observer for Bar {
    fn progress(&self, counts: &Counts) {
        self.bar.set_message(told(counts));
    }

    fn note(&self, text: &str) {
        self.bar.suspend(|| println!("  {:<36} {text}", self.title));
    }
}

/// Counts in words: `2 requests, 1,707 records, 1.2 MB`.
pub fn told(counts: &Counts) -> String {
    let words = counts
        .iter()
        .filter(|(name, count)| **count > 0 && *name != "version")
        .map(|(name, count)| match name.as_str() {
            "bytes" => bytes(*count),
            "waited_ms" => format!("{:.1} s waited", *count as f64 / 1e3),
            name => format!("{} {}", grouped(*count), name.replace('_', " ")),
        });
    words.collect::<Vec<_>>().join(", ")
}
