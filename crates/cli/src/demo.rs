//! `millrace demo`: the whole way once, for somebody who has just cloned the repository.

use crate::conduct::Conductor;
use crate::run::{show, with_base_url};
use crate::table::{bold, green, rows};
use crate::workspace::Workspace;
use crate::{postgres, redis, serve};
use anyhow::Context;
use clap::{Args, ValueEnum};
use millrace_model::mode::RunMode;
use serde_json::Value;
use std::process::ExitCode;

/// The pipeline that is shown.
const PIPELINE: &str = "earthquakes";

/// The whole way once: pull earthquakes, make tables, publish, serve. The server stays; `millrace serve --stop` ends it.
#[derive(Args)]
pub struct Demo {
    /// Where the reports come from.
    #[arg(long, value_enum, default_value_t = Source::Sample)]
    source: Source,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Source {
    /// A sample source on this machine that behaves as the real one, over a snapshot of its reports.
    Sample,
    /// The U.S. Geological Survey's own service.
    Live,
}

impl Demo {
    /// Shows it.
    pub async fn show(self, workspace: &Workspace) -> anyhow::Result<ExitCode> {
        let mut set = workspace.valid_definitions()?;
        let sample = if self.source == Source::Sample {
            let sample = sample::start(sample::Options::default())
                .await
                .context("the sample source did not start")?;
            println!(
                "{} {} (a snapshot of real reports)",
                bold("source"),
                sample.url
            );
            set = with_base_url(set, "usgs", &format!("{}/fdsnws/event/1", sample.url))?;
            Some(sample)
        } else {
            println!("{} the U.S. Geological Survey's service", bold("source"));
            None
        };
        let store = postgres::start(&workspace.state("postgres")?).await?;
        let key = workspace.consumer_key()?;
        let redis = redis::start(&set).await?;
        let made = [store.secrets(&key), redis::secrets(redis.as_ref())].concat();
        let conductor = Conductor::new(workspace, workspace.secrets(&made))?;
        let summary = conductor
            .run(&set, PIPELINE, RunMode::Regular, true)
            .await?;
        drop(sample);
        show(workspace, &set, PIPELINE, &summary).await?;

        let running = serve::start_apart(workspace).await?;
        let (url, key) = (&running.url, &running.key);
        let first = first_rows(url, key).await?;
        println!("\n{} GET {url}/quakes?limit=3", bold("served"));
        println!("{first}");
        println!(
            "{} {url}/quakes   {} {key}",
            green("API: "),
            bold("x-api-key:")
        );
        println!("{} {url}/docs", green("docs:"));
        println!("\nTry next:");
        println!("  curl -H 'x-api-key: {key}' '{url}/quakes?min_magnitude=6'");
        println!("  curl -H 'x-api-key: {key}' '{url}/quakes-by-day?limit=5'");
        println!("  make run            once more: only what changed is pulled");
        println!("  make stop           ends the server");
        println!("  make cloud          the same on a local cloud, with Terraform and Lambdas");
        println!("  README.md           the first own pipeline and endpoint, in five minutes");
        Ok(ExitCode::SUCCESS)
    }
}

/// The first rows as a caller gets them.
async fn first_rows(url: &str, key: &str) -> anyhow::Result<String> {
    let answer = reqwest::Client::new()
        .get(format!("{url}/quakes?limit=3"))
        .header("x-api-key", key)
        .send()
        .await?;
    let status = answer.status();
    let body: Value = answer
        .json()
        .await
        .context("the API's answer is not JSON")?;
    anyhow::ensure!(status.is_success(), "the API answered {status}: {body}");
    let data = body["data"]
        .as_array()
        .context("the API's answer has no data")?;
    let columns: Vec<String> = data
        .first()
        .and_then(Value::as_object)
        .map(|row| row.keys().cloned().collect())
        .unwrap_or_default();
    let cell = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), ToOwned::to_owned)
    };
    let lines = data
        .iter()
        .map(|row| columns.iter().map(|column| cell(&row[column])).collect())
        .collect();
    Ok(rows(&columns, lines))
}
