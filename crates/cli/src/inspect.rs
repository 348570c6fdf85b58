//! `millrace table`: what a table is, and what happened to it.

use crate::conduct::told;
use crate::lake::LakeArgs;
use crate::table::{bold, bytes, grouped, rows};
use crate::workspace::Workspace;
use anyhow::Context;
use arrow::datatypes::DataType;
use clap::Args;
use millrace_lake::Lake;
use millrace_model::keys;
use millrace_model::ledger::{Run, StepRecord, step_name};
use millrace_model::step::StepKind;
use millrace_store::ledger::{Filter, Ledger};
use std::process::ExitCode;

/// How many versions are told.
const VERSIONS: usize = 10;
/// How many runs are looked through for the last one that came to the table.
const RUNS: usize = 20;

/// Shows a table: its columns, rows and files, its last versions, and what the last run did to it.
#[derive(Args)]
pub struct Table {
    /// The pipeline.
    pipeline: String,
    /// The table; a child table by its whole name, `quakes__tags`.
    #[arg(value_name = "TABLE")]
    name: String,
    #[command(flatten)]
    lake: LakeArgs,
}

impl Table {
    /// Shows it.
    pub async fn show(self, workspace: &Workspace) -> anyhow::Result<ExitCode> {
        let (url, objects) = self.lake.open(workspace).await?;
        let lake = Lake::at(&url.to_string())?;
        let key = keys::table(&self.pipeline, &self.name);
        let table = lake.table(&key).await?.with_context(|| {
            format!(
                "there is no table {key} yet: `millrace run {}` makes it",
                self.pipeline
            )
        })?;
        let last = self.last_step(&Ledger::new(objects)).await?;
        let files = table.files();
        let size = files.iter().map(|file| file.size).sum();
        let of_runs = match &last {
            // A model's number tells it from those of other runs, and counts nothing.
            Some((_, step)) if step.kind == StepKind::Refine => String::new(),
            _ => format!(", of runs up to number {}", table.sequence().await?),
        };
        println!(
            "{}  version {}, {} rows in {} files, {}{}",
            bold(&self.name),
            table.version(),
            table.rows().map_or("?".to_owned(), grouped),
            files.len(),
            bytes(size),
            of_runs
        );
        let columns = table.schema();
        let columns = columns.fields().iter();
        let columns = columns.map(|field| vec![field.name().clone(), type_name(field.data_type())]);
        println!(
            "{}",
            rows(&["column".into(), "type".into()], columns.collect())
        );
        let history = table.history(VERSIONS).await?;
        let versions = history.into_iter().map(|entry| {
            vec![
                entry.version.to_string(),
                entry.at,
                entry.kind,
                format!("+{} −{}", entry.files_added, entry.files_removed),
                format!(
                    "+{} −{}",
                    grouped(entry.rows_added),
                    entry.rows_removed.map_or("?".to_owned(), grouped)
                ),
            ]
        });
        let head = ["version", "at", "write", "files", "rows in them"].map(str::to_owned);
        println!("{}", rows(&head, versions.collect()));
        if let Some((run, step)) = &last {
            tell(run, step);
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The last of the newest runs that came to the table, and what it did there.
    async fn last_step(&self, ledger: &Ledger) -> anyhow::Result<Option<(Run, StepRecord)>> {
        let filter = Filter {
            pipeline: Some(self.pipeline.clone()),
            status: None,
        };
        let root = self.name.split("__").next().unwrap_or(&self.name);
        for run in ledger.list(&filter, None, RUNS).await?.runs {
            for kind in [StepKind::Transform, StepKind::Refine] {
                if let Some(step) = run.steps.get(&step_name(kind, root)) {
                    let step = step.clone();
                    return Ok(Some((run, step)));
                }
            }
        }
        Ok(None)
    }
}

/// Says what a run did to the table, and what it found out about it.
fn tell(run: &Run, step: &StepRecord) {
    let outcome = match (&step.failure, step.done) {
        (Some(failure), _) => failure.to_string(),
        (None, true) => told(&step.counts),
        (None, false) => "under way".to_owned(),
    };
    println!("{} {}: {outcome}", bold("last run"), run.run);
    for finding in step.findings.iter().filter(|finding| finding.is_news()) {
        println!("  {finding}");
    }
}

/// A type as an author writes it.
fn type_name(kind: &DataType) -> String {
    match kind {
        DataType::Utf8 => "string".to_owned(),
        DataType::Int64 => "int".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Boolean => "bool".to_owned(),
        DataType::Date32 => "date".to_owned(),
        DataType::Timestamp(..) => "timestamp".to_owned(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision},{scale})"),
        DataType::List(element) => format!("list of {}", type_name(element.data_type())),
        DataType::Struct(fields) => {
            let fields = fields.iter();
            let fields: Vec<String> = fields
                .map(|field| format!("{}: {}", field.name(), type_name(field.data_type())))
                .collect();
            format!("struct of {}", fields.join(", "))
        }
        other => other.to_string(),
    }
}
