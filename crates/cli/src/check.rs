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
    /// An earlier openapi.json: what the endpoints break of it is named. Columns are compared where their types are known:
    /// of the store, of Redis where it is given, and of the lake where its tables were made here.
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
        let checked = self.ask_sources(workspace, &set).await?;
        for finding in &checked.findings {
            println!("{}", told(finding, &set));
        }
        if !checked.findings.is_empty() {
            return Ok(not_ok(
                checked.findings.len(),
                "routes that cannot be answered well",
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
        println!(
            "{} {} connections, {} pipelines, {} endpoints",
            green("ok:"),
            set.connections.len(),
            set.pipelines.len(),
            set.endpoints.len()
        );
        Ok(ExitCode::SUCCESS)
    }

    /// What the stores that were named say of routes, and of those over the lake the tables that were made here.
    async fn ask_sources(
        &self,
        workspace: &Workspace,
        set: &DefinitionSet,
    ) -> anyhow::Result<Checked> {
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        let objects = workspace.definitions_in(folder.path()).await?;
        let given = [(STORE_READER, &self.store), (REDIS_READER, &self.redis)];
        let secrets = secrets(given)?;
        let mut sources = Sources::default();
        let mut routes = set.endpoints.values().flat_map(|endpoint| &endpoint.routes);
        if routes.any(|route| route.answered_by() == Datasource::Lake) {
            let lake = sources::lake(&workspace.lake()?, objects.clone(), &secrets)?;
            sources = sources.and(Datasource::Lake, lake);
        }
        if self.store.is_some() {
            let store = Postgres::new(secrets.clone(), STORE_READER.to_owned());
            sources = sources.and(Datasource::OperationalStore, store);
        }
        if self.redis.is_some() {
            let redis = Redis::new(secrets.clone(), REDIS_READER.to_owned());
            sources = sources.and(Datasource::Redis, redis);
        }
        let endpoints: Vec<_> = set.endpoints.values().collect();
        Ok(Serve::new(objects, secrets, sources)
            .check(&endpoints)
            .await?)
    }
}

/// The secrets of those names that files hold.
fn secrets(files: [(&str, &Option<PathBuf>); 2]) -> anyhow::Result<Arc<dyn Secrets>> {
    let mut held = Vec::new();
    for (name, file) in files {
        let Some(file) = file else { continue };
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        held.push((LocalSecrets::variable(name), text));
    }
    Ok(Arc::new(LocalSecrets::new(None, held)))
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

fn told(finding: &Finding, set: &DefinitionSet) -> String {
    let (endpoint, path) = (&finding.endpoint, &finding.path);
    let mut routes = set.endpoints.values().flat_map(|endpoint| &endpoint.routes);
    let is_lookup = routes.any(|route| route.path == *path && route.lookup.is_some());
    // It has no query, and the message names the field.
    let field = if is_lookup { "" } else { ".query" };
    format!(
        "endpoints/{endpoint}.yaml: routes[{path}]{field}: {}",
        finding.message
    )
}

fn read(file: &Path) -> anyhow::Result<serde_json::Value> {
    let text = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is no JSON", file.display()))
}

fn not_ok(count: usize, of_what: &str) -> ExitCode {
    println!("{} {count} {of_what}", red("not ok:"));
    ExitCode::FAILURE
}
