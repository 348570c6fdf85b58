//! The rows agree at every stage, and a second run fetches only what changed.

use crate::support::{Author, number};
use futures::TryStreamExt;
use millrace_lake::Lake;
use sample::{Correct, Options};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// The ids of the raw payloads, each as often as it came.
fn raw_ids(author: &Author) -> Vec<String> {
    let mut ids = Vec::new();
    for (_, body) in author.raw("earthquakes", "quakes") {
        let body: Value = serde_json::from_slice(&body).expect("GeoJSON");
        let features = body["features"].as_array().expect("features");
        ids.extend(
            features
                .iter()
                .map(|feature| feature["id"].as_str().expect("an id").to_owned()),
        );
    }
    ids
}

/// id → magnitude of the Delta table; no id may be there twice.
pub async fn delta_rows(author: &Author) -> BTreeMap<String, f64> {
    use arrow::array::{Array, AsArray};
    let lake = Lake::at(&author.lake().display().to_string()).expect("a lake");
    let table = lake
        .table("tables/earthquakes/quakes")
        .await
        .expect("the log")
        .expect("the table");
    let batches: Vec<_> = table
        .scan()
        .columns(&["id", "magnitude"])
        .stream()
        .try_collect()
        .await
        .expect("the rows");
    let mut rows = BTreeMap::new();
    for batch in &batches {
        let ids = batch.column_by_name("id").expect("id").as_string::<i32>();
        let magnitudes = batch.column_by_name("magnitude").expect("magnitude");
        let magnitudes = magnitudes.as_primitive::<arrow::datatypes::Float64Type>();
        for row in 0..batch.num_rows() {
            let magnitude = if magnitudes.is_null(row) {
                f64::NAN
            } else {
                magnitudes.value(row)
            };
            assert!(
                rows.insert(ids.value(row).to_owned(), magnitude).is_none(),
                "{} is there twice",
                ids.value(row)
            );
        }
    }
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_agree_at_every_stage_and_payloads_are_verbatim() {
    let sample = sample::start(Options::default())
        .await
        .expect("the sample source");
    let author = Author::with_shipped_definitions(&sample);
    author.millrace(&["run", "earthquakes", "--publish"]);

    let sent: Vec<_> = sample
        .sent()
        .into_iter()
        .filter(|sent| sent.status == 200)
        .collect();
    let raw = author.raw("earthquakes", "quakes");
    assert_eq!(sent.len(), raw.len());
    for (sent, (page, body)) in sent.iter().zip(&raw) {
        assert_eq!(
            sent.sha256,
            hex::encode(Sha256::digest(body)),
            "{}",
            sent.url
        );
        assert_eq!(sent.sha256, page["sha256"].as_str().expect("a hash"));
        assert_eq!(number(&page["body_length"]), body.len());
    }

    let ids: BTreeSet<String> = raw_ids(&author).into_iter().collect();
    assert_eq!(ids.len(), 1_707, "the snapshot has 1,707 reports");
    let delta = delta_rows(&author).await;
    assert!(
        ids.iter().eq(delta.keys()),
        "the Delta table has other ids than the raw payloads"
    );
    let served = author.serve();
    let api = served.all("/quakes?min_magnitude=-10").await;
    let with_magnitude: BTreeSet<&String> = delta
        .iter()
        .filter(|(_, magnitude)| !magnitude.is_nan())
        .map(|(id, _)| id)
        .collect();
    assert!(
        with_magnitude.into_iter().eq(api.keys()),
        "the API has other ids than the Delta table"
    );
    for (id, row) in &api {
        assert_eq!(row["magnitude"].as_f64(), Some(delta[id]), "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_fetches_what_changed_and_corrections_take_the_old_values_place() {
    let sample = sample::start(Options::default())
        .await
        .expect("the sample source");
    let author = Author::with_shipped_definitions(&sample);
    author.millrace(&["run", "earthquakes", "--publish"]);
    let before = delta_rows(&author).await;
    let first = sample.stats().records;

    let corrected = sample.correct(&Correct {
        count: 25,
        magnitude: 0.5,
        ..Correct::default()
    });
    assert_eq!(corrected.ids.len(), 25);
    author.millrace(&["run", "earthquakes", "--publish"]);
    let second = sample.stats().records - first;
    assert!(
        (25..first / 4).contains(&second),
        "the second run fetched {second} of {first} records"
    );

    let after = delta_rows(&author).await;
    assert!(before.keys().eq(after.keys()));
    let served = author.serve();
    for id in &corrected.ids {
        assert!(
            (after[id] - before[id] - 0.5).abs() < 1e-9,
            "{id}: {} after {}",
            after[id],
            before[id]
        );
    }
    let api = served.all("/quakes?min_magnitude=-10").await;
    for (id, row) in &api {
        assert_eq!(row["magnitude"].as_f64(), Some(after[id]), "{id}");
    }
}
