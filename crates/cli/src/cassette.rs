//! `millrace record`, and the cassettes that `--replay` plays: a pipeline is tested without its sources.

use crate::conduct::{Conductor, Summary, new_run};
use crate::run::{known, show, with_base_urls};
use crate::scratch::Scratch;
use crate::table::{bold, bytes, green, grouped};
use crate::workspace::Workspace;
use anyhow::Context;
use clap::Args;
use millrace_ingest::{Heading, Ingest, Limits, Player, Recorder};
use millrace_model::definition::set::DefinitionSet;
use millrace_model::mode::RunMode;
use millrace_model::step::{Deadline, Next, StepInput, Unobserved};
use millrace_store::definitions;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// Pulls the first pages of a pipeline's resources and keeps requests and answers in a file, a cassette, with which
/// `millrace run --replay` tests the pipeline without its sources, as in CI.
///
/// No secret is in it: credentials are not recorded, in headers, queries and bodies their values are replaced, and personal
/// data is treated as it is on its way into the lake. Everything else is as the source sent it: look through the file
/// before it goes into version control.
#[derive(Args)]
#[command(after_help = "\
Examples:
  millrace record orders                    three pages of each resource, in cassettes/orders.jsonl
  millrace record orders --pages 10
  millrace run orders --replay cassettes/orders.jsonl")]
pub struct Record {
    /// The pipeline.
    pipeline: String,
    /// How many pages of each resource are recorded.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..), conflicts_with = "all")]
    pages: u64,
    /// Records all pages.
    #[arg(long)]
    all: bool,
    /// The file; `cassettes/PIPELINE.jsonl` beside the definitions unless said otherwise.
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// Another base_url for a connection, as `usgs=http://127.0.0.1:8080`; it is played back to the same one.
    #[arg(long, value_name = "CONNECTION=URL")]
    base_url: Vec<String>,
}

impl Record {
    /// Records, plays what was recorded back, and keeps it if that goes well.
    pub async fn record(self, workspace: &Workspace) -> anyhow::Result<ExitCode> {
        let set = with_base_urls(workspace.valid_definitions()?, &self.base_url)?;
        known(&set, &self.pipeline)?;
        let file = self.to.clone().unwrap_or_else(|| {
            workspace
                .directory
                .join(format!("cassettes/{}.jsonl", self.pipeline))
        });
        let folder = file
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let cassette = tempfile::Builder::new()
            .prefix(".cassette-")
            .tempfile_in(folder)
            .with_context(|| format!("cannot write into {}", folder.display()))?;
        println!("{} {}", bold("recording"), self.pipeline);
        self.pull(workspace, &set, cassette.reopen()?).await?;
        let (_, summary) = play(workspace, &set, &self.pipeline, cassette.path())
            .await
            .context("what was recorded cannot be played back, so it is not kept")?;
        drop(summary);
        let size = cassette.as_file().metadata()?.len();
        cassette
            .persist(&file)
            .with_context(|| format!("cannot write {}", file.display()))?;
        println!(
            "{} {} ({}), and it plays: {}",
            green("wrote"),
            file.display(),
            bytes(size),
            bold(&format!(
                "millrace run {} --replay {}",
                self.pipeline,
                file.display()
            ))
        );
        Ok(ExitCode::SUCCESS)
    }

    async fn pull(
        &self,
        workspace: &Workspace,
        set: &DefinitionSet,
        out: std::fs::File,
    ) -> anyhow::Result<()> {
        let scratch = Arc::new(Scratch::beside(workspace.objects()?)?);
        let pinned = set
            .pin(&self.pipeline)
            .map_err(|_| anyhow::anyhow!("the pipeline `{}` cannot run", self.pipeline))?;
        let definition = definitions::pin(&*scratch, &pinned).await?;
        let run = new_run(&self.pipeline, jiff::Timestamp::now());
        let heading = Heading {
            cassette: self.pipeline.clone(),
            recorded_at: run.began().to_string(),
            pages: (!self.all).then_some(self.pages),
        };
        let recorder = Arc::new(Recorder::new(Box::new(out), &heading)?);
        let limits = Limits {
            pages: heading.pages,
            ..Limits::default()
        };
        let ingest = Ingest::new(scratch, workspace.secrets(&[]))
            .with_limits(limits)
            .recording(recorder);
        for resource in &pinned.pipeline.resources {
            let input = StepInput {
                run: run.clone(),
                pipeline: self.pipeline.clone(),
                definition: definition.clone(),
                name: resource.name.clone(),
                invocation: 0,
            };
            let output = ingest.run(&input, Deadline::NONE, &Unobserved).await?;
            anyhow::ensure!(output.next == Next::Done, "`{}` has no end", resource.name);
            let count = |name: &str| output.counts.get(name).copied().unwrap_or_default();
            println!(
                "  {:<34} {} pages, {} records",
                resource.name,
                grouped(count("pages")),
                grouped(count("records"))
            );
        }
        Ok(())
    }
}

/// Runs a pipeline from a cassette, in a lake that is thrown away with the workspace that comes back. All that was recorded
/// must be asked for, and nothing else.
pub async fn play(
    workspace: &Workspace,
    set: &DefinitionSet,
    pipeline: &str,
    cassette: &Path,
) -> anyhow::Result<(Played, Summary)> {
    let player = Arc::new(player(cassette)?);
    let heading = player.heading().clone();
    anyhow::ensure!(
        heading.cassette == pipeline,
        "{} is a cassette of the pipeline `{}`",
        cassette.display(),
        heading.cassette
    );
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let apart = Workspace::new(workspace.directory.clone(), Some(folder.path().to_owned()));
    let conductor = Conductor::new(&apart, apart.secrets(&[]))?.playing(&player)?;
    let summary = conductor
        .run(set, pipeline, RunMode::Regular, false)
        .await?;
    let unplayed = player.unplayed();
    anyhow::ensure!(
        unplayed.is_empty(),
        "{} recorded requests were not made, so the definition asks for less than when the cassette was recorded: {}{}",
        unplayed.len(),
        unplayed
            .iter()
            .take(3)
            .cloned()
            .collect::<Vec<_>>()
            .join(", "),
        if unplayed.len() > 3 { ", …" } else { "" }
    );
    let place = Played {
        workspace: apart,
        _folder: folder,
    };
    Ok((place, summary))
}

/// The workspace in which a cassette was played; it is gone with this.
pub struct Played {
    workspace: Workspace,
    _folder: tempfile::TempDir,
}

impl Played {
    /// Shows the first rows of the tables that were made.
    pub async fn show(
        &self,
        set: &DefinitionSet,
        pipeline: &str,
        summary: &Summary,
    ) -> anyhow::Result<()> {
        show(&self.workspace, set, pipeline, summary).await
    }
}

/// The cassette in a file.
pub fn player(file: &Path) -> anyhow::Result<Player> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("cannot read the cassette {}", file.display()))?;
    Player::new(&text).with_context(|| file.display().to_string())
}
