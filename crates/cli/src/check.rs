//! `millrace check`: all definitions, all errors at once.

use crate::table::{green, red};
use crate::workspace::Workspace;
use std::process::ExitCode;

/// Prints every problem of every definition.
pub fn check(workspace: &Workspace) -> anyhow::Result<ExitCode> {
    let (set, problems) = workspace.definitions()?;
    for problem in &problems {
        println!("{problem}");
    }
    if problems.is_empty() {
        println!(
            "{} {} connections, {} pipelines, {} endpoints",
            green("ok:"),
            set.connections.len(),
            set.pipelines.len(),
            set.endpoints.len()
        );
        return Ok(ExitCode::SUCCESS);
    }
    let files: std::collections::BTreeSet<_> =
        problems.iter().map(|problem| &problem.file).collect();
    println!(
        "{} {} problems in {} files",
        red("not ok:"),
        problems.len(),
        files.len()
    );
    Ok(ExitCode::FAILURE)
}
