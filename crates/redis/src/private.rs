//! A Redis of one's own, from the binary that the machine has: what tests run against, and what the command line
//! publishes into. It listens on 127.0.0.1 alone, on a free port, asks for a password, and keeps nothing: what lies in it
//! can be made again from the lake.

use crate::connection::connect;
use crate::credentials::Credentials;
use millrace_model::Failure;
use std::io::{self, Write as _};
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Starts the server and ends it when whoever started it has gone, however that came about: then nobody holds the other
/// end of this shell's input any more. What comes before a line with a dot is the server's configuration.
const KEEPER: &str = r#"
config=$(while IFS= read -r line && [ "$line" != . ]; do printf '%s\n' "$line"; done)
printf '%s\n' "$config" | "$0" - &
server=$!
while read -r _; do :; done
kill -9 "$server"
"#;
/// How long a server may take until it answers.
const START: Duration = Duration::from_secs(10);
/// Where systems put it, beside what `PATH` names.
const PLACES: [&str; 3] = ["/usr/bin", "/usr/local/bin", "/opt/homebrew/bin"];
/// What the owner may do: what publish does, and nothing else.
const OWNER: &str =
    "-@all +@read +@write +@transaction +@connection +time -keys -scan -flushall -flushdb ~*";
/// What the reader may do: look up.
const READER: &str = "-@all +get +mget +hgetall +hget +hlen ~*";

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The machine has none.
    #[error(
        "no redis-server was found in {0}; install one (Debian: `apt install redis-server`, macOS: `brew install redis`) or \
         name the program"
    )]
    NoBinary(String),
    /// It did not start.
    #[error("the private Redis: {0}")]
    Io(#[from] io::Error),
    /// It runs, but cannot be used.
    #[error(transparent)]
    Store(#[from] Failure),
}

/// A server that runs. It stops when it is dropped, and when this process ends without that.
#[derive(Debug)]
pub struct PrivateServer {
    binary: PathBuf,
    config: String,
    /// The shell that runs [`KEEPER`].
    keeper: Child,
    port: u16,
    password: String,
}

impl PrivateServer {
    /// A new server, from that program; none looks in `PATH` and where systems put it.
    pub async fn start(binary: Option<&Path>) -> Result<Self, Error> {
        Self::start_with(binary, "").await
    }

    /// The same with more lines of configuration; `{port}` in them is its port, and another one is closed then.
    pub async fn start_with(binary: Option<&Path>, config: &str) -> Result<Self, Error> {
        let binary = find(binary)?;
        let password = hex::encode(rand::random::<[u8; 16]>());
        // Let go again, so that the server can have it. Who takes it in between makes the start fail.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let plain = if config.contains("{port}") { 0 } else { port };
        let config = format!(
            "bind 127.0.0.1\nport {plain}\nsave \"\"\nappendonly no\ndaemonize no\nloglevel warning\ndir /\n\
             user default off\nuser owner on >{password} {OWNER}\nuser reader on >{password} {READER}\n\
             user admin on >{password} +@all ~* &*\n{}\n",
            config.replace("{port}", &port.to_string())
        );
        let keeper = run(&binary, &config)?;
        let server = Self {
            binary,
            config,
            keeper,
            port,
            password,
        };
        server.wait().await?;
        Ok(server)
    }

    /// Who may do everything.
    pub fn admin(&self) -> Credentials {
        self.user("admin")
    }

    /// Who publishes.
    pub fn owner(&self) -> Credentials {
        self.user("owner")
    }

    /// Who serves.
    pub fn reader(&self) -> Credentials {
        self.user("reader")
    }

    fn user(&self, name: &str) -> Credentials {
        Credentials {
            secret: "the private Redis".to_owned(),
            host: "127.0.0.1".to_owned(),
            port: self.port,
            username: name.to_owned(),
            password: self.password.clone(),
            tls: false,
            tls_ca: None,
        }
    }

    /// Ends it as a crash of its machine would: what was in it is gone.
    pub fn kill(&mut self) -> Result<(), Error> {
        drop(self.keeper.stdin.take());
        self.keeper.wait()?;
        Ok(())
    }

    /// Starts it again at the same address, with the same users and nothing else in it.
    pub async fn start_again(&mut self) -> Result<(), Error> {
        self.kill()?;
        self.keeper = run(&self.binary, &self.config)?;
        self.wait().await
    }

    async fn wait(&self) -> Result<(), Error> {
        let started = Instant::now();
        // It takes connections before it knows its users: who is let in is its admin. Over TLS the port being open must do.
        let is_plain = !self.config.contains("\nport 0\n");
        loop {
            let open = if is_plain {
                connect(self.admin(), START).await.map(drop)
            } else {
                let open = tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await;
                open.map(drop).map_err(|error| {
                    Failure::new(millrace_model::FailureName::Transient, error.to_string())
                })
            };
            match open {
                Ok(()) => return Ok(()),
                Err(failure) if started.elapsed() > START => return Err(failure.into()),
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }
}

impl Drop for PrivateServer {
    fn drop(&mut self) {
        // One that has ended already needs no ending.
        self.kill().ok();
    }
}

/// Starts the program, and tells it its configuration where nobody else sees it: not in a file, nor in its arguments. What
/// a terminal tells this process, a Ctrl-C, is not for the server, which is to answer until the end.
fn run(binary: &Path, config: &str) -> Result<Child, Error> {
    let mut keeper = Command::new("sh")
        .arg("-c")
        .arg(KEEPER)
        .arg(binary)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()?;
    if let Some(stdin) = &mut keeper.stdin {
        stdin.write_all(config.as_bytes())?;
        stdin.write_all(b"\n.\n")?;
    }
    Ok(keeper)
}

fn find(given: Option<&Path>) -> Result<PathBuf, Error> {
    if let Some(given) = given {
        let missing = || Error::NoBinary(given.display().to_string());
        return given
            .is_file()
            .then(|| given.to_owned())
            .ok_or_else(missing);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(PLACES.iter().map(PathBuf::from));
    let mut programs = folders.map(|folder| folder.join("redis-server"));
    let missing = || Error::NoBinary(format!("PATH, {}", PLACES.join(", ")));
    programs
        .find(|program| program.is_file())
        .ok_or_else(missing)
}
