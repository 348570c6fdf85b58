//! Four workers on one credential, against a source that does everything wrong, with `kill -9` in between.

use crate::faulty::{self, Faulty, PAGE};
use crate::support::{Author, long};
use millrace_model::raw::{Manifest, Position};
use rand::Rng;
use std::fs;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

const WORKERS: u32 = 4;

/// What the source allows, of all workers together.
const RATE: u32 = 40;
const AT_ONCE: u32 = 32;

fn author(url: &str) -> Author {
    let author = Author::new();
    for folder in ["connections", "pipelines", "endpoints"] {
        fs::create_dir(author.path(folder)).expect("a folder");
    }
    let connection = format!(
        "connection: faulty\nbase_url: {url}\nrate_limit: {RATE}/s\nconcurrency: {AT_ONCE}\nfirst_byte_timeout: 1s\nauth:\n  \
         oauth2_client_credentials:\n    token_url: {url}/token\n    secret: aws::secret/millrace/faulty\n"
    );
    fs::write(author.path("connections/faulty.yaml"), connection).expect("a file");
    for worker in 0..WORKERS {
        // Where a page tells how many there are, several are asked for at once.
        let paginate = if worker % 2 == 0 {
            "{ page: { end: { pages: pages } } }"
        } else {
            "{ cursor: { param: after, path: after } }"
        };
        let pipeline = format!(
            "pipeline: p{worker}\nresources:\n  - name: items\n    connection: faulty\n    path: /w{worker}\n    \
             records: items\n    paginate: {paginate}\n    key: [id]\n"
        );
        fs::write(author.path(&format!("pipelines/p{worker}.yaml")), pipeline).expect("a file");
    }
    author
}

fn begin(author: &Author, worker: u32) -> Child {
    let said = fs::File::create(author.path(&format!("said-{worker}"))).expect("a file");
    author
        .command(&["run", &format!("p{worker}")])
        .env(
            "MILLRACE_SECRET_MILLRACE_FAULTY",
            r#"{"client_id":"c","client_secret":"s"}"#,
        )
        .stdout(Stdio::null())
        .stderr(said)
        .spawn()
        .expect("the command starts")
}

/// The pages that a worker's run has left, in order: their hashes, which their bytes have.
fn stored(author: &Author, worker: u32) -> Vec<String> {
    let folder = author.lake().join(format!("raw/p{worker}/items"));
    let runs: Vec<_> = fs::read_dir(folder)
        .expect("a run")
        .map(|run| run.expect("a run").path())
        .collect();
    assert_eq!(runs.len(), 1, "a run that was killed is taken up");
    let mut files: Vec<_> = fs::read_dir(runs[0].join("manifest"))
        .expect("manifests")
        .map(|file| file.expect("a manifest").path())
        .filter(|file| {
            file.extension()
                .is_some_and(|extension| extension == "json")
        })
        .collect();
    files.sort();
    let mut hashes = Vec::new();
    let mut next = Position::Start;
    for file in files {
        let manifest: Manifest =
            serde_json::from_slice(&fs::read(file).expect("a file")).expect("a manifest");
        let object = manifest.object.expect("an object");
        let bytes = fs::read(author.lake().join(object)).expect("an object");
        for page in manifest.pages {
            let frame = &bytes[page.offset as usize..(page.offset + page.length) as usize];
            let body = zstd::decode_all(frame).expect("a frame");
            assert_eq!(page.records, u64::from(PAGE));
            assert_eq!(body.len() as u64, page.body_length);
            hashes.push(page.sha256);
        }
        next = manifest.next;
    }
    assert_eq!(next, Position::End);
    hashes
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_and_kills_change_nothing_and_the_limit_is_kept() {
    // A kill costs what its worker has not committed yet: in the short run all of its pages at worst, a quarter of what
    // there is.
    let (pages, kills, more) = if long() { (500, 6, 0.2) } else { (50, 1, 0.25) };
    let source = Faulty::start(pages, 12).await;
    let author = author(&source.url);
    let mut workers: Vec<Child> = (0..WORKERS).map(|worker| begin(&author, worker)).collect();
    let began = Instant::now();
    let mut killed = 0;
    let mut done = [false; WORKERS as usize];
    while !done.iter().all(|done| *done) {
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(
            began.elapsed() < Duration::from_mins(20),
            "the workers do not end"
        );
        let share = source.requests() / u64::from(WORKERS);
        let is_time = killed < kills && share > u64::from(pages) * (killed + 1) / (kills + 1);
        let victim = rand::rng().random_range(0..WORKERS);
        for worker in 0..WORKERS {
            let child = &mut workers[worker as usize];
            if done[worker as usize] {
                continue;
            }
            if let Some(status) = child.try_wait().expect("a process") {
                let said =
                    fs::read_to_string(author.path(&format!("said-{worker}"))).unwrap_or_default();
                assert!(status.success(), "worker {worker}: {said}");
                done[worker as usize] = true;
            } else if is_time && worker == victim {
                child.kill().expect("a process");
                child.wait().expect("a process");
                killed += 1;
                workers[worker as usize] = begin(&author, worker);
            }
        }
    }
    for worker in 0..WORKERS {
        assert_eq!(
            stored(&author, worker),
            faulty::hashes(&format!("w{worker}"), pages),
            "worker {worker}"
        );
    }
    let (requests, injected) = (source.requests(), source.injected());
    let most = source.most_within(Duration::from_secs(1));
    let clean = u64::from(pages * WORKERS);
    println!(
        "{} records, {killed} kills, {requests} requests, {injected} of them failed on purpose, at most {most} within a \
         second and {} at once, {:.0?}",
        pages * WORKERS * PAGE,
        source.most_under_way(),
        began.elapsed()
    );
    assert!(injected > clean / 40, "{injected}");
    assert!(
        requests as f64 <= clean as f64 * (1.0 + more) + injected as f64,
        "{requests} requests, {injected} injected"
    );
    assert!(most <= RATE as usize, "{most} requests within a second");
    assert!(source.most_under_way() <= AT_ONCE);
    assert!(
        source.most_under_way() > WORKERS,
        "no worker had several under way"
    );
}
