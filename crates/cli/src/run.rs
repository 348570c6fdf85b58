//! `millrace run`: an author's inner loop.

use crate::cassette::play;
use crate::conduct::{Conductor, Summary};
use crate::table::{bold, green};
use crate::workspace::Workspace;
use crate::{postgres, redis, table};
use anyhow::Context;
use clap::Args;
use millrace_lake::Lake;
use millrace_model::definition::set::DefinitionSet;
use millrace_model::keys;
use millrace_model::mode::RunMode;
use std::path::PathBuf;
use std::process::ExitCode;

/// How many rows of each table are shown.
const SHOWN: usize = 5;

/// Pulls one pipeline and makes its tables, in this process, into a local folder.
///
/// A run that was killed goes on where it ended. A second run pulls only what changed, where the pipeline says how.
#[derive(Args)]
pub struct Run {
    /// The pipeline.
    pipeline: String,
    /// Publishes the tables too, into the private PostgreSQL.
    #[arg(long)]
    publish: bool,
    /// Pulls everything, as the first run did: from the `start` of what is incremental. What is appended to a table takes
    /// the place of what it holds.
    #[arg(long, conflicts_with = "from")]
    full_refresh: bool,
    /// Pulls again what changed from there on (a time or a number), and leaves the cursors where they are.
    #[arg(long, value_name = "START")]
    from: Option<String>,
    /// Where the range of `--from` ends; now unless said otherwise.
    #[arg(long, value_name = "END", requires = "from")]
    to: Option<String>,
    /// Another base_url for a connection, as `usgs=http://127.0.0.1:8080`.
    #[arg(long, value_name = "CONNECTION=URL")]
    base_url: Vec<String>,
    /// Answers from a cassette that `millrace record` has written, in the place of the sources': no source is asked, no
    /// secret is needed, and nothing is kept. Fails where the pipeline asks for anything else than was recorded.
    #[arg(long, value_name = "CASSETTE", conflicts_with = "publish")]
    replay: Option<PathBuf>,
}

impl Run {
    /// Runs it and shows what it did.
    pub async fn run(self, workspace: &Workspace) -> anyhow::Result<ExitCode> {
        let asked = self.mode()?;
        let set = with_base_urls(workspace.valid_definitions()?, &self.base_url)?;
        known(&set, &self.pipeline)?;
        println!("{} {}", bold("running"), self.pipeline);
        if let Some(cassette) = &self.replay {
            let (played, summary) = play(workspace, &set, &self.pipeline, cassette).await?;
            played.show(&set, &self.pipeline, &summary).await?;
            println!("All of the cassette was played; nothing was kept.");
            return Ok(ExitCode::SUCCESS);
        }
        let store = if self.publish {
            Some(postgres::start(&workspace.state("postgres")?).await?)
        } else {
            None
        };
        let key = workspace.consumer_key()?;
        let redis = match &store {
            Some(_) => redis::start(&set).await?,
            None => None,
        };
        let made = store.as_ref().map(|store| store.secrets(&key));
        let made = [made.unwrap_or_default(), redis::secrets(redis.as_ref())].concat();
        let conductor = Conductor::new(workspace, workspace.secrets(&made))?;
        let summary = conductor
            .run(&set, &self.pipeline, asked, self.publish)
            .await?;
        show(workspace, &set, &self.pipeline, &summary).await?;
        println!(
            "Next: {} serves it; {} is all of it.",
            bold("millrace serve"),
            workspace.lake()?.display()
        );
        Ok(ExitCode::SUCCESS)
    }

    fn mode(&self) -> anyhow::Result<RunMode> {
        match &self.from {
            None if self.full_refresh => Ok(RunMode::FullRefresh),
            None => Ok(RunMode::Regular),
            Some(from) => RunMode::backfill(from, self.to.as_deref()).map_err(anyhow::Error::msg),
        }
    }
}

/// The set with another base_url for one connection.
pub fn with_base_url(
    set: DefinitionSet,
    connection: &str,
    url: &str,
) -> anyhow::Result<DefinitionSet> {
    set.with_base_url(connection, url)
        .map_err(|problem| anyhow::anyhow!("{problem}"))
}

/// The set with those base_urls, each `CONNECTION=URL`.
pub fn with_base_urls(mut set: DefinitionSet, others: &[String]) -> anyhow::Result<DefinitionSet> {
    for other in others {
        let (connection, url) = other
            .split_once('=')
            .context("--base-url takes CONNECTION=URL")?;
        set = with_base_url(set, connection, url)?;
    }
    Ok(set)
}

/// That there is a pipeline of that name.
pub fn known(set: &DefinitionSet, pipeline: &str) -> anyhow::Result<()> {
    let names: Vec<_> = set.pipelines.keys().map(String::as_str).collect();
    anyhow::ensure!(
        names.contains(&pipeline),
        "there is no pipeline `{pipeline}`; there are: {}",
        if names.is_empty() {
            "none (`millrace new pipeline NAME` writes one)".into()
        } else {
            names.join(", ")
        }
    );
    Ok(())
}

/// The first rows of the pipeline's tables.
pub async fn show(
    workspace: &Workspace,
    set: &DefinitionSet,
    pipeline: &str,
    summary: &Summary,
) -> anyhow::Result<()> {
    let lake = Lake::at(&workspace.lake()?.display().to_string())?;
    let resumed = if summary.resumed {
        " (taken up where it was killed)"
    } else {
        ""
    };
    println!("{} {}{resumed}", green("done:"), summary.run);
    let pipeline_of = &set.pipelines[pipeline];
    let tables = pipeline_of
        .tables
        .iter()
        .map(|table| (&table.name, &table.key));
    let models = pipeline_of
        .models
        .iter()
        .map(|model| (&model.name, &model.key));
    for (name, key) in tables.chain(models) {
        let Some(found) = lake.table(&keys::table(pipeline, name)).await? else {
            continue;
        };
        let rows = found.rows().map_or_else(String::new, |rows| {
            format!(" ({} rows)", table::grouped(rows))
        });
        println!("\n{}{rows}", bold(name));
        println!("{}", table::batches(&found.preview(SHOWN).await?, key)?);
    }
    Ok(())
}
