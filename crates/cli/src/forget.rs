//! `millrace forget`: the erasure of one key.

use crate::lake::LakeArgs;
use crate::table::{green, grouped};
use crate::workspace::Workspace;
use anyhow::Context;
use clap::Args;
use millrace_model::ledger::RunStatus;
use millrace_store::ledger::{Filter, Ledger};
use millrace_transform::{ForgottenKey, Transform};
use std::process::ExitCode;

/// Erases what the lake keeps of one key: rows and all earlier versions of the tables that have them, raw payloads, what
/// was kept out of tables, requests that failed; of a bucket with versions, all versions of these.
///
/// What was published goes with the next run that publishes. No run of the pipeline may be under way.
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
        let (lake, objects) = self.lake.open(workspace).await?;
        let filter = Filter {
            pipeline: Some(self.pipeline.clone()),
            status: Some(RunStatus::Running),
        };
        let running = Ledger::new(objects.clone()).list(&filter, None, 1).await?;
        if let Some(run) = running.runs.first() {
            anyhow::bail!(
                "{} is under way: wait for its end, cancel it, or, on this machine, finish it with `millrace run {}`",
                run.run,
                self.pipeline
            );
        }
        let counts = Transform::new(objects, lake).forget(pipeline, &key).await?;
        println!("{} {}", green("forgotten:"), self.key.join(" "));
        for (name, count) in &counts {
            println!("  {:<18} {}", name.replace('_', " "), grouped(*count));
        }
        println!("The next run that publishes takes it out of the operational store.");
        Ok(ExitCode::SUCCESS)
    }
}
