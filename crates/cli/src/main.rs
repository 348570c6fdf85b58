//! The `millrace` command: an author's tools, in one process, without a cloud.

mod cassette;
mod check;
mod conduct;
mod demo;
mod forget;
mod inspect;
mod lake;
mod new;
mod openapi;
mod postgres;
mod redis;
mod replay;
mod retry;
mod run;
mod scratch;
mod serve;
mod sources;
mod table;
mod test;
mod trial;
mod workspace;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Pull data from REST APIs, make tables of it, and serve them: what an author needs, in one process.
///
/// A connection says how a system is reached, a pipeline what is pulled and what it becomes, an endpoint what is
/// served. They are YAML files in connections/, pipelines/ and endpoints/.
#[derive(Parser)]
#[command(
    name = "millrace",
    version,
    after_help = "\
The first own pipeline:
  millrace new connection shop --base-url https://api.example.com
  millrace new pipeline orders --connection shop --path /orders
  millrace try orders            one page, with request, answer, records and paginator
  millrace run orders            pulls, makes tables, shows the first rows
  millrace new endpoint orders   a route over what the pipeline publishes
  millrace check                 says what is wrong, with file, line and field
  millrace test                  asks the endpoints what endpoints/tests/ says, and compares
  millrace serve                 the API, with its documentation, on this machine"
)]
struct Cli {
    /// The folder that holds connections/, pipelines/ and endpoints/.
    #[arg(
        long,
        short = 'C',
        global = true,
        default_value = ".",
        value_name = "FOLDER"
    )]
    directory: std::path::PathBuf,
    /// Where what is pulled is kept on this machine; `.millrace/local` in the folder unless said otherwise.
    #[arg(long, global = true, value_name = "FOLDER", env = "MILLRACE_STATE")]
    state: Option<std::path::PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Says everything that is wrong with the definitions; exit status 1 if anything is.
    Check(check::Check),
    /// Writes a first version of a definition.
    New(new::New),
    Try(trial::Try),
    Record(cassette::Record),
    /// Pulls one pipeline and makes its tables, in this process, into a local folder.
    Run(run::Run),
    /// Shows a table: its columns, rows and files, its last versions, and what they changed.
    Table(inspect::Table),
    /// Takes what was kept out of a table once more.
    Replay(replay::Replay),
    /// Erases what the lake keeps of one key.
    Forget(forget::Forget),
    /// Sends the requests of a pipeline again that its runs have given up.
    Retry(retry::Retry),
    /// Serves the endpoints over HTTP, from what the pipelines have made on this machine.
    Serve(serve::Serve),
    Test(test::Test),
    /// The whole way once, on the sample source or the real one: pull, tables, publish, serve.
    Demo(demo::Demo),
    /// The private PostgreSQL that stands in for the operational store on this machine.
    Postgres(postgres::Postgres),
}

fn main() -> ExitCode {
    // `millrace run orders | head` ends like any other command does.
    sigpipe::reset();
    let cli = Cli::parse();
    let filter =
        tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let workspace = workspace::Workspace::new(cli.directory, cli.state);
    match act(cli.command, &workspace) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{} {error:#}", table::red("error:"));
            ExitCode::FAILURE
        }
    }
}

fn act(command: Command, workspace: &workspace::Workspace) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let result = match command {
        Command::Check(check) => runtime.block_on(check.check(workspace)),
        Command::New(new) => new.write(workspace),
        Command::Try(trial) => runtime.block_on(trial.run(workspace)),
        Command::Record(record) => runtime.block_on(record.record(workspace)),
        Command::Run(run) => runtime.block_on(run.run(workspace)),
        Command::Table(table) => runtime.block_on(table.show(workspace)),
        Command::Replay(replay) => runtime.block_on(replay.replay(workspace)),
        Command::Forget(forget) => runtime.block_on(forget.forget(workspace)),
        Command::Retry(retry) => runtime.block_on(retry.run(workspace)),
        Command::Serve(serve) => runtime.block_on(serve.serve(workspace)),
        Command::Test(test) => runtime.block_on(test.run(workspace)),
        Command::Demo(demo) => runtime.block_on(demo.show(workspace)),
        Command::Postgres(postgres) => runtime.block_on(postgres.act(workspace)),
    };
    // A read of standard input or a blocking call that nobody waits for must not hold up the end.
    runtime.shutdown_background();
    result
}
