//! One model, made once.

use crate::columns;
use crate::output::{Output, Written};
use arrow::datatypes::SchemaRef;
use millrace_engine::{Engine, Error, ErrorKind, Manner, Plan};
use millrace_expect::Facts;
use millrace_lake::{Commit, Lake, Rewritten, Table, WriteKind};
use millrace_model::definition::pipeline::{Model, TableName, WriteMode};
use millrace_model::step::{Counts, Deadline, Finding, Observer, StepInput};
use millrace_model::{Failure, FailureName, keys};
use millrace_store::objects::Objects;
use std::collections::HashMap;

/// What is needed to make a model.
pub(crate) struct Make<'a> {
    pub(crate) objects: &'a dyn Objects,
    pub(crate) lake: &'a Lake,
    pub(crate) engine: &'a Engine,
    pub(crate) input: &'a StepInput,
    pub(crate) model: &'a Model,
    pub(crate) occasion: Occasion,
    /// By when all is done, upkeep included.
    pub(crate) deadline: Deadline,
    pub(crate) observer: &'a dyn Observer,
}

/// Why a model is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Occasion {
    /// A run of its pipeline, once for each.
    Run,
    /// An erasure, between two runs: the number of the last one stays what it is.
    Erasure,
}

/// A table that a model reads.
type Read<'a> = (&'a TableName, Table);

/// What the step did, and what it found out.
#[derive(Debug, Default)]
pub(crate) struct Made {
    pub(crate) counts: Counts,
    pub(crate) findings: Vec<Finding>,
}

impl Make<'_> {
    /// Makes it of what the lake has now. `Conflict` where somebody else commits in between.
    pub(crate) async fn attempt(&self) -> Result<Made, Failure> {
        let key = keys::table(&self.input.pipeline, &self.model.name);
        let there = self.lake.table(&key).await?;
        if let (Occasion::Run, Some(there)) = (self.occasion, &there)
            && there.sequence().await? == self.input.run.number()
        {
            return Ok(Made::default());
        }
        let tables = match self.tables().await? {
            Ok(tables) => tables,
            Err(missing) => {
                return Ok(self.not_made(&format!("there is no table `{missing}` yet")));
            }
        };
        match self
            .with(Manner::Quick, &tables, &key, there.as_ref())
            .await
        {
            Err(Trouble::Query(error)) if error.kind == ErrorKind::Exhausted => {
                tracing::info!(
                    model = self.model.name,
                    "the query does not fit into memory; it is answered by few cores, and joins by sorting"
                );
                self.with(Manner::Frugal, &tables, &key, there.as_ref())
                    .await
            }
            made => made,
        }
        .map_err(|trouble| self.failure(trouble))
    }

    /// Says what is wrong with it, as far as the tables that are there tell, and makes nothing.
    pub(crate) async fn prove(&self) -> Result<(), Failure> {
        let Ok(tables) = self.tables().await? else {
            return Ok(());
        };
        let proved = async {
            let (plan, _) = self.plan(Manner::Quick, &tables).await?;
            plan.prove().await.map_err(Trouble::Query)
        };
        proved.await.map_err(|trouble| self.failure(trouble))
    }

    /// The tables that it reads, or one that is not there.
    async fn tables(&self) -> Result<Result<Vec<Read<'_>>, &TableName>, Failure> {
        let mut tables = Vec::new();
        for name in &self.model.reads {
            let key = keys::table(&name.pipeline, &name.table);
            match self.lake.table(&key).await? {
                Some(table) => tables.push((name, table)),
                None => return Ok(Err(name)),
            }
        }
        Ok(Ok(tables))
    }

    /// The query over those tables, and the columns that its answer has in a table.
    async fn plan(
        &self,
        manner: Manner,
        tables: &[Read<'_>],
    ) -> Result<(Plan, SchemaRef), Trouble> {
        let now = self.input.run.began();
        let session = self.engine.session(&self.input.pipeline, now, manner);
        for (name, table) in tables {
            session.add(&name.pipeline, &name.table, table)?;
        }
        let plan = session.plan(&self.model.sql).await?;
        let schema = columns::of(&plan.schema()).map_err(|what| self.wrong(&what))?;
        self.check_names(&schema)?;
        Ok((plan, schema))
    }

    async fn with(
        &self,
        manner: Manner,
        tables: &[Read<'_>],
        key: &str,
        there: Option<&Table>,
    ) -> Result<Made, Trouble> {
        let (plan, schema) = self.plan(manner, tables).await?;
        // What is replaced leaves nothing that its columns would have to go with.
        let columns = match there.filter(|_| self.model.write != WriteMode::Replace) {
            None => schema.clone(),
            Some(there) => {
                columns::union(&there.schema(), &schema).map_err(|what| self.wrong(&what))?
            }
        };
        let (written, spilled) = self.write(&plan, &schema, key).await?;
        let made = self.commit(written, columns, key, there).await;
        let mut made = made.map_err(Trouble::Failure)?;
        if spilled > 0 {
            made.counts.insert("bytes_spilled".to_owned(), spilled);
        }
        self.observer.progress(&made.counts);
        Ok(made)
    }

    /// Writes the answer's rows into files; says how many bytes were put on disk on the way.
    async fn write(
        &self,
        plan: &Plan,
        schema: &SchemaRef,
        key: &str,
    ) -> Result<(Written, u64), Trouble> {
        let mut output = Output::new(self.lake, key, self.model, schema)?;
        match self.fill(plan, schema, &mut output).await {
            Ok(spilled) => Ok((output.finish(&self.input.pipeline).await?, spilled)),
            Err(trouble) => {
                output.discard().await?;
                Err(trouble)
            }
        }
    }

    async fn fill(
        &self,
        plan: &Plan,
        schema: &SchemaRef,
        output: &mut Output<'_>,
    ) -> Result<u64, Trouble> {
        let mut rows = plan.rows().await?;
        while let Some(batch) = rows.next().await? {
            let batch = columns::conform(&batch, schema).map_err(|error| {
                Failure::new(
                    FailureName::BadData,
                    format!(
                        "{}: a value of its answer is not what a table holds: {error}",
                        self.place()
                    ),
                )
            })?;
            output.write(&batch).await?;
            let counts = Counts::from([("rows_written".to_owned(), output.rows())]);
            self.observer.progress(&counts);
        }
        Ok(rows.spilled())
    }

    async fn commit(
        &self,
        mut written: Written,
        columns: SchemaRef,
        key: &str,
        there: Option<&Table>,
    ) -> Result<Made, Failure> {
        if let Err(failure) = self.judge(&mut written, there).await {
            self.lake.discard(key, &written.files).await;
            return Err(failure);
        }
        // Before the commit, behind which the step finds everything done.
        let kept_out = written.quarantine.rows();
        let kept = written.quarantine.put(self.objects, self.input, self.model);
        kept.await?;
        let mut rewritten = Rewritten::default();
        let mut added = written.files;
        let replaced = written.keys.as_ref().zip(there);
        if let Some((keys, there)) = replaced.filter(|_| self.model.write == WriteMode::Upsert) {
            let mut writer = self.lake.writer(key, columns.clone());
            rewritten = keys
                .take_out(there, &self.model.key, &mut writer, false)
                .await?;
            added.extend(writer.finish().await?);
        }
        let (kind, removed) = match (self.model.write, there) {
            (WriteMode::Append, _) => (WriteKind::Append, Vec::new()),
            (WriteMode::Upsert, _) => (WriteKind::Upsert, rewritten.removed),
            (_, there) => (
                WriteKind::Replace,
                there.map(Table::files).unwrap_or_default(),
            ),
        };
        let sequence = match there.filter(|_| self.occasion == Occasion::Erasure) {
            Some(there) => there.sequence().await?,
            None => self.input.run.number(),
        };
        let commit = Commit {
            kind,
            added: added.clone(),
            removed,
            schema: columns,
            sequence,
            brought: Some(written.rows).filter(|_| self.occasion == Occasion::Run),
            note: None,
        };
        let committed = match there {
            Some(there) => there.commit(commit).await,
            None => self.lake.create(key, commit).await,
        };
        let table = match committed {
            Ok(table) => table,
            Err(error) => {
                self.lake.discard(key, &added).await;
                return Err(error.into());
            }
        };
        let mut counts = Counts::from([
            ("rows_written".to_owned(), written.rows),
            ("rows_replaced".to_owned(), rewritten.rows),
            ("rows_warned".to_owned(), written.warned),
            ("rows_quarantined".to_owned(), kept_out),
            ("version".to_owned(), table.version()),
        ]);
        self.look_after(&table, &mut counts).await;
        Ok(Made {
            counts,
            findings: written.expectations.findings().collect(),
        })
    }

    /// Holds the answer as a whole to what is expected of it.
    async fn judge(&self, written: &mut Written, there: Option<&Table>) -> Result<(), Failure> {
        let expect = &self.model.expect;
        let (mut past, mut newest) = (Vec::new(), HashMap::new());
        if let Some(there) = there {
            past = millrace_expect::past(there, expect).await?;
            if self.model.write != WriteMode::Replace {
                newest = millrace_expect::newest(there, expect);
            }
        }
        let facts = Facts {
            brought: written.rows,
            past,
            began: self.input.run.began().as_microsecond(),
            newest,
        };
        written.expectations.judge(&facts)
    }

    /// Small files made one, and those removed that no reader needs any more, as long as there is time. What fails is left to
    /// the next run.
    async fn look_after(&self, table: &Table, counts: &mut Counts) {
        if !table.is_due() {
            return;
        }
        let tended = async {
            let (compacted, table) = self.lake.compact(table, u64::MAX).await?;
            let removed = table.vacuum(self.model.keep_versions).await?;
            Ok::<_, millrace_lake::Error>((compacted, removed))
        };
        // What is broken off leaves files that no commit names, as a kill does.
        let Ok(outcome) = tokio::time::timeout(self.deadline.left(), tended).await else {
            tracing::info!(model = self.model.name, "upkeep is left to the next run");
            return;
        };
        match outcome {
            Ok((compacted, removed)) => {
                counts.insert("files_compacted".to_owned(), compacted as u64);
                counts.insert("files_removed".to_owned(), removed as u64);
            }
            Err(error) => {
                tracing::warn!(model = self.model.name, %error, "the table was not looked after");
            }
        }
    }

    /// That the key and the expectations name columns that there are.
    fn check_names(&self, schema: &SchemaRef) -> Result<(), Failure> {
        let expected = self.model.expect.iter().map(|held| &held.column);
        let named = self.model.key.iter().chain(expected);
        for name in named.filter(|name| !name.is_empty()) {
            if schema.field_with_name(name).is_err() {
                let there: Vec<&str> = schema
                    .fields()
                    .iter()
                    .map(|field| field.name().as_str())
                    .collect();
                return Err(self.wrong(&format!(
                    "`key` or `expect` names a column `{name}`, and the answer has {}",
                    there.join(", ")
                )));
            }
        }
        Ok(())
    }

    fn not_made(&self, reason: &str) -> Made {
        Made {
            counts: Counts::new(),
            findings: vec![Finding::NotMade {
                table: self.model.name.clone(),
                reason: reason.to_owned(),
            }],
        }
    }

    /// Where the model's query stands.
    fn place(&self) -> String {
        self.model.file.clone().unwrap_or_else(|| {
            format!(
                "pipelines/{}.yaml: models, `{}`, query",
                self.input.pipeline, self.model.name
            )
        })
    }

    fn wrong(&self, what: &str) -> Failure {
        let message = format!("{}: {what}", self.place());
        Failure::new(FailureName::BadDefinition, message)
    }

    fn failure(&self, trouble: Trouble) -> Failure {
        let error = match trouble {
            Trouble::Failure(failure) => return failure,
            Trouble::Query(error) => error,
        };
        let name = match error.kind {
            ErrorKind::Query | ErrorKind::Exhausted => FailureName::BadDefinition,
            ErrorKind::Data => FailureName::BadData,
            ErrorKind::Store => FailureName::Transient,
            ErrorKind::Internal => FailureName::Internal,
        };
        Failure::new(name, format!("{}: {error}", self.place()))
    }
}

/// Why a model was not made.
enum Trouble {
    /// The query.
    Query(Error),
    /// Anything else.
    Failure(Failure),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Query(error)
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}
