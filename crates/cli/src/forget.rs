//! `millrace forget`: the erasure of one key.

use crate::conduct::room;
use crate::lake::LakeArgs;
use crate::table::{bold, green, grouped};
use crate::workspace::Workspace;
use anyhow::Context;
use clap::Args;
use millrace_lake::{ForgottenKey, Lake};
use millrace_model::definition::pipeline::TableName;
use millrace_model::ledger::RunStatus;
use millrace_model::step::add_counts;
use millrace_refine::Refine;
use millrace_store::ledger::{Filter, Ledger};
use millrace_store::objects::Objects;
use millrace_transform::Transform;
use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;

/// Erases what the lake keeps of one key: rows and all earlier versions of the tables that have them, raw payloads, what
/// was kept out of tables, requests that failed; of a bucket with versions, all versions of these.
///
/// Models that read these tables are made anew, of all pipelines. What was published goes with the next run that publishes.
/// No run of these pipelines may be under way.
#[derive(Args)]
pub struct Forget {
    /// The pipeline.
    pipeline: String,
    /// The key, by a column and its value: `--key id=123`. Once for each column of the key.
    #[arg(long, required = true, value_name = "COLUMN=VALUE")]
    key: Vec<String>,
    #[command(flatten)]
    lake: LakeArgs,
}

impl Forget {
    /// Erases it, and says what that was.
    pub async fn forget(self, workspace: &Workspace) -> anyhow::Result<ExitCode> {
        let set = workspace.valid_definitions()?;
        let pipeline = set
            .pipelines
            .get(&self.pipeline)
            .with_context(|| format!("there is no pipeline `{}`", self.pipeline))?;
        let key: ForgottenKey = self
            .key
            .iter()
            .map(|pair| {
                let (column, value) = pair.split_once('=').context("--key takes COLUMN=VALUE")?;
                Ok((column.to_owned(), value.to_owned()))
            })
            .collect::<anyhow::Result<_>>()?;
        let tables = pipeline.tables.iter();
        let tables = tables.filter(|table| table.is_keyed_by(key.keys()));
        let models = set.models_of(tables.map(|table| TableName {
            pipeline: self.pipeline.clone(),
            table: table.name.clone(),
        }));
        let others: BTreeSet<&str> = models
            .iter()
            .map(|(pipeline, _)| pipeline.name.as_str())
            .filter(|name| *name != self.pipeline)
            .collect();
        let (lake, objects) = self.lake.open(workspace).await?;
        for name in others.iter().copied().chain([self.pipeline.as_str()]) {
            ensure_idle(&objects, name).await?;
        }
        let refine = Refine::new(objects.clone(), Lake::at(&lake.to_string())?, room());
        let transform = Transform::new(objects, lake);
        let mut counts = transform.forget(pipeline, &key).await?;
        let forgotten = refine.forget(&models, &key).await.with_context(|| {
            "the tables have forgotten it, and not yet all models that read them: correct that, and repeat the command"
        })?;
        for name in others {
            transform.forget_messages(name, &key).await?;
        }
        add_counts(&mut counts, &forgotten.counts);
        println!("{} {}", green("forgotten:"), self.key.join(" "));
        for (name, count) in &counts {
            println!("  {:<18} {}", name.replace('_', " "), grouped(*count));
        }
        for model in &forgotten.kept {
            println!(
                "{} `{model}` keeps what it was made of, and no column tells whose that is: remove its table, and have it \
                 made anew",
                bold("kept:")
            );
        }
        println!("The next run that publishes takes it out of the operational store.");
        if forgotten.kept.is_empty() {
            Ok(ExitCode::SUCCESS)
        } else {
            Ok(ExitCode::FAILURE)
        }
    }
}

/// What is written by a run while it is erased would be there again.
async fn ensure_idle(objects: &Arc<dyn Objects>, pipeline: &str) -> anyhow::Result<()> {
    let filter = Filter {
        pipeline: Some(pipeline.to_owned()),
        status: Some(RunStatus::Running),
    };
    let running = Ledger::new(objects.clone()).list(&filter, None, 1).await?;
    if let Some(run) = running.runs.first() {
        anyhow::bail!(
            "{} is under way: wait for its end, cancel it, or, on this machine, finish it with `millrace run {pipeline}`",
            run.run
        );
    }
    Ok(())
}
