//! `millrace test`: asks the endpoints what their tests say, and compares the answers.

mod compare;
mod fixture;

use crate::conduct::Conductor;
use crate::postgres::{self, Store};
use crate::redis;
use crate::sources;
use crate::table::{green, red};
use crate::workspace::{SEAL, STORE_READER, Workspace};
use anyhow::Context;
use bytes::Bytes;
use clap::Args;
use http::{Method, Request};
use millrace_model::definition::EndpointTests;
use millrace_model::definition::endpoint_tests::{Asker, EndpointTest};
use millrace_model::definition::set::DefinitionSet;
use millrace_postgres::Credentials;
use millrace_redis::private::PrivateServer;
use millrace_serve::Serve;
use millrace_serve::reads::IndexRead;
use millrace_store::objects::Objects;
use millrace_store::secrets::{Caller, LocalSecrets, Secrets};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

/// Asks the endpoints what endpoints/tests/ says, and compares the answers; exit status 1 if one is not as expected.
///
/// Tests that bring their tables are asked of these, in a database of their own; the others of what the pipelines have
/// made on this machine.
#[derive(Args)]
pub struct Test {
    /// The endpoints; all that have tests unless said otherwise.
    #[arg(value_name = "ENDPOINT")]
    endpoints: Vec<String>,
}

impl Test {
    /// Runs the tests and prints what each said.
    pub async fn run(self, workspace: &Workspace) -> anyhow::Result<ExitCode> {
        let set = workspace.valid_definitions()?;
        let tests = self.chosen(workspace, &set)?;
        let store = postgres::start(&workspace.state("postgres")?).await?;
        let asked = ask_all(workspace, &set, &tests, &store).await;
        store.server.stop().await?;
        let (all, failed) = asked?;
        if failed > 0 {
            println!("{} {failed} of {all} tests failed", red("not ok:"));
            return Ok(ExitCode::FAILURE);
        }
        println!("{} {all} tests of {} endpoints", green("ok:"), tests.len());
        Ok(ExitCode::SUCCESS)
    }

    fn chosen(
        &self,
        workspace: &Workspace,
        set: &DefinitionSet,
    ) -> anyhow::Result<Vec<EndpointTests>> {
        let (mut tests, problems) = workspace.endpoint_tests(set)?;
        let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
        anyhow::ensure!(
            lines.is_empty(),
            "the tests are not valid:\n  {}",
            lines.join("\n  ")
        );
        for name in &self.endpoints {
            anyhow::ensure!(
                tests.iter().any(|tests| tests.endpoint == *name),
                "there is no endpoints/tests/{name}.yaml"
            );
        }
        tests.retain(|tests| self.endpoints.is_empty() || self.endpoints.contains(&tests.endpoint));
        anyhow::ensure!(
            !tests.is_empty(),
            "there are no tests: write endpoints/tests/<endpoint>.yaml (docs/endpoints.md has the form)"
        );
        Ok(tests)
    }
}

/// Runs the tests of all files; how many there were, and how many of them failed.
async fn ask_all(
    workspace: &Workspace,
    set: &DefinitionSet,
    tests: &[EndpointTests],
    store: &Store,
) -> anyhow::Result<(usize, usize)> {
    let redis = redis::start(set).await?;
    let redis = redis.as_ref();
    if tests.iter().any(|tests| tests.tables.is_empty()) {
        let made = store.secrets(&workspace.consumer_key()?);
        let secrets = workspace.secrets(&[made, redis::secrets(redis)].concat());
        let conductor = Conductor::new(workspace, secrets)?;
        for line in conductor.publish_everything(set).await? {
            println!("{line}");
        }
    }
    // The definitions as they lie in the author's folder, where `serve` looks for them.
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let objects = workspace.definitions_in(folder.path()).await?;
    let (mut all, mut failed) = (0, 0);
    for tests in tests {
        println!("endpoints/tests/{}.yaml", tests.endpoint);
        let laid = match tests.tables.as_slice() {
            [] => None,
            tables => Some(fixture::lay(&store.server, tables, set).await?),
        };
        let serve = match &laid {
            None => serve(&objects, &store.reader, redis, &workspace.lake()?)?,
            Some(laid) => serve(&objects, &laid.reader, redis, laid.lake.path())?,
        };
        for test in &tests.tests {
            let differences = ask(&serve, test).await?;
            print(test, &differences);
            all += 1;
            failed += usize::from(!differences.is_empty());
        }
    }
    Ok((all, failed))
}

/// The endpoints over that store, that Redis where there is one, and that lake.
fn serve(
    objects: &Arc<dyn Objects>,
    reader: &Credentials,
    redis: Option<&PrivateServer>,
    lake: &Path,
) -> anyhow::Result<Serve> {
    let of_redis = redis::secrets(redis).into_iter();
    let of_redis = of_redis.map(|(name, text)| (LocalSecrets::variable(name), text));
    let made = [
        (LocalSecrets::variable(STORE_READER), reader.to_secret()),
        // Cursors live no longer than the tests.
        (LocalSecrets::variable(SEAL), "tests".to_owned()),
    ];
    let secrets: Arc<dyn Secrets> = Arc::new(LocalSecrets::new(None, of_redis.chain(made)));
    let sources = sources::all(lake, objects.clone(), &secrets)?;
    let sources = redis::beside(sources, redis, &secrets);
    Ok(Serve::new(objects.clone(), secrets, sources))
}

/// Asks, and says in what the answer is not as expected.
async fn ask(serve: &Serve, test: &EndpointTest) -> anyhow::Result<Vec<String>> {
    let request = request(test)?;
    let caller = match &test.asker {
        Asker::Nobody => None,
        Asker::Caller { scopes, claims } => Some(Caller {
            name: "test".to_owned(),
            scopes: match scopes {
                Some(scopes) => scopes.clone(),
                None => serve.scopes(&request).await,
            },
            claims: claims.clone(),
        }),
    };
    let answer = match &caller {
        None => serve.handle(request.clone()).await,
        Some(caller) => serve.answer_to(request.clone(), caller.clone()).await,
    };
    let mut differences = compare::differences(&test.expected, &answer);
    if let (Some(wanted), Some(caller), true) = (&test.index, &caller, differences.is_empty()) {
        match serve.indexes(&request, caller).await {
            Ok(read) => differences.extend(another_index(wanted, &read)),
            Err(message) => differences.push(format!("its query cannot be explained: {message}")),
        }
    }
    Ok(differences)
}

/// The request that a test describes.
fn request(test: &EndpointTest) -> anyhow::Result<Request<Bytes>> {
    let request = Request::builder();
    let request = if test.post {
        request
            .method(Method::POST)
            .uri(&test.path)
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(serde_json::to_vec(&test.params)?.into())
    } else {
        request.uri(target(test)).body(Bytes::new())
    };
    request.with_context(|| format!("the test `{}`: {} is no path", test.name, test.path))
}

/// The path and, of a GET, the query string.
fn target(test: &EndpointTest) -> String {
    if test.post || test.params.is_empty() {
        return test.path.clone();
    }
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in &test.params {
        query.append_pair(name, &in_url(value));
    }
    format!("{}?{}", test.path, query.finish())
}

/// A value as a URL has it: a list with commas between.
fn in_url(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Array(values) => {
            let values: Vec<String> = values.iter().map(in_url).collect();
            values.join(",")
        }
        other => other.to_string(),
    }
}

/// What is to be said where no index that was read begins with these columns.
fn another_index(wanted: &[String], read: &[IndexRead]) -> Option<String> {
    if read.iter().any(|index| index.columns.starts_with(wanted)) {
        return None;
    }
    let wanted = wanted.join(", ");
    let found: Vec<String> = read
        .iter()
        .map(|index| format!("({}) of {}", index.columns.join(", "), index.table))
        .collect();
    let found = match found.as_slice() {
        [] => "none".to_owned(),
        found => found.join(" and "),
    };
    Some(format!(
        "its query is to be read by an index that begins with ({wanted}), and is read by {found}"
    ))
}

fn print(test: &EndpointTest, differences: &[String]) {
    if differences.is_empty() {
        println!("  {}      {}", green("ok"), test.name);
        return;
    }
    let method = if test.post { "POST" } else { "GET" };
    println!(
        "  {}  {}: {method} {}",
        red("FAILED"),
        test.name,
        target(test)
    );
    for line in differences {
        println!("          {line}");
    }
}
