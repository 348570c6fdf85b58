//! What `make bench-transform` measures: pages in a folder as raw payloads, and raw payloads as Delta tables.
//!
//! `prepare <lake> <pages> <write> [keep] [lenient]` puts the pages in the lake as a run that was pulled, whose lists become
//! child tables or are kept as lists, and whose unreadable records fail it or are kept out; `run <lake>` takes it, and prints
//! seconds and the process's peak memory as JSON. Two processes, so that the second one's memory is the step's own.
//! `rows <pages> <first> <count> <apart> <version>` writes pages of small rows whose ids lie so far apart.

use bytes::Bytes;
use indexmap::IndexMap;
use millrace_model::definition::format::Format;
use millrace_model::definition::pipeline::{
    Concurrency, Contract, Nesting, OnList, OnRefusal, OnUnreadable, Paginate, Pipeline,
    RequestForm, Resource, Slices, Table, WriteMode,
};
use millrace_model::definition::{FieldPath, Pinned};
use millrace_model::keys;
use millrace_model::ledger::RunId;
use millrace_model::mode::RunMode;
use millrace_model::raw::{Manifest, Origin, Page, Position};
use millrace_model::state::{Extent, PartitionCursors, ResourceState};
use millrace_model::step::{Deadline, StepInput, Unobserved};
use millrace_store::objects::{Folder, Objects};
use millrace_store::{LakeUrl, definitions, json};
use millrace_transform::Transform;
use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

const PIPELINE: &str = "bench";
const NAME: &str = "orders";
/// Where the step's input lies between the two processes.
const INPUT: &str = "bench/input.json";
/// How many compressed bytes ingest puts into a segment.
const SEGMENT_BYTES: usize = 8 * 1024 * 1024;

/// How many small rows a page has.
const PAGE_ROWS: usize = 5_000;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["prepare", lake, pages, write, ref how @ ..] => {
            prepare(lake, Path::new(pages), write, how).await
        }
        ["run", lake] => run(lake).await,
        ["rows", pages, first, count, apart, version] => rows(
            Path::new(pages),
            first.parse()?,
            count.parse()?,
            apart.parse()?,
            version,
        ),
        _ => Err("the words are told at the top of this example".into()),
    }
}

async fn prepare(
    lake: &str,
    pages: &Path,
    write: &str,
    how: &[&str],
) -> Result<(), Box<dyn Error>> {
    let objects: Arc<dyn Objects> = Arc::new(Folder::new(Path::new(lake)));
    let write: WriteMode = serde_json::from_value(write.into())?;
    let key = keys::state(PIPELINE, NAME);
    let mut state: ResourceState = json::get(&*objects, &key).await?.unwrap_or_default();
    let second = i64::try_from(state.sequence)? + 1_767_225_600;
    let run = RunId::new(PIPELINE, second, 0);
    let segments = pull(&*objects, &run, pages).await?;
    state.complete(&run, segments, 0, None, Extent::Usual);
    json::put(&*objects, &key, &state).await?;
    let definition = definitions::pin(&*objects, &pinned(write, how)).await?;
    let input = StepInput {
        run,
        pipeline: PIPELINE.to_owned(),
        definition,
        name: NAME.to_owned(),
        invocation: 0,
    };
    json::put(&*objects, INPUT, &input).await?;
    Ok(())
}

async fn run(lake: &str) -> Result<(), Box<dyn Error>> {
    let objects: Arc<dyn Objects> = Arc::new(Folder::new(Path::new(lake)));
    let input: StepInput = json::get(&*objects, INPUT)
        .await?
        .ok_or("prepare comes first")?;
    let location = LakeUrl::Folder {
        path: PathBuf::from(lake),
    };
    let started = Instant::now();
    let output = Transform::new(objects, location)
        .run(&input, Deadline::NONE, &Unobserved)
        .await?;
    let seconds = started.elapsed().as_secs_f64();
    let report = serde_json::json!({
        "seconds": seconds,
        "peak_mib": peak_mib(),
        "counts": output.counts,
    });
    println!("{report}");
    Ok(())
}

/// Puts the pages as ingest would have, segment by segment; says how many there are.
async fn pull(objects: &dyn Objects, run: &RunId, pages: &Path) -> Result<u32, Box<dyn Error>> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(pages)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.sort();
    let (mut segment, mut bytes, mut listed) = (0, Vec::new(), Vec::new());
    let last = files.len().saturating_sub(1);
    for (index, file) in files.iter().enumerate() {
        let body = std::fs::read(file)?;
        let frame = zstd::bulk::compress(&body, 1)?;
        listed.push(Page {
            url: format!("https://bench.test/orders?page={index}"),
            status: 200,
            content_type: Some("application/json".to_owned()),
            requested_at: "2026-01-01T00:00:00Z".to_owned(),
            offset: bytes.len() as u64,
            length: frame.len() as u64,
            body_length: body.len() as u64,
            sha256: String::new(),
            records: 0,
            rewritten: false,
            origin: Origin::default(),
        });
        bytes.extend(frame);
        if bytes.len() >= SEGMENT_BYTES || index == last {
            let object = keys::raw_segment(PIPELINE, NAME, run, segment, "bench");
            let body = Bytes::from(std::mem::take(&mut bytes));
            objects.put(&object, body).await?;
            let manifest = Manifest {
                segment,
                start: None,
                starts: PartitionCursors::new(),
                paginate: None,
                object: Some(object),
                pages: std::mem::take(&mut listed),
                next: Position::End,
                cursor: None,
                cursors: PartitionCursors::new(),
                requests: 0,
                committed_at: "2026-01-01T00:00:00Z".to_owned(),
                written_by: "cli".to_owned(),
            };
            let key = keys::raw_manifest(PIPELINE, NAME, run, segment);
            json::put(objects, &key, &manifest).await?;
            segment += 1;
        }
    }
    Ok(segment)
}

fn pinned(write: WriteMode, how: &[&str]) -> Pinned {
    let mut nesting = Nesting::default();
    if how.contains(&"keep") {
        nesting.lists = OnList::Keep;
    }
    let mut contract = Contract::default();
    if how.contains(&"lenient") {
        contract.unreadable = OnUnreadable::Quarantine;
    }
    let resource = Resource {
        name: NAME.to_owned(),
        connection: "bench".to_owned(),
        rate_scope: None,
        path: String::new(),
        params: BTreeMap::new(),
        headers: BTreeMap::new(),
        request: RequestForm::default(),
        slices: Slices::default(),
        on_refusal: OnRefusal::default(),
        report: None,
        paginate: Paginate::None,
        format: Format::default(),
        records: FieldPath(String::new()),
        incremental: None,
        personal_data: None,
        filter: None,
        answers: Vec::new(),
        key: Vec::new(),
    };
    let table = Table {
        name: NAME.to_owned(),
        from: NAME.to_owned(),
        write,
        key: vec!["id".to_owned()],
        order: None,
        delete: None,
        contract,
        nesting,
        columns: IndexMap::new(),
        expect: Vec::new(),
        keep_versions: std::time::Duration::from_hours(7 * 24),
    };
    let pipeline = Pipeline {
        name: PIPELINE.to_owned(),
        description: "Measured.".to_owned(),
        schedule: None,
        concurrency: Concurrency::Forbid,
        config: BTreeMap::new(),
        resources: vec![resource],
        tables: vec![table],
        models: Vec::new(),
        publish: Vec::new(),
    };
    Pinned {
        pipeline,
        connections: Vec::new(),
        endpoints: Vec::new(),
        mode: RunMode::default(),
    }
}

/// Writes pages of small rows, as lists and as lines.
fn rows(
    pages: &Path,
    first: u64,
    count: u64,
    apart: u64,
    version: &str,
) -> Result<(), Box<dyn Error>> {
    for form in ["json", "ndjson"] {
        let folder = pages.join(form);
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(folder)?;
    }
    for (number, page) in (0..count).step_by(PAGE_ROWS).enumerate() {
        let rows: Vec<String> = (page..count.min(page + PAGE_ROWS as u64))
            .map(|row| small(first + row * apart, version))
            .collect();
        let list = format!("[{}]", rows.join(","));
        std::fs::write(pages.join(format!("json/{number:05}.json")), list)?;
        let lines = rows.join("\n") + "\n";
        std::fs::write(pages.join(format!("ndjson/{number:05}.ndjson")), lines)?;
    }
    Ok(())
}

/// A row that hardly compresses.
fn small(id: u64, version: &str) -> String {
    let noise = (id ^ version.len() as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    format!(
        r#"{{"id":{id},"code":"{noise:016x}","version":"{version}","amount":{}.5,"quantity":{},"status":"{}"}}"#,
        noise % 100_000,
        noise % 97,
        ["open", "paid", "sent"][(noise % 3) as usize],
    )
}

/// The most memory that the process had, in MiB; 0 where the system does not say.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
        .map_or(0, |kib| kib / 1024)
}
