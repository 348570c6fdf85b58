//! A store of one's own, and the function `serve` as a server over it.

use crate::support::{binary, text};
use serde_json::{Value, json};
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

/// A private PostgreSQL with its two roles, and a lake's folder beside it; both end with it.
pub struct Store {
    folder: TempDir,
    described: Value,
}

/// One of the two roles.
#[derive(Clone, Copy)]
pub enum Role {
    /// It publishes.
    Owner,
    /// It serves.
    Reader,
}

impl Store {
    /// A fresh one.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let output = Command::new(binary("millrace"))
            .current_dir(folder.path())
            .args(["postgres", "start", "--json", "--dir"])
            .arg(folder.path().join("postgres"))
            .output()
            .expect("the command starts");
        assert!(output.status.success(), "{}", text(&output.stderr));
        let described = serde_json::from_slice(&output.stdout).expect("JSON");
        fs::create_dir_all(folder.path().join("lake/definitions/endpoints")).expect("a folder");
        Self { folder, described }
    }

    /// A path beside the store.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The lake's folder.
    pub fn lake(&self) -> PathBuf {
        self.path("lake")
    }

    /// What a role's secret holds.
    pub fn secret(&self, role: Role) -> Value {
        let name = match role {
            Role::Owner => "owner",
            Role::Reader => "reader",
        };
        let mut secret = self.described[name].clone();
        for field in ["host", "port", "dbname", "sslmode"] {
            secret[field] = self.described[field].clone();
        }
        secret
    }

    /// A role's connection.
    pub async fn connect(&self, role: Role) -> Client {
        let secret = self.secret(role);
        let word = |name: &str| secret[name].as_str().expect("a word");
        let mut config = tokio_postgres::Config::new();
        config
            .host(word("host"))
            .port(secret["port"].as_u64().expect("a port") as u16)
            .dbname(word("dbname"))
            .user(word("username"))
            .password(word("password"));
        let (client, connection) = config.connect(NoTls).await.expect("a connection");
        tokio::spawn(connection);
        client
    }

    /// Puts an endpoint's file where `serve` finds it: whole, since it may look at any moment.
    pub fn put_endpoint(&self, name: &str, text: &str) {
        let fresh = self.path("endpoint");
        fs::write(&fresh, text).expect("a file");
        let place = self
            .lake()
            .join(format!("definitions/endpoints/{name}.yaml"));
        fs::rename(fresh, place).expect("a file");
    }

    /// The function `serve` on a port of its own, with so many connections.
    pub async fn serve(&self, connections: usize) -> Server {
        let secrets = self.path("secrets.json");
        let text = json!({ "reader": self.secret(Role::Reader) }).to_string();
        fs::write(&secrets, text).expect("a file");
        let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = address.expect("a free port");
        let log = self.path("serve.log");
        let file = fs::File::create(&log).expect("a file");
        let child = Command::new(binary("serve"))
            .env("MILLRACE_LAKE", self.lake())
            .env("MILLRACE_STORE_SECRET", "reader")
            .env("MILLRACE_SECRETS_FILE", &secrets)
            .env("MILLRACE_STORE_CONNECTIONS", connections.to_string())
            .env("MILLRACE_LISTEN", address.to_string())
            .env("RUST_LOG", "warn")
            .env("AWS_REGION", "eu-central-1")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a file"))
            .stderr(file)
            .spawn()
            .expect("the server starts");
        let server = Server {
            child,
            log,
            url: format!("http://{address}"),
        };
        let until = Instant::now() + Duration::from_mins(1);
        let client = reqwest::Client::new();
        while client
            .get(format!("{}/readyz", server.url))
            .send()
            .await
            .is_err()
        {
            assert!(Instant::now() < until, "{}", server.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        server
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let folder = self.path("postgres");
        stop_postgres(&folder, self.folder.path());
    }
}

fn stop_postgres(folder: &Path, beside: &Path) {
    Command::new(binary("millrace"))
        .current_dir(beside)
        .args(["postgres", "stop", "--dir"])
        .arg(folder)
        .stdout(Stdio::null())
        .status()
        .ok();
}

/// A server that runs.
pub struct Server {
    child: Child,
    log: PathBuf,
    /// Where it listens.
    pub url: String,
}

impl Server {
    /// What it said so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
