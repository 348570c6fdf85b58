//! One table's share of one run: what it has not taken yet, written and committed.

use crate::decoder::{Batch, Decoder};
use crate::outcome::{Step, Target};
use crate::quarantine::Quarantine;
use crate::shape::Shape;
use crate::sink::Sink;
use crate::source::Group;
use crate::{load, source};
use arrow::datatypes::Schema;
use futures::{StreamExt, TryStreamExt};
use millrace_expect::Facts;
use millrace_lake::Lake;
use millrace_model::definition::pipeline::{Pipeline, Resource, Rule, Table, WriteMode};
use millrace_model::state::{CompleteRun, Extent, ResourceState};
use millrace_model::step::{Counts, Deadline, Finding, Observer, Place, StepInput};
use millrace_model::{Failure, FailureName, keys};
use millrace_records::Rules;
use millrace_store::json as documents;
use millrace_store::objects::Objects;
use std::sync::Arc;
use std::time::Duration;

/// How many bytes of bodies a Lambda is trusted to transform in a second, and of tables to look through for keys.
pub(crate) const BYTES_A_SECOND: u64 = 8 * 1024 * 1024;
/// What a Lambda needs besides, for the commits say.
pub(crate) const OVERHEAD: Duration = Duration::from_secs(2);

/// How an attempt ended.
pub(crate) enum Taken {
    /// All is in the table.
    All(Report),
    /// A task has to do it.
    Hands,
    /// That table, which this one references, has not taken the run yet.
    Waits(String),
}

/// What a step did, and what it found out.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) counts: Counts,
    pub(crate) findings: Vec<Finding>,
}

/// Where records come from.
#[derive(Debug)]
pub(crate) enum Source {
    /// What was pulled.
    Raw(Vec<Group>),
    /// An object of the quarantine.
    Kept {
        /// Its key.
        key: String,
        /// Its records.
        records: Vec<load::Loaded>,
        /// The lines that have no record.
        others: Vec<u8>,
    },
}

/// One table's share of one run.
pub(crate) struct Job<'a> {
    pub(crate) objects: Arc<dyn Objects>,
    pub(crate) lake: Lake,
    pub(crate) input: &'a StepInput,
    pub(crate) pipeline: &'a Pipeline,
    pub(crate) table: Arc<Table>,
    pub(crate) resource: &'a Resource,
    pub(crate) deadline: Deadline,
    pub(crate) observer: &'a dyn Observer,
}

impl Job<'_> {
    pub(crate) async fn attempt(&self) -> Result<Taken, Failure> {
        if let Some(table) = self.awaited().await? {
            return Ok(Taken::Waits(table));
        }
        let target = Target::open(&self.lake, &self.input.pipeline, &self.table).await?;
        let runs = self.untaken(target.sequence()).await?;
        if self.begins_anew(&runs) {
            let table = Table {
                write: WriteMode::Replace,
                ..Table::clone(&self.table)
            };
            let anew = Self {
                objects: self.objects.clone(),
                lake: self.lake.clone(),
                table: Arc::new(table),
                ..*self
            };
            let target = Target::open(&anew.lake, &anew.input.pipeline, &anew.table).await?;
            return anew.take(&target, &runs).await;
        }
        self.take(&target, &runs).await
    }

    /// Whether the rows take the place of those that the table holds, though it is one that only grows.
    fn begins_anew(&self, runs: &[CompleteRun]) -> bool {
        let first = runs.first();
        self.table.write == WriteMode::Append
            && first.is_some_and(|run| run.extent == Extent::Everything)
    }

    /// Takes the runs into the table.
    async fn take(&self, target: &Target<'_>, runs: &[CompleteRun]) -> Result<Taken, Failure> {
        let Some(last) = runs.last() else {
            return Ok(Taken::All(Report::default()));
        };
        let sequence = last.sequence;
        let groups =
            source::groups(&*self.objects, &self.input.pipeline, &self.table.from, runs).await?;
        if self.takes_too_long(source::bytes(&groups) + target.bytes_to_search()) {
            return Ok(Taken::Hands);
        }
        let source = Source::Raw(groups);
        let Some((mut decoder, sinks)) = self.write(target, &source).await? else {
            return Ok(Taken::Hands);
        };
        let brought = decoder.counts().get("rows_written").copied().unwrap_or(0);
        let brought = brought / runs.len() as u64;
        let past = target.brought().await?;
        let facts = Facts {
            brought,
            past,
            began: self.input.run.began().as_microsecond(),
            newest: target.newest(),
        };
        if let Err(failure) = decoder.expectations().judge(&facts) {
            discard(&self.lake, sinks).await?;
            return Err(failure);
        }
        let mut report = Report {
            counts: decoder.counts().clone(),
            findings: decoder.findings(),
        };
        report
            .counts
            .insert("runs_taken".to_owned(), runs.len() as u64);
        let step = Step {
            sequence,
            brought: Some(brought),
            note: None,
        };
        target.commit(decoder, sinks, &step, &mut report).await?;
        self.look_after(&target.due(), &mut report.counts).await;
        self.observer.progress(&report.counts);
        Ok(Taken::All(report))
    }

    /// A table that this one references and that has not taken this run's records yet.
    async fn awaited(&self) -> Result<Option<String>, Failure> {
        for table in references(&self.table) {
            let Some(referenced) = self.pipeline.table(table) else {
                continue;
            };
            let key = keys::state(&self.input.pipeline, &referenced.from);
            let state: ResourceState = documents::get(&*self.objects, &key)
                .await?
                .unwrap_or_default();
            let run = state.runs.iter().find(|run| run.run == self.input.run);
            // What each run replaces takes nothing of a part.
            let takes = |run: &&CompleteRun| {
                referenced.write != WriteMode::Replace || run.extent != Extent::Part
            };
            let Some(wanted) = run.filter(takes).map(|run| run.sequence) else {
                continue;
            };
            let key = keys::table(&self.input.pipeline, table);
            let holds = match self.lake.table(&key).await? {
                Some(table) => table.sequence().await?,
                None => 0,
            };
            if holds < wanted {
                return Ok(Some(table.to_owned()));
            }
        }
        Ok(None)
    }

    /// Lets those hear of it who listen: whoever started the step, and the log, by the event's name.
    pub(crate) fn raise(&self, findings: &[Finding]) {
        for finding in findings.iter().filter(|finding| finding.is_news()) {
            self.observer.note(&finding.to_string());
            let event = match finding {
                Finding::Expectation { .. } => "expectation_broken",
                Finding::KeptOut { .. } => "contract_kept",
                _ => "table_changed",
            };
            tracing::warn!(
                event,
                pipeline = self.input.pipeline,
                run = %self.input.run,
                table = self.input.name,
                "{finding}"
            );
        }
    }

    /// The runs behind that sequence number that the table takes.
    async fn untaken(&self, sequence: u64) -> Result<Vec<CompleteRun>, Failure> {
        let key = keys::state(&self.input.pipeline, &self.table.from);
        let state: ResourceState = documents::get(&*self.objects, &key)
            .await?
            .unwrap_or_default();
        let mut runs: Vec<CompleteRun> = state.since(sequence).cloned().collect();
        // What was pulled before everything was pulled anew does not count for a table that only grows.
        let anew = runs
            .iter()
            .rposition(|run| run.extent == Extent::Everything);
        if self.table.write == WriteMode::Append {
            runs.drain(..anew.unwrap_or(0));
        }
        if self.table.write == WriteMode::Replace {
            // Each run has all rows, so that only the last one's matter; of a part there can be no table.
            runs.retain(|run| run.extent != Extent::Part);
            runs.drain(..runs.len().saturating_sub(1));
        } else if let Some(first) = runs.first()
            && first.sequence > sequence + 1
            && first.extent != Extent::Everything
        {
            return Err(Failure::new(
                FailureName::BadData,
                format!(
                    "`{}` holds the runs of `{}` up to number {sequence}, and those before number {} are remembered no \
                     more; make the table anew by a full refresh",
                    self.table.name, self.table.from, first.sequence
                ),
            ));
        }
        Ok(runs)
    }

    fn takes_too_long(&self, bytes: u64) -> bool {
        if self.deadline.place() == Place::Unbounded {
            return false;
        }
        let needed = OVERHEAD + Duration::from_millis(bytes.saturating_mul(1_000) / BYTES_A_SECOND);
        self.input.invocation > 0 || needed > self.deadline.left()
    }

    /// Writes the rows of all bodies into files; none where the time does not suffice after all.
    pub(crate) async fn write(
        &self,
        target: &Target<'_>,
        source: &Source,
    ) -> Result<Option<(Decoder, Vec<Option<Sink>>)>, Failure> {
        let shape = Shape::new(&self.table, target.schemas());
        let rules = Arc::new(Rules::of(self.resource));
        let mut decoder = Decoder::new(self.table.clone(), shape);
        let backwards = Decoder::backwards(&self.table);
        loop {
            let mut sinks: Vec<Option<Sink>> = Vec::new();
            let mut quarantine = Quarantine::default();
            let mut bodies = match source {
                Source::Raw(groups) => {
                    let mut groups = groups.clone();
                    if backwards {
                        groups.reverse();
                    }
                    load::bodies(self.objects.clone(), groups, rules.clone(), backwards)
                }
                Source::Kept { records, .. } => {
                    futures::stream::iter([Ok(records.clone())]).boxed()
                }
            };
            let mut more = true;
            while more {
                let loaded = bodies.try_next().await?;
                more = loaded.is_some();
                let (returned, batches) = tokio::task::spawn_blocking(move || {
                    let batches = match loaded {
                        Some(loaded) => decoder.feed(loaded),
                        None => decoder.flush().map(|batch| batch.into_iter().collect()),
                    };
                    (decoder, batches)
                })
                .await
                .map_err(|error| {
                    Failure::new(FailureName::Internal, format!("decoding stopped: {error}"))
                })?;
                decoder = returned;
                for batch in batches? {
                    self.send(
                        target,
                        &decoder.shape().names(),
                        &mut sinks,
                        &mut quarantine,
                        batch,
                        source,
                    )
                    .await?;
                }
                self.observer.progress(decoder.counts());
                if self.deadline.left() < OVERHEAD && self.deadline.place() == Place::Lambda {
                    discard(&self.lake, sinks).await?;
                    return Ok(None);
                }
            }
            if decoder.starts_over() {
                discard(&self.lake, sinks).await?;
            } else if decoder.is_planning() {
                let columns = Arc::new(Schema::new(decoder.shape().root_fields()));
                if let Some(plan) = decoder.plan_to_settle() {
                    target.settle(plan, &columns).await?;
                }
                let expectations = decoder.expectations();
                millrace_expect::settle(expectations, &self.lake, &self.input.pipeline).await?;
                decoder.begin_writing();
            } else {
                quarantine.put(&*self.objects, self.input, source).await?;
                return Ok(Some((decoder, sinks)));
            }
        }
    }

    async fn send(
        &self,
        target: &Target<'_>,
        names: &[String],
        sinks: &mut Vec<Option<Sink>>,
        quarantine: &mut Quarantine,
        batch: Batch,
        source: &Source,
    ) -> Result<(), Failure> {
        quarantine.add(&self.table.name, batch.sequence, &batch.quarantined)?;
        sinks.resize_with(names.len().max(sinks.len()), || None);
        for ((rows, name), sink) in batch.tables.into_iter().zip(names).zip(sinks) {
            let is_there =
                matches!(source, Source::Raw(_)) && target.has_appended(name, batch.sequence);
            if rows.num_rows() == 0 || is_there {
                continue;
            }
            let key = keys::table(&self.input.pipeline, name);
            let sink = if let Some(sink) = sink {
                sink
            } else {
                let varied = target.varied(name).await?;
                sink.insert(Sink::new(&self.lake, &key, rows.schema(), varied))
            };
            sink.write(rows).await?;
        }
        Ok(())
    }
}

/// The tables that one references.
fn references(table: &Table) -> impl Iterator<Item = &str> {
    table
        .expect
        .iter()
        .filter_map(|expectation| match &expectation.rule {
            Rule::References { table, .. } => Some(table.as_str()),
            _ => None,
        })
}

async fn discard(lake: &Lake, sinks: Vec<Option<Sink>>) -> Result<(), Failure> {
    for sink in sinks.into_iter().flatten() {
        sink.discard(lake).await?;
    }
    Ok(())
}
