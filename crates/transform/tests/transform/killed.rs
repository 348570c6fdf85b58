//! Kills between any two operations on files: while tables are looked after, while what was kept out is taken once more,
//! and while a key is erased.

use crate::forget::traces;
use crate::harness::{Harness, PIPELINE, TABLE};
use crate::mortal::Life;
use millrace_model::definition::Pinned;
use millrace_model::definition::pipeline::{Expectation, Otherwise, Rule, WriteMode};
use millrace_model::mode::RunMode;
use millrace_model::step::{Deadline, Unobserved};
use millrace_transform::ForgottenKey;
use std::fs::{self, File};
use std::time::{Duration, SystemTime};

/// Files that no commit names, of a time that nobody reads any more.
fn leave_orphans(shop: &Harness) {
    for table in [TABLE, "orders__tags"] {
        for number in 0..3 {
            let folder = shop.path().join("tables").join(PIPELINE).join(table);
            let path = folder.join(format!("part-0000{number}-lost.zstd.parquet"));
            fs::write(&path, b"lost").expect("written");
            let file = File::options().write(true).open(&path).expect("opened");
            let long_ago = SystemTime::now() - Duration::from_hours(3);
            file.set_modified(long_ago).expect("set");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn upkeep_that_dies_anywhere_harms_nothing() {
    let mut before = Harness::new(WriteMode::Append, &[]);
    // So many that the next run's upkeep makes them one.
    let runs = 16;
    for run in 0..runs {
        before
            .take(&format!(r#"[{{"v":{run},"tags":["t{run}"]}}]"#))
            .await;
    }
    before.pull(&[&[r#"[{"v":1000,"tags":["last"]}]"#]]).await;
    leave_orphans(&before);
    let (mut deaths, mut most) = (0, 0);
    for operations in 0.. {
        let mut shop = before.fork();
        let life = Life::of(operations);
        let input = shop.pinned().await;
        // What upkeep fails at does not fail the run, whose rows are there.
        let done = life
            .transform(&shop)
            .run(&input, Deadline::NONE, &Unobserved)
            .await;
        if let Ok(output) = &done {
            most = most.max(output.counts.get("files_removed").copied().unwrap_or(0));
        }
        shop.take(r#"[{"v":2000,"tags":["next"]}]"#).await;
        let mut rows: Vec<String> = (0..runs).map(|run| run.to_string()).collect();
        rows.extend(["1000".to_owned(), "2000".to_owned()]);
        rows.sort();
        assert_eq!(shop.values(TABLE, &["v"]).await, rows, "{operations}");
        let tags = shop.values("orders__tags", &["value"]).await;
        assert_eq!(tags.len(), runs + 2, "{operations}");
        if !life.is_over() {
            break;
        }
        deaths += 1;
    }
    assert!(deaths >= 10, "died {deaths} times only");
    assert!(most >= 3, "the last one removed what was lost: {most}");
}

#[tokio::test(flavor = "multi_thread")]
async fn upkeep_is_left_to_the_next_run_where_time_is_short() {
    let mut shop = Harness::new(WriteMode::Append, &[]);
    for run in 0..20 {
        shop.pull(&[&[&format!(r#"[{{"v":{run}}}]"#)]]).await;
        let input = shop.pinned().await;
        // Enough to take the run, and not to begin anything after it.
        let soon = Deadline::after(Duration::from_millis(2_300));
        let output = shop.transform().run(&input, soon, &Unobserved).await;
        let counts = output.expect("taken").counts;
        assert_eq!(counts.get("files_compacted"), None, "{run}");
    }
    let output = shop.take(r#"[{"v":20}]"#).await;
    assert!(output.counts["files_compacted"] >= 16);
    assert_eq!(shop.rows(TABLE).await.len(), 21);
}

fn at_most(most: f64) -> Expectation {
    Expectation {
        column: "v".to_owned(),
        rule: Rule::Between(0.0, most),
        otherwise: Otherwise::Quarantine,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_dies_anywhere_is_done_by_the_next_one() {
    for write in [WriteMode::Append, WriteMode::Upsert, WriteMode::History] {
        let mut before = Harness::new(write, &["id"]).expect(at_most(10.0));
        before
            .take(r#"[{"id":1,"v":1,"tags":["a"]},{"id":2,"v":20,"tags":["b"]},{"id":3,"v":300}]"#)
            .await;
        before.take(r#"[{"id":4,"v":40,"tags":["d","e"]}]"#).await;
        before.table.expect = vec![at_most(100.0)];
        let mut deaths = 0;
        for operations in 0.. {
            let shop = before.fork();
            let pinned = Pinned {
                pipeline: shop.pipeline(),
                connections: Vec::new(),
                endpoints: Vec::new(),
                mode: RunMode::default(),
            };
            let input = shop.pinned().await;
            let life = Life::of(operations);
            let mortal = life.transform(&shop);
            // It may well have failed.
            let _ = mortal.replay(&pinned, &input, &Unobserved).await;
            let again = shop.transform().replay(&pinned, &input, &Unobserved).await;
            again.expect("replayed");
            let ids = shop.values(TABLE, &["id"]).await;
            assert_eq!(ids, ["1", "2", "4"], "{write:?} {operations}");
            let tags = shop.values("orders__tags", &["value"]).await;
            assert_eq!(tags, ["a", "b", "d", "e"], "{write:?} {operations}");
            let kept = shop.quarantined().await;
            assert_eq!(kept.len(), 1, "{write:?} {operations} {kept:?}");
            assert_eq!(kept[0]["record"]["id"], 3);
            if !life.is_over() {
                break;
            }
            deaths += 1;
        }
        assert!(deaths >= 6, "{write:?} died {deaths} times only");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_that_dies_anywhere_is_done_by_the_next_one() {
    let subject = "subject-4711";
    let mut before = Harness::new(WriteMode::Upsert, &["id"]).expect(at_most(10.0));
    let record = |id: &str, v: u32| format!(r#"{{"id":"{id}","v":{v},"tags":["of {id}"]}}"#);
    before
        .take(&format!("[{},{}]", record(subject, 1), record("a", 2)))
        .await;
    before
        .take(&format!("[{},{}]", record(subject, 99), record("b", 3)))
        .await;
    assert!(traces(before.path(), subject).len() >= 4);
    let key = ForgottenKey::from([("id".to_owned(), subject.to_owned())]);
    let mut deaths = 0;
    for operations in 0.. {
        let shop = before.fork();
        let life = Life::of(operations);
        let pipeline = shop.pipeline();
        // It may well have failed.
        let _ = life.transform(&shop).forget(&pipeline, &key).await;
        let again = shop.transform().forget(&pipeline, &key).await;
        again.expect("forgotten");
        assert_eq!(traces(shop.path(), subject), [""; 0], "{operations}");
        assert_eq!(shop.values(TABLE, &["id"]).await, ["a", "b"]);
        assert_eq!(
            shop.values("orders__tags", &["value"]).await,
            ["of a", "of b"]
        );
        // What is raw makes the same table of it again.
        fs::remove_dir_all(shop.path().join("tables").join(PIPELINE)).expect("removed");
        shop.run().await.expect("transformed");
        assert_eq!(
            shop.values(TABLE, &["id"]).await,
            ["a", "b"],
            "{operations}"
        );
        if !life.is_over() {
            break;
        }
        deaths += 1;
    }
    assert!(deaths >= 10, "died {deaths} times only");
}
