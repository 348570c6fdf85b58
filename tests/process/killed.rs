//! `kill -9` at random moments: every run ends well, and the result equals a clean run's.

use crate::correct::delta_rows;
use crate::support::{Author, long};
use rand::Rng;
use sample::{Correct, Options};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Which step was under way when the process died, as the ledger has it.
fn under_way(author: &Author) -> String {
    let Some(run) = author.ledger("earthquakes").pop() else {
        return "before the first entry".into();
    };
    let steps = run["steps"].as_object().cloned().unwrap_or_default();
    let open: Vec<_> = steps
        .iter()
        .filter(|(_, step)| step["ended_at"].is_null())
        .map(|(name, _)| name.clone())
        .collect();
    open.first()
        .cloned()
        .unwrap_or_else(|| "between steps".into())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_run_is_taken_up_and_ends_as_a_clean_one_does() {
    let (records, kills_wanted) = if long() { (200_000, 24) } else { (20_000, 6) };
    let sample = sample::start(Options {
        records,
        ..Options::default()
    })
    .await
    .expect("the sample source");
    let author = Author::with_shipped_definitions(&sample).unlimited();
    // With an empty table a clean run shows how long one takes.
    let clean = Author::with_shipped_definitions(&sample).unlimited();
    let began = Instant::now();
    clean.millrace(&["run", "earthquakes", "--publish"]);
    let whole = began.elapsed();

    let mut kills: BTreeMap<String, u32> = BTreeMap::new();
    let mut ended = 0;
    let said = author.path("said");
    while kills.values().sum::<u32>() < kills_wanted {
        let mut child = author
            .command(&["run", "earthquakes", "--publish"])
            .stdout(Stdio::null())
            .stderr(fs::File::create(&said).expect("a file"))
            .spawn()
            .expect("the command starts");
        // The command's own start is not worth a kill each time.
        let moment = rand::rng().random_range(0.02..0.9);
        tokio::time::sleep(whole.mul_f64(moment)).await;
        if let Some(status) = child.try_wait().expect("a process") {
            assert!(
                status.success(),
                "a run that was not killed ended badly: {}\n{:#?}",
                fs::read_to_string(&said).unwrap_or_default(),
                author.ledger("earthquakes").last()
            );
            ended += 1;
            sample.correct(&Correct {
                count: records / 2,
                magnitude: 0.1,
                ..Correct::default()
            });
            continue;
        }
        child.kill().expect("SIGKILL");
        child.wait().expect("the end");
        *kills.entry(under_way(&author)).or_default() += 1;
    }
    author.millrace(&["run", "earthquakes", "--publish"]);
    author.millrace(&["run", "earthquakes", "--publish"]);
    clean.millrace(&["run", "earthquakes", "--publish"]);
    println!(
        "{records} records, a clean run takes {whole:.1?}; {ended} runs ended between kills; killed in: {kills:#?}"
    );

    for run in author.ledger("earthquakes") {
        assert_eq!(run["status"], "succeeded", "{run:#}");
    }
    let (killed_rows, clean_rows) = (delta_rows(&author).await, delta_rows(&clean).await);
    assert_eq!(killed_rows.len(), records as usize);
    assert!(same(&killed_rows, &clean_rows), "the Delta tables differ");
    let served = author.serve();
    let api = served.all("/quakes?min_magnitude=-10").await;
    drop(served);
    let expected = clean_rows
        .iter()
        .filter(|(_, magnitude)| !magnitude.is_nan())
        .count();
    assert_eq!(api.len(), expected, "rows behind the API");
    assert!(
        api.iter()
            .all(|(id, row)| row["magnitude"].as_f64() == Some(clean_rows[id])),
        "values behind the API"
    );
    // Whatever a dead writer left lies beside, and no manifest names it: nothing is counted twice.
    let raw: u64 = author
        .raw("earthquakes", "quakes")
        .iter()
        .filter_map(|(page, _)| page["records"].as_u64())
        .sum();
    assert!(raw >= u64::from(records), "{raw} raw records");
}

fn same(one: &BTreeMap<String, f64>, other: &BTreeMap<String, f64>) -> bool {
    one.len() == other.len()
        && one.iter().zip(other).all(|((id, one), (other_id, other))| {
            id == other_id && one.to_bits() == other.to_bits()
        })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_ingest_fetches_no_more_than_what_came_since_its_checkpoint() {
    let sample = sample::start(Options {
        records: 20_000,
        ..Options::default()
    })
    .await
    .expect("the sample source");
    let author = Author::with_shipped_definitions(&sample);
    let mut child = author
        .command(&["run", "earthquakes"])
        .stdout(Stdio::null())
        .spawn()
        .expect("the command starts");
    while sample.stats().requests < 10 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    child.kill().expect("SIGKILL");
    child.wait().expect("the end");
    author.millrace(&["run", "earthquakes"]);
    let pages: Vec<Value> = author
        .raw("earthquakes", "quakes")
        .into_iter()
        .map(|(page, _)| page)
        .collect();
    let mut urls: Vec<_> = pages
        .iter()
        .map(|page| page["url"].as_str().expect("a URL"))
        .collect();
    let all = urls.len();
    urls.sort_unstable();
    urls.dedup();
    assert_eq!(urls.len(), all, "a page is stored twice");
    assert_eq!(delta_rows(&author).await.len(), 20_000);
}
