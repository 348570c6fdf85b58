//! `millrace check`: all definitions, all errors at once; with a store, whether it can answer every route by an index; with
//! an old contract, what the new one breaks of it.

use crate::conduct;
use crate::sources;
use crate::table::{green, red};
use crate::workspace::{REDIS_READER, STORE_READER, Workspace};
use anyhow::Context;
use clap::Args;
use millrace_lake::Lake;
use millrace_model::Failure;
use millrace_model::definition::set::DefinitionSet;
use millrace_model::definition::{Datasource, Pipeline};
use millrace_refine::Refine;
use millrace_serve::check::{Checked, Finding};
use millrace_serve::source::Sources;
use millrace_serve::{Serve, contract};
use millrace_serve_postgres::Postgres;
use millrace_serve_redis::Redis;
use millrace_store::secrets::{LocalSecrets, Secrets};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// Says everything that is wrong with the definitions; exit status 1 if anything is.
#[derive(Args)]
pub struct Check {
    /// A file with the reader's credentials of an operational store, as its secret holds them: every query is prepared
    /// and explained there.
    #[arg(long, value_name = "FILE")]
    store: Option<PathBuf>,
    /// A file with the reader's credentials of a Redis, as its secret holds them: every lookup is compared with what is
    /// published there.
    #[arg(long, value_name = "FILE")]
    redis: Option<PathBuf>,
    /// An earlier openapi.json: what the endpoints break of it is named. Columns are compared where a store is given.
    #[arg(long, value_name = "FILE", requires = "store")]
    against: Option<PathBuf>,
}

impl Check {
    /// Prints every problem of every definition.
    pub async fn check(self, workspace: &Workspace) -> anyhow::Result<ExitCode> {
        let (set, mut problems) = workspace.definitions()?;
        problems.extend(workspace.endpoint_tests(&set)?.1);
        for problem in &problems {
            println!("{problem}");
        }
        if !problems.is_empty() {
            let files: std::collections::BTreeSet<_> =
                problems.iter().map(|problem| &problem.file).collect();
            return Ok(not_ok(
                problems.len(),
                &format!("problems in {} files", files.len()),
            ));
        }
        let failures = on_lake(workspace, &set).await?;
        for failure in &failures {
            println!("{}", failure.message);
        }
        if !failures.is_empty() {
            return Ok(not_ok(
                failures.len(),
                "models that do not fit the tables of the last run",
            ));
        }
        let findings = lake_routes(workspace, &set).await?;
        for finding in &findings {
            println!("{}", told(finding));
        }
        if !findings.is_empty() {
            return Ok(not_ok(
                findings.len(),
                "routes that do not fit the tables of the last run",
            ));
        }
        if let Some(redis) = &self.redis {
            let findings = on_redis(workspace, &set, redis).await?;
            for finding in &findings {
                println!("{}", told(finding));
            }
            if !findings.is_empty() {
                return Ok(not_ok(
                    findings.len(),
                    "lookups that do not fit what is published to Redis",
                ));
            }
        }
        if let Some(store) = &self.store {
            let checked = on_store(workspace, &set, store).await?;
            for finding in &checked.findings {
                println!("{}", told(finding));
            }
            if !checked.findings.is_empty() {
                return Ok(not_ok(
                    checked.findings.len(),
                    "routes that the store cannot answer well",
                ));
            }
            if let Some(old) = &self.against {
                let broken = contract::breaking(&read(old)?, &checked.contract);
                for line in &broken {
                    println!("{line}");
                }
                if !broken.is_empty() {
                    return Ok(not_ok(broken.len(), "breaking changes"));
                }
            }
        }
        println!(
            "{} {} connections, {} pipelines, {} endpoints",
            green("ok:"),
            set.connections.len(),
            set.pipelines.len(),
            set.endpoints.len()
        );
        Ok(ExitCode::SUCCESS)
    }
}

/// What is wrong with models, as far as the tables tell that were made here.
async fn on_lake(workspace: &Workspace, set: &DefinitionSet) -> anyhow::Result<Vec<Failure>> {
    let mut failures = Vec::new();
    let with_models = |pipeline: &&Pipeline| !pipeline.models.is_empty();
    for pipeline in set.pipelines.values().filter(with_models) {
        let lake = Lake::at(&workspace.lake()?.display().to_string())?;
        let refine = Refine::new(workspace.objects()?, lake, conduct::room());
        failures.extend(refine.check(pipeline).await?);
    }
    Ok(failures)
}

/// What is wrong with routes over the lake, as far as the tables tell that were made here.
async fn lake_routes(workspace: &Workspace, set: &DefinitionSet) -> anyhow::Result<Vec<Finding>> {
    let routes = || set.endpoints.values().flat_map(|endpoint| &endpoint.routes);
    if routes().all(|route| route.answered_by() != Datasource::Lake) {
        return Ok(Vec::new());
    }
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let objects = workspace.definitions_in(folder.path()).await?;
    let secrets: Arc<dyn Secrets> = Arc::new(LocalSecrets::new(None, []));
    let source = sources::lake(&workspace.lake()?, objects.clone(), &secrets)?;
    let serve = Serve::new(objects, secrets, Sources::of(Datasource::Lake, source));
    let endpoints: Vec<_> = set.endpoints.values().collect();
    Ok(serve.check(&endpoints).await?.findings)
}

fn told(finding: &Finding) -> String {
    format!(
        "endpoints/{}.yaml: routes.{}.query: {}",
        finding.endpoint, finding.path, finding.message
    )
}

async fn on_store(
    workspace: &Workspace,
    set: &DefinitionSet,
    credentials: &Path,
) -> anyhow::Result<Checked> {
    let text = std::fs::read_to_string(credentials)
        .with_context(|| format!("cannot read {}", credentials.display()))?;
    let secret = (LocalSecrets::variable(STORE_READER), text);
    let secrets = Arc::new(LocalSecrets::new(None, [secret]));
    let source = Postgres::new(secrets.clone(), STORE_READER.to_owned());
    let sources = Sources::of(Datasource::OperationalStore, source);
    let serve = Serve::new(workspace.objects()?, secrets, sources);
    let endpoints: Vec<_> = set.endpoints.values().collect();
    Ok(serve.check(&endpoints).await?)
}

async fn on_redis(
    workspace: &Workspace,
    set: &DefinitionSet,
    credentials: &Path,
) -> anyhow::Result<Vec<Finding>> {
    let text = std::fs::read_to_string(credentials)
        .with_context(|| format!("cannot read {}", credentials.display()))?;
    let secret = (LocalSecrets::variable(REDIS_READER), text);
    let secrets = Arc::new(LocalSecrets::new(None, [secret]));
    let source = Redis::new(secrets.clone(), REDIS_READER.to_owned());
    let serve = Serve::new(
        workspace.objects()?,
        secrets,
        Sources::of(Datasource::Redis, source),
    );
    let endpoints: Vec<_> = set.endpoints.values().collect();
    Ok(serve.check(&endpoints).await?.findings)
}

fn read(file: &Path) -> anyhow::Result<serde_json::Value> {
    let text = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is no JSON", file.display()))
}

fn not_ok(count: usize, of_what: &str) -> ExitCode {
    println!("{} {count} {of_what}", red("not ok:"));
    ExitCode::FAILURE
}
