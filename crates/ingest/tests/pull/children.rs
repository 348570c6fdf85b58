//! A resource whose parent has 20,000 records: pulled by process after process, as by Lambdas, every other one of which is
//! killed.

use crate::plant::{Plant, json_of};
use crate::support::{limits, serve};
use axum::Router;
use axum::extract::{Path as Segment, Query, State};
use axum::response::Response;
use axum::routing::get;
use millrace_ingest::Limits;
use millrace_model::step::{Deadline, Next, Unobserved};
use millrace_store::objects::Folder;
use serde_json::json;
use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const URL: &str = "MILLRACE_TEST_CHILDREN_URL";
const FOLDER: &str = "MILLRACE_TEST_CHILDREN_FOLDER";
const MILLIS: &str = "MILLRACE_TEST_CHILDREN_MILLIS";

/// Of a Lambda's least.
const MOST_KIB: u64 = 64 * 1024;

const RESOURCES: &str = r"
  - name: parents
    connection: source
    path: /parents
    paginate: { offset: { limit: 1000 } }
  - name: children
    connection: source
    parent: parents
    path: /child/{{ parent.id }}
    carry: { parent_id: parent.id }
    paginate: none
";

fn plant(url: &str, folder: &Path) -> Plant {
    let mut plant = Plant::new(url, RESOURCES);
    plant.objects = Arc::new(Folder::new(folder));
    plant.limits = Limits {
        segment_bytes: 8 * 1024 * 1024,
        segment_age: Duration::from_millis(250),
        ..limits()
    };
    plant
}

/// How many parents there are, and how often a child was asked for.
type Counts = Arc<(usize, AtomicUsize)>;

async fn source(parents: usize) -> (String, Counts) {
    let counts: Counts = Arc::new((parents, AtomicUsize::new(0)));
    let router = Router::new()
        .route("/parents", get(some_parents))
        .route("/child/{id}", get(child))
        .with_state(counts.clone());
    (serve(router).await, counts)
}

async fn some_parents(
    State(counts): State<Counts>,
    Query(query): Query<HashMap<String, usize>>,
) -> Response {
    let offset = query.get("offset").copied().unwrap_or(0);
    let rows = (offset..counts.0).take(1_000);
    let rows = rows.map(|id| json!({ "id": id, "text": "y".repeat(200) }));
    json_of(rows.collect())
}

async fn child(State(counts): State<Counts>, Segment(id): Segment<String>) -> Response {
    counts.1.fetch_add(1, Ordering::Relaxed);
    // No source answers at once.
    tokio::time::sleep(Duration::from_millis(2)).await;
    json_of(json!([{ "of": id, "text": "x".repeat(400) }]))
}

/// One invocation, when the test below starts it. Says what is to come next.
#[tokio::test]
#[ignore = "the test beside it starts it"]
async fn one_invocation() {
    let variables = [URL, FOLDER, MILLIS].map(std::env::var);
    let [Ok(url), Ok(folder), Ok(millis)] = variables else {
        return;
    };
    let plant = plant(&url, Path::new(&folder));
    let input = plant.input(1, "children").await;
    let deadline = Deadline::after(Duration::from_millis(millis.parse().unwrap()));
    let output = plant.ingest().run(&input, deadline, &Unobserved).await;
    let next = output.unwrap().next;
    println!("next={next:?} peak={}", peak_kib("self").unwrap());
}

/// How much memory a process has had at most, in KiB; none where it has ended.
fn peak_kib(process: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// How an invocation ended.
struct Ended {
    /// What is to come next; none where it was killed.
    next: Option<Next>,
    peak_kib: u64,
}

/// Runs an invocation in a process of its own, which is killed after that time, if any.
async fn invoke(url: &str, folder: &Path, time: Duration, killed_after: Option<Duration>) -> Ended {
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "children::one_invocation",
            "--ignored",
            "--nocapture",
        ])
        .env(URL, url)
        .env(FOLDER, folder)
        .env(MILLIS, time.as_millis().to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (began, mut peak) = (Instant::now(), 0);
    while process.try_wait().unwrap().is_none() {
        peak = peak.max(peak_kib(&process.id().to_string()).unwrap_or(0));
        if killed_after.is_some_and(|after| began.elapsed() > after) {
            process.kill().unwrap();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let output = process.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let next = [Next::Done, Next::More, Next::Wait, Next::Task]
        .into_iter()
        .find(|next| told.contains(&format!("next={next:?} ")));
    assert!(next.is_some() || killed_after.is_some(), "{told}");
    let told_peak = told
        .split("peak=")
        .nth(1)
        .and_then(|rest| rest.split_ascii_whitespace().next()?.parse().ok());
    Ended {
        next,
        peak_kib: peak.max(told_peak.unwrap_or(0)),
    }
}

/// How many bytes of objects are under a prefix, and how many the largest has.
fn size(folder: &Path) -> (u64, u64) {
    let (mut sum, mut largest) = (0, 0);
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let (more, one) = if entry.file_type().unwrap().is_dir() {
            size(&entry.path())
        } else {
            let length = entry.metadata().unwrap().len();
            (length, length)
        };
        (sum, largest) = (sum + more, largest.max(one));
    }
    (sum, largest)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_children_are_pulled_through_lambdas_of_which_every_other_is_killed() {
    let (parents, time) = match std::env::var("MILLRACE_TEST_LENGTH").as_deref() {
        Ok("long") => (20_000, Duration::from_secs(5)),
        _ => (1_500, Duration::from_millis(1_200)),
    };
    let (url, counts) = source(parents).await;
    let place = tempfile::tempdir().unwrap();
    let plant = plant(&url, place.path());
    plant.pull("parents").await;

    let (mut lambdas, mut kills, mut peak) = (0, 0, 0);
    loop {
        let is_killed = lambdas == kills;
        let after = is_killed.then(|| time.mul_f64(0.3 + 0.5 * rand::random::<f64>()));
        let ended = invoke(&url, place.path(), time, after).await;
        peak = peak.max(ended.peak_kib);
        match ended.next {
            None => kills += 1,
            Some(Next::Done) => break,
            Some(next) => {
                assert_eq!(next, Next::More);
                lambdas += 1;
            }
        }
    }
    let requests = counts.1.load(Ordering::Relaxed);
    let manifests = plant.manifests("children").await;
    let positions = manifests.iter().map(|manifest| {
        let position = serde_json::to_string(&manifest.next).unwrap();
        position.len()
    });
    let position = positions.max().unwrap();
    let (state, _) = size(&place.path().join("state"));
    println!(
        "{parents} children: {lambdas} Lambdas that ended with their time, {kills} killed, and the last; {requests} \
         requests; peak RSS {peak} KiB; {} segments, a position of {position} bytes, a state of {state} bytes",
        manifests.len()
    );
    assert!(lambdas > 0 && kills > 0, "one Lambda was enough");
    assert!(peak < MOST_KIB, "{peak} KiB");
    assert!(position < 100 && state < 2_000);

    let records = plant.records("children").await;
    assert_eq!(records.len(), parents);
    for (number, record) in records.iter().enumerate() {
        assert_eq!(record["parent_id"], number);
        assert_eq!(record["of"], number.to_string());
    }
    // A kill costs what came since the last commit, a quarter of a second before at most, and then some on a busy machine.
    let rate = parents.div_ceil(lambdas + 1);
    assert!(
        requests <= parents + (kills + lambdas) * rate / 2,
        "{requests} requests for {parents} children"
    );
}
