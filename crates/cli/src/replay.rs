//! `millrace replay`: what was kept out of a table, once more.

use crate::conduct::new_run;
use crate::lake::LakeArgs;
use crate::table::{green, grouped};
use crate::workspace::Workspace;
use clap::Args;
use millrace_model::step::{StepInput, Unobserved};
use millrace_transform::Transform;
use std::process::ExitCode;

/// Takes what was kept out of a table once more: after the definition was corrected, or the table that it references.
///
/// What still breaks a contract or an expectation stays in quarantine. A record takes the place of what the table has of its
/// key, unless the table names an `order` that says otherwise.
#[derive(Args)]
pub struct Replay {
    /// The pipeline.
    pipeline: String,
    /// The table.
    table: String,
    #[command(flatten)]
    lake: LakeArgs,
}

impl Replay {
    /// Replays it, and says what came of it.
    pub async fn replay(self, workspace: &Workspace) -> anyhow::Result<ExitCode> {
        let set = workspace.valid_definitions()?;
        let pinned = set.pin(&self.pipeline).map_err(|problems| {
            let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
            anyhow::anyhow!(
                "the pipeline `{}` cannot run:\n  {}",
                self.pipeline,
                lines.join("\n  ")
            )
        })?;
        anyhow::ensure!(
            pinned.pipeline.model(&self.table).is_none(),
            "`{0}` is a model, which each run makes anew: correct its SELECT, or what is expected of it, and run `{1}`",
            self.table,
            self.pipeline
        );
        let (lake, objects) = self.lake.open(workspace).await?;
        let input = StepInput {
            run: new_run(&self.pipeline, jiff::Timestamp::now()),
            pipeline: self.pipeline.clone(),
            definition: pinned.version(),
            name: self.table.clone(),
            invocation: 0,
        };
        let transform = Transform::new(objects, lake);
        let counts = transform.replay(&pinned, &input, &Unobserved).await?;
        let count = |name: &str| grouped(counts.get(name).copied().unwrap_or_default());
        println!(
            "{} {} rows of `{}` out of quarantine; {} records stay in it",
            green("replayed:"),
            count("rows_written"),
            self.table,
            count("rows_quarantined")
        );
        Ok(ExitCode::SUCCESS)
    }
}
