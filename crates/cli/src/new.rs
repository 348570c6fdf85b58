//! `millrace new`: a first version of a definition, with comments that teach.

use crate::openapi;
use crate::table::{bold, green};
use crate::workspace::Workspace;
use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Writes a first version of a definition. An existing file is never overwritten.
#[derive(Args)]
pub struct New {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Subcommand)]
enum Kind {
    /// How a system is reached: connections/NAME.yaml.
    Connection {
        /// Its name: a-z, 0-9, _ and -, a letter first.
        name: String,
        /// What every path is appended to.
        #[arg(long, default_value = "https://api.example.com")]
        base_url: String,
    },
    Pipeline(Pipeline),
    /// What is served: endpoints/NAME.yaml.
    Endpoint {
        /// Its name, and its path.
        name: String,
        /// The pipeline whose first published table it reads; the one of the endpoint's name unless said otherwise.
        #[arg(long)]
        pipeline: Option<String>,
    },
}

/// What is pulled, what it becomes, where it goes: pipelines/NAME.yaml.
///
/// With --from-openapi the API's own description is read: its servers and security schemes become a connection, each
/// GET that answers a list a resource, with paginator, records and key as far as the description shows them.
#[derive(Args)]
#[command(after_help = "\
Examples:
  millrace new pipeline orders --connection shop --path /orders --records data
  millrace new pipeline --from-openapi shop.yaml
  millrace new pipeline shop --from-openapi shop.yaml --only /orders --only /customers")]
struct Pipeline {
    /// Its name: a-z, 0-9, _ and -, a letter first. With --from-openapi the API's title unless said otherwise.
    #[arg(required_unless_present = "from_openapi")]
    name: Option<String>,
    /// The connection by which it is pulled; the pipeline's own name unless said otherwise.
    #[arg(long)]
    connection: Option<String>,
    /// The path of the API, behind the connection's base_url.
    #[arg(long, default_value = "/")]
    path: String,
    /// Where in an answer the list of records is (`data.items`); nothing where the answer is the list.
    #[arg(long)]
    records: Option<String>,
    /// The field by which a record is known.
    #[arg(long, default_value = "id")]
    key: String,
    /// An OpenAPI 3 document, in YAML or JSON, of which connection and pipeline are made.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["path", "records", "key"])]
    from_openapi: Option<PathBuf>,
    /// Only paths that begin with this; may be given several times.
    #[arg(long, value_name = "PATH", requires = "from_openapi")]
    only: Vec<String>,
    /// Where the API is, in the place of the document's first server.
    #[arg(long, value_name = "URL", requires = "from_openapi")]
    base_url: Option<String>,
}

impl New {
    /// Writes the file and says what to do next.
    pub fn write(self, workspace: &Workspace) -> anyhow::Result<ExitCode> {
        let (file, text, next) = match self.kind {
            Kind::Connection { name, base_url } => (
                PathBuf::from(format!("connections/{name}.yaml")),
                connection(&name, &base_url),
                format!("millrace new pipeline {name}"),
            ),
            Kind::Pipeline(asked) => {
                if let Some(file) = &asked.from_openapi {
                    return from_openapi(workspace, file, &asked);
                }
                let name = asked.name.unwrap_or_default();
                let connection = asked.connection.unwrap_or_else(|| name.clone());
                let records = asked.records.as_deref();
                (
                    PathBuf::from(format!("pipelines/{name}.yaml")),
                    pipeline(&name, &connection, &asked.path, records, &asked.key),
                    format!("millrace run {name}"),
                )
            }
            Kind::Endpoint { name, pipeline } => {
                let from = pipeline.as_deref().unwrap_or(&name);
                let published = published(workspace, from)?;
                (
                    PathBuf::from(format!("endpoints/{name}.yaml")),
                    endpoint(&name, from, &published),
                    "millrace serve".into(),
                )
            }
        };
        create(workspace, &file, &text)?;
        println!("{} {}", green("wrote"), file.display());
        println!(
            "Look through it, then: {}   and: {}",
            bold("millrace check"),
            bold(&next)
        );
        Ok(ExitCode::SUCCESS)
    }
}

/// Writes a connection, unless it is there already, and a pipeline, both made of an OpenAPI document.
fn from_openapi(workspace: &Workspace, file: &Path, asked: &Pipeline) -> anyhow::Result<ExitCode> {
    let wish = openapi::Wish {
        name: asked.name.as_deref(),
        connection: asked.connection.as_deref(),
        base_url: asked.base_url.as_deref(),
        only: &asked.only,
    };
    let made = openapi::from_file(file, &wish)?;
    let pipeline = PathBuf::from(format!("pipelines/{}.yaml", made.name));
    create(workspace, &pipeline, &made.pipeline_yaml)?;
    println!(
        "{} {} ({} resources)",
        green("wrote"),
        pipeline.display(),
        made.resources
    );
    let connection = PathBuf::from(format!("connections/{}.yaml", made.connection));
    if workspace.directory.join(&connection).exists() {
        println!(
            "{} is there already and stays as it is",
            connection.display()
        );
    } else {
        create(workspace, &connection, &made.connection_yaml)?;
        println!("{} {}", green("wrote"), connection.display());
    }
    for note in &made.notes {
        println!("  {note}");
    }
    println!(
        "Look through them, then: {}   and: {}",
        bold("millrace check"),
        bold(&format!("millrace try {}", made.name))
    );
    Ok(ExitCode::SUCCESS)
}

/// What an endpoint can read of a pipeline.
struct Published {
    target: String,
    key: Option<String>,
}

fn published(workspace: &Workspace, pipeline: &str) -> anyhow::Result<Published> {
    let (set, _) = workspace.definitions()?;
    let Some(found) = set.pipelines.get(pipeline) else {
        bail!(
            "no valid pipeline `{pipeline}`: name one with --pipeline, or see what `millrace check` says of it"
        );
    };
    let Some(publish) = found.publish.first() else {
        bail!(
            "the pipeline `{pipeline}` publishes nothing: add a `publish` entry to pipelines/{pipeline}.yaml"
        );
    };
    let key = found
        .table(&publish.table)
        .and_then(|table| table.key.first().cloned());
    Ok(Published {
        target: publish.target(),
        key,
    })
}

fn create(workspace: &Workspace, file: &std::path::Path, text: &str) -> anyhow::Result<()> {
    let path = workspace.directory.join(file);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    let mut opened = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path)
        .map_err(|error| {
            if error.kind() == std::io::ErrorKind::AlreadyExists {
                anyhow::anyhow!("{} exists already; nothing was changed", path.display())
            } else {
                anyhow::anyhow!("cannot write {}: {error}", path.display())
            }
        })?;
    opened
        .write_all(text.as_bytes())
        .with_context(|| format!("cannot write {}", path.display()))
}

fn connection(name: &str, base_url: &str) -> String {
    format!(
        "\
# yaml-language-server: $schema=../schemas/connection.schema.json
# How the system is reached. Secrets are named here, never written here.
connection: {name}
base_url: {base_url}
auth: none
# auth: {{ bearer: {{ secret: aws::secret/millrace/{name} }} }}
# auth: {{ api_key: {{ secret: aws::secret/millrace/{name}, header: X-Api-Key }} }}
rate_limit: 5/s
"
    )
}

fn pipeline(name: &str, connection: &str, path: &str, records: Option<&str>, key: &str) -> String {
    let table = name.replace('-', "_");
    let records = records.map_or_else(
        || "    # records: data.items              # where in an answer the list of records is; here the answer is the list\n".into(),
        |records| format!("    records: {records}\n"),
    );
    format!(
        "\
# yaml-language-server: $schema=../schemas/pipeline.schema.json
# What is pulled, what it becomes, where it goes.
pipeline: {name}
description: What {path} of {connection} answers.
# schedule: rate(1 hour)               # when it runs by itself, in the syntax of EventBridge Scheduler
resources:
  - name: {table}
    connection: {connection}
    path: {path}
{records}    paginate: none
    # paginate: {{ offset: {{ offset_param: offset, limit_param: limit, limit: 100, first: 0 }} }}
    # paginate: {{ next_link: {{ path: links.next }} }}
    # incremental: {{ field: updated_at, param: updated_after, start: 2026-01-01T00:00:00Z, lookback: 1h }}
    key: [{key}]
tables:
  - name: {table}
    from: {table}
    write: upsert                      # replace | append | upsert
publish:
  - {{ table: {table}, to: operational_store, as: {table}.{table} }}
"
    )
}

fn endpoint(name: &str, pipeline: &str, published: &Published) -> String {
    let path = name.replace('_', "-");
    let target = &published.target;
    let order = published
        .key
        .as_ref()
        .map(|key| format!(" ORDER BY {key}"))
        .unwrap_or_default();
    format!(
        "\
# yaml-language-server: $schema=../schemas/endpoint.schema.json
# What is served: each :name in the query is a parameter, bound by its type.
metadata: {{ name: {name}, description: What the pipeline {pipeline} publishes. }}
routes:
  /{path}:
    datasource: operational_store
    query: SELECT * FROM {target}{order}
    methods: [GET]
    # params:
    #   - {{ name: min_total, type: double, default: 0 }}     # with: WHERE total >= :min_total
    auth: {{ secret_path: aws::secret/millrace/consumers }}
    caching: {{ enabled: true, ttl: 30s }}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_model::definition::parse;

    #[test]
    fn what_is_written_is_valid_as_it_stands() {
        parse::connection(
            "connections/shop.yaml",
            &connection("shop", "https://api.example.com"),
        )
        .expect("connection");
        let text = pipeline("daily-orders", "shop", "/orders", Some("data.items"), "id");
        let orders = parse::pipeline("pipelines/daily-orders.yaml", &text).expect("pipeline");
        assert_eq!(orders.publish[0].target(), "daily_orders.daily_orders");
        let published = Published {
            target: "daily_orders.daily_orders".into(),
            key: Some("id".into()),
        };
        parse::endpoint(
            "endpoints/orders.yaml",
            &endpoint("orders", "daily-orders", &published),
        )
        .expect("endpoint");
    }
}
