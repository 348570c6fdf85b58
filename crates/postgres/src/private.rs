//! A PostgreSQL of one's own, in a folder, from binaries that the machine has: what `millrace run` publishes into, and
//! what the tests run against. It listens on 127.0.0.1 alone, on a free port, and asks for a password.
//!
//! Several processes may use one folder at once. The first one starts the server, the last one stops it; a server that
//! a killed process left behind is found and used. What lies in it can be made again from the lake, so it trades
//! durability against a crash of the machine for speed.

mod binaries;
mod run_as;

use crate::bootstrap::{bootstrap, setup_lock};
use crate::connection::connect;
use crate::credentials::Credentials;
use crate::sql::identifier;
use crate::tls::SslMode;
use binaries::Binaries;
use millrace_model::Failure;
use rand::Rng as _;
use run_as::RunAs;
use sha2::{Digest as _, Sha256};
use std::fs::{self, File};
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The machine has no PostgreSQL, or not the one that is needed.
    #[error(
        "no PostgreSQL server{} was found (initdb, pg_ctl and postgres in one folder) in {searched}; install one \
         (Debian: `apt install postgresql`, macOS: `brew install postgresql@17`) or name the folder of its binaries",
        major.as_ref().map(|major| format!(" of version {major}, which made the data folder,")).unwrap_or_default()
    )]
    NoBinaries {
        /// The version that the data folder needs; none where any will do.
        major: Option<String>,
        /// Where they were looked for.
        searched: String,
    },
    /// A file or a folder of the server's.
    #[error("the private PostgreSQL: {path}: {source}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What went wrong with it.
        source: io::Error,
    },
    /// PostgreSQL does not run as root, and no other user was found to run it as.
    #[error(
        "PostgreSQL does not run as root, and there is no user `postgres` or `nobody` to run it as: create one"
    )]
    NoUser,
    /// One of its programs failed.
    #[error("the private PostgreSQL in {dir}: {program} failed: {text}", dir = dir.display())]
    Program {
        /// The program.
        program: &'static str,
        /// The server's folder.
        dir: PathBuf,
        /// What it said.
        text: String,
    },
    /// The server runs, but cannot be used.
    #[error(transparent)]
    Store(#[from] Failure),
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { path, source }
}

/// A server that runs. It stops when the last one who uses it is dropped.
#[derive(Debug)]
pub struct PrivateServer {
    home: Home,
    port: u16,
    seed: String,
    /// Held shared by everybody who uses the server, and dropped before `stop` looks whether anybody else does.
    users: Option<File>,
}

impl PrivateServer {
    /// The server of that folder: found running, or started, or made. `binaries` is the folder of PostgreSQL's programs;
    /// none looks in `PATH` and where systems put them.
    pub async fn start(dir: &Path, binaries: Option<&Path>) -> Result<Self, Error> {
        let (dir, binaries) = (dir.to_owned(), binaries.map(Path::to_owned));
        match tokio::task::spawn_blocking(move || Self::start_blocking(&dir, binaries.as_deref()))
            .await
        {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }

    fn start_blocking(dir: &Path, binaries: Option<&Path>) -> Result<Self, Error> {
        let home = Home::open(dir, binaries)?;
        let _only_one_at_a_time = home.lock()?;
        let seed = home.seed()?;
        if !home.data().join("PG_VERSION").exists() {
            home.initialise(&password(&seed, ADMIN))?;
        }
        if home.stopping().exists() {
            // Whoever began to stop it was killed. A server that may go at any moment is of no use to anybody.
            home.stop()?;
        }
        let port = match home.running_port()? {
            Some(port) => port,
            None => home.start()?,
        };
        let users = home.file("users")?;
        users.lock_shared().map_err(at(&home.dir))?;
        Ok(Self {
            home,
            port,
            seed,
            users: Some(users),
        })
    }

    /// Its superuser, in the database `postgres`.
    pub fn admin(&self) -> Credentials {
        Credentials {
            secret: "the private PostgreSQL".to_owned(),
            host: "127.0.0.1".to_owned(),
            port: self.port,
            dbname: "postgres".to_owned(),
            username: ADMIN.to_owned(),
            password: password(&self.seed, ADMIN),
            sslmode: SslMode::Disable,
            sslrootcert: None,
        }
    }

    /// An operational store of that name, made or found: the owner's credentials and the reader's. Passwords stay the
    /// same as long as the folder does.
    pub async fn store(&self, database: &str) -> Result<(Credentials, Credentials), Failure> {
        let admin = self.admin();
        create_database(&admin, database).await?;
        let admin = Credentials {
            dbname: database.to_owned(),
            ..admin
        };
        let role = |name: String| admin.with_role(&name, &password(&self.seed, &name));
        let (owner, reader) = (
            role(format!("{database}_owner")),
            role(format!("{database}_reader")),
        );
        bootstrap(&admin, &owner, &reader).await?;
        Ok((owner, reader))
    }

    /// An operational store that nobody else has, and nothing lies in: another one for each call. `purpose` is what its name
    /// begins with.
    pub async fn fresh_store(&self, purpose: &str) -> Result<(Credentials, Credentials), Failure> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{purpose}_{}_{number}", std::process::id());
        let admin = self.admin();
        // An earlier process may have had the same number.
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", identifier(&name));
        let dropped = connect(&admin, "millrace")
            .await?
            .batch_execute(&drop)
            .await;
        dropped.map_err(|error| crate::failure(&error, &admin, "drop the database"))?;
        self.store(&name).await
    }

    /// The folder in which it lies. It is not the one that was asked for where the user that runs the server could not
    /// have reached that.
    pub fn dir(&self) -> &Path {
        &self.home.dir
    }

    /// Stops it, if nobody else uses it. Says whether it did.
    pub async fn stop(mut self) -> Result<bool, Error> {
        match tokio::task::spawn_blocking(move || self.leave()).await {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }

    fn leave(&mut self) -> Result<bool, Error> {
        let Some(users) = self.users.take() else {
            return Ok(false);
        };
        let _only_one_at_a_time = self.home.lock()?;
        drop(users);
        let last = self.home.file("users")?;
        if last.try_lock().is_err() {
            return Ok(false);
        }
        self.home.stop().map(|()| true)
    }
}

impl Drop for PrivateServer {
    fn drop(&mut self) {
        if let Err(error) = self.leave() {
            tracing::warn!(%error, "the private PostgreSQL was not stopped");
        }
    }
}

/// Makes a database, or finds it made.
async fn create_database(admin: &Credentials, database: &str) -> Result<(), Failure> {
    let client = connect(admin, "millrace").await?;
    let create = async {
        // There is no `IF NOT EXISTS` for databases, and the server may be at it still for somebody who was killed.
        setup_lock(&client).await?;
        let exists = client
            .query_opt("SELECT 1 FROM pg_database WHERE datname = $1", &[&database])
            .await?
            .is_some();
        if !exists {
            let create = format!("CREATE DATABASE {}", identifier(database));
            client.batch_execute(&create).await?;
        }
        Ok(())
    };
    create
        .await
        .map_err(|error| crate::failure(&error, admin, "create the database"))
}

const ADMIN: &str = "postgres";

/// A role's password: derived, so that one secret file is enough.
fn password(seed: &str, role: &str) -> String {
    hex::encode(&Sha256::digest(format!("{seed}/{role}"))[..16])
}

/// What is the same for every version of the server. No sockets: their paths are limited to about 100 bytes, which the
/// path of a checkout may well exceed.
const SETTINGS: &str = "
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
fsync = off
synchronous_commit = off
full_page_writes = off
max_connections = 100
log_min_messages = warning
timezone = 'UTC'
log_timezone = 'UTC'
";

/// The folder of a server: `data/`, `log`, `seed` (of the passwords), `lock`, `users`, and `stopping` while it is stopped.
#[derive(Debug)]
struct Home {
    dir: PathBuf,
    binaries: Binaries,
    run_as: Option<RunAs>,
}

impl Home {
    fn open(dir: &Path, binaries: Option<&Path>) -> Result<Self, Error> {
        fs::create_dir_all(dir).map_err(at(dir))?;
        let dir = dir.canonicalize().map_err(at(dir))?;
        let run_as = RunAs::needed_in(&dir)?;
        let dir = match &run_as {
            Some(user) => user.reachable(dir)?,
            None => dir,
        };
        let version = fs::read_to_string(dir.join("data/PG_VERSION")).ok();
        let binaries = Binaries::find(binaries, version.as_deref().map(str::trim))?;
        Ok(Self {
            dir,
            binaries,
            run_as,
        })
    }

    fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// The file that says that somebody has begun to stop the server.
    fn stopping(&self) -> PathBuf {
        self.dir.join("stopping")
    }

    fn file(&self, name: &str) -> Result<File, Error> {
        let path = self.dir.join(name);
        File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(at(&path))
    }

    fn lock(&self) -> Result<File, Error> {
        let file = self.file("lock")?;
        file.lock().map_err(at(&self.dir))?;
        Ok(file)
    }

    /// What the passwords are derived from.
    fn seed(&self) -> Result<String, Error> {
        let path = self.dir.join("seed");
        match fs::read_to_string(&path) {
            Ok(seed) if !seed.is_empty() => return Ok(seed),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(&path)(error)),
            _ => {}
        }
        let seed = hex::encode(rand::rng().random::<[u8; 32]>());
        run_as::write_private(&path, &seed, None).map_err(at(&path))?;
        Ok(seed)
    }

    /// Makes the data folder, whole or not at all: it is made beside, and renamed.
    fn initialise(&self, password: &str) -> Result<(), Error> {
        // Under a name of its own: the initdb of a process that was killed may still be writing to another.
        let attempt = rand::random::<u64>();
        let fresh = self.dir.join(format!("data.new-{attempt:016x}"));
        let password_file = self.dir.join(format!("password.new-{attempt:016x}"));
        run_as::write_private(&password_file, password, self.run_as.as_ref())
            .map_err(at(&password_file))?;
        let output = self
            .command("initdb")
            .arg("--pgdata")
            .arg(&fresh)
            .arg("--pwfile")
            .arg(&password_file)
            .args([
                "--username",
                ADMIN,
                "--auth",
                "scram-sha-256",
                "--encoding",
                "UTF8",
                "--locale",
                "C",
                "--no-sync",
            ])
            .output();
        fs::remove_file(&password_file).map_err(at(&password_file))?;
        self.success("initdb", output)?;
        let conf = fresh.join("postgresql.conf");
        let settings = fs::read_to_string(&conf).map_err(at(&conf))? + SETTINGS;
        fs::write(&conf, settings).map_err(at(&conf))?;
        fs::rename(&fresh, self.data()).map_err(at(&fresh))
    }

    /// The port of the server that runs in this folder.
    fn running_port(&self) -> Result<Option<u16>, Error> {
        if !self.is_running()? {
            return Ok(None);
        }
        // A server that was just started, by a process that did not live to see it ready, is waited for.
        for _ in 0..100 {
            let pid_file =
                fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
            let lines: Vec<&str> = pid_file.lines().collect();
            if let (Some(port), Some(state)) = (lines.get(3), lines.get(7))
                && state.trim() == "ready"
            {
                return Ok(port.trim().parse().ok());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(None)
    }

    /// Starts the server on a free port. Somebody else may take it between the look and the start; then another one
    /// is tried.
    fn start(&self) -> Result<u16, Error> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let port = free_port().map_err(at(&self.dir))?;
            match self.pg_ctl(&["start", "-w", "-t", "60", "-o", &format!("-p {port}")]) {
                Ok(_) => return Ok(port),
                Err(error) if attempts == 20 => return Err(self.with_log(error)),
                Err(_) => {
                    // The start that a killed process began may be under way still: it is waited for.
                    std::thread::sleep(Duration::from_millis(100));
                    if let Some(port) = self.running_port()? {
                        return Ok(port);
                    }
                }
            }
        }
    }

    /// Stops the server, if it runs. Whoever comes after a kill in between finds the note, and does it again.
    fn stop(&self) -> Result<(), Error> {
        let note = self.stopping();
        File::create(&note).map_err(at(&note))?;
        if self.is_running()? {
            self.pg_ctl(&["stop", "-w", "-m", "fast"])?;
        }
        fs::remove_file(&note).map_err(at(&note))
    }

    fn is_running(&self) -> Result<bool, Error> {
        let status = self
            .command("pg_ctl")
            .arg("status")
            .arg("-D")
            .arg(self.data())
            .output();
        Ok(status.map_err(at(&self.binaries.dir))?.status.success())
    }

    /// The error, and the end of the server's log.
    fn with_log(&self, error: Error) -> Error {
        let log = fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        let last: Vec<&str> = log.lines().rev().take(5).collect();
        match error {
            Error::Program { program, dir, text } => {
                let last: Vec<&str> = last.into_iter().rev().collect();
                Error::Program {
                    program,
                    dir,
                    text: format!("{text}; its log ends with: {}", last.join(" / ")),
                }
            }
            other => other,
        }
    }

    fn pg_ctl(&self, arguments: &[&str]) -> Result<Output, Error> {
        let output = self
            .command("pg_ctl")
            .args(arguments)
            .arg("-D")
            .arg(self.data())
            .arg("-l")
            .arg(self.dir.join("log"))
            .output();
        self.success("pg_ctl", output)
    }

    fn success(&self, program: &'static str, output: io::Result<Output>) -> Result<Output, Error> {
        let output = output.map_err(at(&self.binaries.dir.join(program)))?;
        if output.status.success() {
            return Ok(output);
        }
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text)
            .lines()
            .map(str::trim)
            .collect::<Vec<_>>()
            .join(" ");
        Err(Error::Program {
            program,
            dir: self.dir.clone(),
            text: text.trim().to_owned(),
        })
    }

    /// One of PostgreSQL's programs, told nothing by the environment: `PGDATA`, `PGPORT` and their like are meant for
    /// another server.
    fn command(&self, program: &str) -> std::process::Command {
        let mut command = std::process::Command::new(self.binaries.dir.join(program));
        let kept =
            std::env::vars_os().filter(|(name, _)| !name.to_string_lossy().starts_with("PG"));
        command
            .env_clear()
            .envs(kept)
            .env("LC_ALL", "C")
            .current_dir(&self.dir)
            .stdin(std::process::Stdio::null());
        if let Some(user) = &self.run_as {
            user.apply(&mut command);
        }
        command
    }
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
