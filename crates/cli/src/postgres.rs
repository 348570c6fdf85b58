//! `millrace postgres`: the private PostgreSQL by itself, for the local cloud and for a look with psql.

use crate::table::green;
use crate::workspace::{CONSUMERS, SEAL, STORE_OWNER, STORE_READER, Workspace};
use anyhow::Context;
use clap::{Args, Subcommand};
use millrace_postgres::private::PrivateServer;
use millrace_postgres::{Credentials, SslMode};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The database in which tables are published on this machine.
const DATABASE: &str = "millrace";

/// The private PostgreSQL that stands in for the operational store on this machine.
#[derive(Args)]
pub struct Postgres {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Starts it, and leaves it running.
    Start {
        /// Where its files lie; the state's `postgres` folder unless said otherwise.
        #[arg(long)]
        dir: Option<PathBuf>,
        /// Prints where it listens and its two roles as JSON, passwords included.
        #[arg(long)]
        json: bool,
    },
    /// Makes an operational store of a PostgreSQL that is there already: the two roles, and what publish notes.
    ///
    /// Each file holds the JSON that the secret of that role holds; all three name the same database. To run it again is
    /// harmless, and gives the roles the passwords of the files.
    Bootstrap {
        /// The credentials of a role that may create roles.
        #[arg(long, value_name = "FILE")]
        admin: PathBuf,
        /// The credentials that publish is to have.
        #[arg(long, value_name = "FILE")]
        owner: PathBuf,
        /// The credentials that serve is to have.
        #[arg(long, value_name = "FILE")]
        reader: PathBuf,
    },
    /// Stops it, if nobody else uses it.
    Stop {
        /// Where its files lie.
        #[arg(long)]
        dir: Option<PathBuf>,
    },
}

/// The server of a folder and its store's two roles.
pub struct Store {
    /// Holds the server up.
    pub server: PrivateServer,
    /// The role that publishes.
    pub owner: Credentials,
    /// The role that serves.
    pub reader: Credentials,
}

impl Store {
    /// The secrets that go with it, by name: the two roles' credentials, the consumer's key, and what
    /// cursors are sealed with.
    pub fn secrets(&self, consumer_key: &str) -> Vec<(&'static str, String)> {
        vec![
            (STORE_OWNER, self.owner.to_secret()),
            (STORE_READER, self.reader.to_secret()),
            (CONSUMERS, json!({ "local": consumer_key }).to_string()),
            // Random, and of this machine alone, as the key is.
            (SEAL, consumer_key.to_owned()),
        ]
    }
}

/// Starts the private server of a folder, from the binaries of `MILLRACE_POSTGRES_BIN` or the system's.
pub async fn start(dir: &Path) -> anyhow::Result<Store> {
    let binaries = std::env::var_os("MILLRACE_POSTGRES_BIN").map(PathBuf::from);
    let server = PrivateServer::start(dir, binaries.as_deref()).await?;
    let (owner, reader) = server.store(DATABASE).await?;
    Ok(Store {
        server,
        owner,
        reader,
    })
}

impl Postgres {
    /// Starts or stops it.
    pub async fn act(self, workspace: &Workspace) -> anyhow::Result<ExitCode> {
        match self.action {
            Action::Start { dir, json } => {
                let store = start(&folder(workspace, dir)?).await?;
                if json {
                    println!("{}", described(&store));
                } else {
                    println!(
                        "{} on 127.0.0.1:{}, database {DATABASE}",
                        green("PostgreSQL listens"),
                        store.owner.port
                    );
                }
                // The server stops when the last one who holds it lets go; this command leaves it running on purpose.
                std::mem::forget(store.server);
            }
            Action::Bootstrap {
                admin,
                owner,
                reader,
            } => {
                let (admin, owner, reader) = (
                    credentials(&admin)?,
                    credentials(&owner)?,
                    credentials(&reader)?,
                );
                millrace_postgres::bootstrap(&admin, &owner, &reader).await?;
                println!(
                    "{} {} publishes, {} serves",
                    green("the store is ready:"),
                    owner.username,
                    reader.username
                );
            }
            Action::Stop { dir } => {
                let dir = folder(workspace, dir)?;
                if dir.exists() {
                    let stopped = start(&dir).await?.server.stop().await?;
                    println!(
                        "{}",
                        if stopped {
                            "PostgreSQL is stopped"
                        } else {
                            "somebody else uses PostgreSQL still"
                        }
                    );
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn credentials(file: &Path) -> anyhow::Result<Credentials> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {name}"))?;
    Ok(Credentials::parse(&name, &text)?)
}

fn folder(workspace: &Workspace, dir: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    dir.map_or_else(|| workspace.state("postgres"), Ok)
}

fn described(store: &Store) -> serde_json::Value {
    let role = |credentials: &Credentials| json!({ "username": credentials.username, "password": credentials.password });
    json!({
        "host": store.owner.host,
        "port": store.owner.port,
        "dbname": store.owner.dbname,
        "sslmode": match store.owner.sslmode { SslMode::Disable => "disable", _ => "require" },
        "owner": role(&store.owner),
        "reader": role(&store.reader),
    })
}
