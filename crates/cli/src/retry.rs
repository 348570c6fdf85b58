//! `millrace retry`: what runs have given up, once more.

use crate::conduct::Conductor;
use crate::run;
use crate::table::bold;
use crate::workspace::Workspace;
use clap::Args;
use millrace_model::mode::RunMode;
use std::process::ExitCode;

/// Sends the requests again that a pipeline's runs have given up, where its definition says `on_refusal: skip`.
///
/// They are asked for as the definition says now, with the values of then, and what they bring goes into the tables. A
/// request that is answered is dead no longer; one that is refused again is kept again. The cursors stay where they are.
#[derive(Args)]
pub struct Retry {
    /// The pipeline.
    pipeline: String,
    /// Another base_url for a connection, as `usgs=http://127.0.0.1:8080`.
    #[arg(long, value_name = "CONNECTION=URL")]
    base_url: Vec<String>,
}

impl Retry {
    /// Retries run after run, and shows what came of it.
    pub async fn run(self, workspace: &Workspace) -> anyhow::Result<ExitCode> {
        let set = run::with_base_urls(workspace.valid_definitions()?, &self.base_url)?;
        run::known(&set, &self.pipeline)?;
        let conductor = Conductor::new(workspace, workspace.secrets(&[]))?;
        let dead = conductor.dead_requests(&self.pipeline).await?;
        if dead.is_empty() {
            println!("no request of {} is dead", self.pipeline);
        }
        for (dead_run, requests) in dead {
            if requests == 0 {
                println!(
                    "{dead_run} failed at its dead request: {} asks for all that it would have brought",
                    bold(&format!("millrace run {}", self.pipeline))
                );
                continue;
            }
            println!("{} {dead_run}: {requests} requests", bold("retrying"));
            let mode = RunMode::Retry { run: dead_run };
            let summary = conductor.run(&set, &self.pipeline, mode, false).await?;
            run::show(workspace, &set, &self.pipeline, &summary).await?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
