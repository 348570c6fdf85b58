//! `millrace try`: one polite chain of requests, with everything that an author wants to see of it.

mod report;

use crate::cassette::player;
use crate::conduct::{input, new_run};
use crate::run::{known, with_base_urls};
use crate::scratch::Scratch;
use crate::table::{bold, green, red};
use crate::workspace::Workspace;
use clap::Args;
use millrace_ingest::{Ingest, Limits};
use millrace_model::definition::Pinned;
use millrace_model::definition::pipeline::Resource;
use millrace_model::step::{Deadline, Next, StepInput};
use millrace_store::definitions;
use report::Report;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// How long a resource is tried.
const PATIENCE: Duration = Duration::from_secs(100);

/// How often a request is tried again: somebody waits in front of the screen.
const RETRIES: u32 = 2;

/// Asks for one page of a resource and shows all of it: request, answer, records, paginator, limits, next request.
///
/// Nothing is kept and no cursor moves. The connection's limits hold, together with all that run at the same time; secrets
/// are not shown. A child resource is tried with the first record of its parent, which is asked for first.
#[derive(Args)]
#[command(after_help = "\
Examples:
  millrace try orders               the first resource of the pipeline
  millrace try orders lines         another one
  millrace try orders --pages 3     as far as the third page
  millrace try orders --replay cassettes/orders.jsonl")]
pub struct Try {
    /// The pipeline.
    pipeline: String,
    /// The resource; the pipeline's first one unless said otherwise.
    resource: Option<String>,
    /// How many pages are asked for.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=100))]
    pages: u64,
    /// How many records of each page are shown.
    #[arg(long, default_value_t = 2)]
    records: usize,
    /// Another base_url for a connection, as `usgs=http://127.0.0.1:8080`.
    #[arg(long, value_name = "CONNECTION=URL")]
    base_url: Vec<String>,
    /// Answers from a cassette that `millrace record` has written, in the place of the source's.
    #[arg(long, value_name = "CASSETTE")]
    replay: Option<PathBuf>,
}

impl Try {
    /// Tries it.
    pub async fn run(self, workspace: &Workspace) -> anyhow::Result<ExitCode> {
        let set = with_base_urls(workspace.valid_definitions()?, &self.base_url)?;
        known(&set, &self.pipeline)?;
        let pinned = set.pin(&self.pipeline).map_err(|problems| {
            let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
            anyhow::anyhow!("the pipeline cannot run:\n  {}", lines.join("\n  "))
        })?;
        let chain = chain(&pinned, self.resource.as_deref())?;
        let scratch = Arc::new(Scratch::beside(workspace.objects()?)?);
        let definition = definitions::pin(&*scratch, &pinned).await?;
        let player = self.replay.as_deref().map(player).transpose()?;
        let began = player
            .as_ref()
            .map(|player| player.heading().recorded_at.parse());
        let run = new_run(
            &self.pipeline,
            began.transpose()?.unwrap_or_else(jiff::Timestamp::now),
        );
        let report = Arc::new(Report::new(scratch.clone(), self.records));
        let limits = Limits {
            pages: Some(self.pages),
            retries: RETRIES,
            ..Limits::default()
        };
        let mut ingest = Ingest::new(scratch.clone(), workspace.secrets(&[]))
            .with_limits(limits)
            .watched_by(report.clone());
        let plays = player.is_some();
        if let Some(player) = player {
            ingest = ingest.playing(Arc::new(player));
        }
        for resource in chain {
            let input = input(&pinned, &run, &definition, &resource.name);
            if !plays {
                scratch.take_state(&input).await?;
            }
            if !self
                .one(&ingest, &report, &pinned, resource, &input)
                .await?
            {
                return Ok(ExitCode::FAILURE);
            }
        }
        println!(
            "{} nothing was kept; {} does all of it",
            green("done:"),
            bold(&format!("millrace run {}", self.pipeline))
        );
        Ok(ExitCode::SUCCESS)
    }

    /// Tries one resource; false where that came to no end.
    async fn one(
        &self,
        ingest: &Ingest,
        report: &Report,
        pinned: &Pinned,
        resource: &Resource,
        input: &StepInput,
    ) -> anyhow::Result<bool> {
        report.begin(pinned, resource);
        let output = ingest.run(input, Deadline::after(PATIENCE), report).await;
        report.records(input, resource).await?;
        let output = output?;
        report.paginator(resource);
        report.end();
        if output.next == Next::Done {
            return Ok(true);
        }
        let why = match output.next {
            Next::Wait => format!(
                "the source, or the connection's limits, ask for {} s of patience",
                output.wait_seconds
            ),
            _ => format!("it was not through after {} s", PATIENCE.as_secs()),
        };
        println!("{} {why}", red("stopped:"));
        Ok(false)
    }
}

/// The resource that is meant, behind the parents that it needs.
fn chain<'p>(pinned: &'p Pinned, name: Option<&str>) -> anyhow::Result<Vec<&'p Resource>> {
    let resources = &pinned.pipeline.resources;
    let names = || {
        resources
            .iter()
            .map(|resource| resource.name.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    let meant = match name {
        None => resources.first(),
        Some(name) => pinned.pipeline.resource(name),
    };
    let meant = meant.ok_or_else(|| {
        anyhow::anyhow!(
            "the pipeline `{}` has no resource `{}`; it has {}",
            pinned.pipeline.name,
            name.unwrap_or_default(),
            names()
        )
    })?;
    let mut chain = vec![meant];
    // A parent stands before its children, so this comes to an end.
    while let Some(parent) = chain[0]
        .slices
        .parent
        .as_deref()
        .and_then(|name| pinned.pipeline.resource(name))
    {
        chain.insert(0, parent);
    }
    Ok(chain)
}
