//! What `make bench-ingest` measures of Millrace: a pull into the lake of the environment (`MILLRACE_LAKE`), as the Lambda
//! does it, and the bare download beside it.
//!
//! ```text
//! bench-ingest pull URL PATH     follows the links from there; prints seconds and counts as JSON
//! bench-ingest download URL N    gets URL/00000.json to the N-th one after the other, and looks at no byte of them
//! ```

use anyhow::{Context, bail};
use millrace_ingest::Ingest;
use millrace_model::definition::set::DefinitionSet;
use millrace_model::ledger::RunId;
use millrace_model::step::{Deadline, StepInput, Unobserved};
use millrace_runtime::{Aws, Environment};
use millrace_store::definitions;
use std::time::{Duration, Instant};

/// How long a Lambda lives: the pull is to be what it is there.
const LAMBDA: Duration = Duration::from_mins(15);

#[tokio::main(worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let report = match words.as_slice() {
        ["pull", url, path] => pull(url, path).await?,
        ["download", url, pages] => download(url, pages.parse()?).await?,
        _ => bail!("bench-ingest pull URL PATH, or bench-ingest download URL N"),
    };
    println!("{report}");
    Ok(())
}

async fn pull(url: &str, path: &str) -> anyhow::Result<serde_json::Value> {
    let environment = Environment::from_env();
    let aws = Aws::load(&environment).await;
    let objects = aws.objects(&environment.lake()?);
    let connection = format!("connection: site\nbase_url: {url}\n");
    let pipeline = format!(
        "pipeline: bench\nresources:\n  - name: orders\n    connection: site\n    path: {path}\n    records: results\n    \
         paginate: {{ next_link: {{ path: next }} }}\n    key: [id]\n"
    );
    let (set, problems) = DefinitionSet::parse([
        ("connections/site.yaml".to_owned(), connection),
        ("pipelines/bench.yaml".to_owned(), pipeline),
    ]);
    if let Some(problem) = problems.first() {
        bail!("{problem}");
    }
    let pinned = set
        .pin("bench")
        .ok()
        .context("the pipeline cannot be pinned")?;
    let input = StepInput {
        run: RunId::new("bench", 1_517_961_600, std::process::id()),
        pipeline: "bench".to_owned(),
        definition: definitions::pin(objects.as_ref(), &pinned).await?,
        name: "orders".to_owned(),
        invocation: 0,
    };
    let ingest = Ingest::new(objects, aws.secrets());
    let began = Instant::now();
    let output = ingest
        .run(&input, Deadline::after(LAMBDA), &Unobserved)
        .await?;
    Ok(serde_json::json!({
        "seconds": began.elapsed().as_secs_f64(),
        "next": output.next,
        "counts": output.counts,
    }))
}

async fn download(url: &str, pages: u32) -> anyhow::Result<serde_json::Value> {
    let client = reqwest::Client::new();
    let began = Instant::now();
    let mut bytes = 0;
    for page in 0..pages {
        let mut answer = client
            .get(format!("{url}/{page:05}.json"))
            .send()
            .await?
            .error_for_status()?;
        while let Some(piece) = answer.chunk().await? {
            bytes += piece.len();
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    Ok(serde_json::json!({ "seconds": seconds, "counts": { "requests": pages, "bytes": bytes } }))
}
