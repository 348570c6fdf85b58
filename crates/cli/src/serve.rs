//! `millrace serve`: the endpoints over HTTP, from what the pipelines have made on this machine.

use crate::conduct::Conductor;
use crate::postgres;
use crate::redis;
use crate::sources;
use crate::table::{bold, green};
use crate::workspace::{Workspace, write_whole};
use anyhow::Context;
use clap::Args;
use millrace_serve::{Serve as Service, server};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// How often the definitions' files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Serves the endpoints over HTTP, from what the pipelines have made on this machine.
///
/// What is not published yet is published first, into a private PostgreSQL, and a private Redis where a pipeline
/// publishes there. A change of an endpoint's file takes effect
/// within seconds.
#[derive(Args)]
pub struct Serve {
    /// The port on 127.0.0.1; a free one unless said otherwise.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Ends the server that an earlier `millrace demo` left running for this folder.
    #[arg(long)]
    stop: bool,
}

/// Where a server listens, and what it is, for those who look for it.
#[derive(Serialize, Deserialize)]
pub struct Running {
    /// Its process.
    pub pid: u32,
    /// Where it listens.
    pub url: String,
    /// The consumer's key of this machine.
    pub key: String,
}

impl Serve {
    /// Serves until it is told to stop.
    pub async fn serve(self, workspace: &Workspace) -> anyhow::Result<ExitCode> {
        if self.stop {
            stop(workspace)?;
            return Ok(ExitCode::SUCCESS);
        }
        let set = workspace.valid_definitions()?;
        let store = postgres::start(&workspace.state("postgres")?).await?;
        let key = workspace.consumer_key()?;
        let redis = redis::start(&set).await?;
        let made = [store.secrets(&key), redis::secrets(redis.as_ref())].concat();
        let secrets = workspace.secrets(&made);
        let conductor = Conductor::new(workspace, Arc::clone(&secrets))?;
        conductor.keep_definitions(workspace).await?;
        for line in conductor.publish_everything(&set).await? {
            println!("{line}");
        }
        let sources = sources::of_workspace(workspace, &secrets)?;
        let sources = redis::beside(sources, redis.as_ref(), &secrets);
        let service = Service::new(workspace.objects()?, secrets, sources);
        let listener = TcpListener::bind(("127.0.0.1", self.port))
            .await
            .with_context(|| {
                format!(
                    "cannot listen on port {}: choose another with --port",
                    self.port
                )
            })?;
        let url = format!("http://{}", listener.local_addr()?);
        let file = workspace.state("serve.json")?;
        let running = Running {
            pid: std::process::id(),
            url: url.clone(),
            key: key.clone(),
        };
        write_whole(&file, &serde_json::to_vec(&running)?)?;
        println!("{} {}", green("serving"), bold(&url));
        for endpoint in set.endpoints.values() {
            for route in &endpoint.routes {
                let header = route
                    .auth
                    .as_ref()
                    .map_or(String::new(), |_| format!(" -H 'x-api-key: {key}'"));
                println!("  curl{header} '{url}{}'", route.path);
            }
        }
        println!("  {url}/docs   the documentation; {url}/openapi.json the contract");
        println!("  Ctrl-C ends it.");
        let followed = follow(workspace, &conductor);
        let served = server::run(listener, service, told_to_stop());
        tokio::select! {
            result = served => result.context("the server ended")?,
            result = followed => result?,
        }
        std::fs::remove_file(&file).ok();
        store.server.stop().await?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Keeps the definitions in the lake as they are in their files, so that `serve` finds changes where it does on AWS.
async fn follow(workspace: &Workspace, conductor: &Conductor) -> anyhow::Result<()> {
    let mut known = workspace.files()?;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let files = workspace.files()?;
        if files != known {
            let (_, problems) = workspace.definitions()?;
            for problem in &problems {
                eprintln!("{problem}");
            }
            conductor.keep_definitions(workspace).await?;
            known = files;
        }
    }
}

async fn told_to_stop() {
    let (Ok(mut interrupt), Ok(mut terminate)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// Starts a server that outlives this process, and waits until it answers.
pub async fn start_apart(workspace: &Workspace) -> anyhow::Result<Running> {
    stop(workspace)?;
    let log = workspace.state("serve.log")?;
    let file =
        std::fs::File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    let mut child = {
        use std::os::unix::process::CommandExt;
        Command::new(std::env::current_exe()?)
            .arg("--directory")
            .arg(&workspace.directory)
            .arg("--state")
            .arg(workspace.state("")?)
            .arg("serve")
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .process_group(0)
            .spawn()
            .context("cannot start the server")?
    };
    let started = Instant::now();
    loop {
        if let Some(running) = running(workspace)?
            && running.pid == child.id()
        {
            return Ok(running);
        }
        let ended = child.try_wait()?.is_some();
        anyhow::ensure!(
            !ended && started.elapsed() < Duration::from_mins(1),
            "the server did not start; its last words:\n{}",
            std::fs::read_to_string(&log).unwrap_or_default()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn running(workspace: &Workspace) -> anyhow::Result<Option<Running>> {
    let file: PathBuf = workspace.state("serve.json")?;
    let Ok(text) = std::fs::read(file) else {
        return Ok(None);
    };
    Ok(serde_json::from_slice(&text).ok())
}

/// Ends the server of this folder, if one runs, and waits until it is gone.
fn stop(workspace: &Workspace) -> anyhow::Result<()> {
    let Some(running) = running(workspace)? else {
        return Ok(());
    };
    let pid = running.pid.to_string();
    // The number may belong to somebody else by now: only a `millrace` is told to stop.
    let name = Command::new("ps")
        .args(["-o", "comm=", "-p", &pid])
        .output()
        .context("cannot run `ps`")?;
    if String::from_utf8_lossy(&name.stdout)
        .trim()
        .ends_with("millrace")
    {
        Command::new("kill")
            .arg(&pid)
            .status()
            .context("cannot run `kill`")?;
        let until = Instant::now() + Duration::from_secs(20);
        while Command::new("kill")
            .args(["-0", &pid])
            .stderr(Stdio::null())
            .status()?
            .success()
        {
            anyhow::ensure!(
                Instant::now() < until,
                "the server (process {pid}) does not end: kill it yourself"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        println!("the server is stopped");
    }
    std::fs::remove_file(workspace.state("serve.json")?).ok();
    Ok(())
}
