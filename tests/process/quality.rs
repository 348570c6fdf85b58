//! A run that fails on quality publishes nothing, and what it pulled is not lost.

use crate::correct::delta_rows;
use crate::support::{Author, files, text};
use sample::{Correct, Options};
use std::fs;

const KEPT_OUT: &str = "{ column: magnitude, between: [-2, 11], otherwise: quarantine }";
const FAILS: &str = "{ column: magnitude, between: [-2, 11] }";

/// The pipeline with another expectation.
fn expect(author: &Author, from: &str, to: &str) {
    let file = author.path("pipelines/earthquakes.yaml");
    let yaml = fs::read_to_string(&file).expect("the pipeline");
    assert!(yaml.contains(from), "{yaml}");
    fs::write(&file, yaml.replace(from, to)).expect("a file");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_fails_on_quality_publishes_nothing() {
    let sample = sample::start(Options::default())
        .await
        .expect("the sample source");
    let author = Author::with_shipped_definitions(&sample);
    author.millrace(&["run", "earthquakes", "--publish"]);
    let before = delta_rows(&author).await;

    expect(&author, KEPT_OUT, FAILS);
    let corrected = sample.correct(&Correct {
        count: 25,
        magnitude: 100.0,
        ..Correct::default()
    });
    let output = author.output(&["run", "earthquakes", "--publish"]);
    let said = text(&output.stderr);
    assert!(!output.status.success(), "{said}");
    for word in ["BadData", "`quakes.magnitude`", "not between -2 and 11"] {
        assert!(said.contains(word), "`{word}` is not in:\n{said}");
    }
    let run = author.ledger("earthquakes").pop().expect("a run");
    assert_eq!(
        (&run["status"], &run["failure"]["name"]),
        (&"failed".into(), &"BadData".into())
    );
    let steps = run["steps"].as_object().expect("steps");
    let names: Vec<&str> = steps.keys().map(String::as_str).collect();
    assert_eq!(names, ["ingest/quakes", "transform/quakes"]);
    assert_eq!(
        format!("{before:?}"),
        format!("{:?}", delta_rows(&author).await)
    );
    let served = author.serve();
    let rows = served.all("/quakes?min_magnitude=-10").await;
    assert!(corrected.ids.iter().any(|id| rows.contains_key(id)));
    for (id, row) in &rows {
        assert_eq!(row["magnitude"].as_f64(), Some(before[id]), "{id}");
    }
    drop(served);

    // Once the expectation is another one, the next run takes what the failed one pulled.
    expect(&author, FAILS, KEPT_OUT);
    author.millrace(&["run", "earthquakes", "--publish"]);
    assert_eq!(
        format!("{before:?}"),
        format!("{:?}", delta_rows(&author).await)
    );
    let kept_out = files(&author.lake().join("quarantine/earthquakes/quakes"));
    let lines = kept_out.iter().map(|file| {
        let text = fs::read_to_string(file).expect("a file");
        text.lines().count()
    });
    assert!(lines.sum::<usize>() >= corrected.ids.len());
}
