//! Models: made of what a run wrote, once, whatever happens to the process; and nothing is published of a run whose models
//! break what is expected of them.

use crate::correct::delta_rows;
use crate::support::{Author, long, text};
use arrow::array::AsArray;
use arrow::datatypes::{Float64Type, Int64Type};
use futures::TryStreamExt;
use millrace_lake::{Lake, Table};
use rand::Rng;
use sample::Options;
use std::collections::BTreeMap;
use std::fs;
use std::process::Stdio;
use std::time::Instant;

const MODELS: &str = "models:
  - { name: strongest, query: 'SELECT kind, strongest FROM by_kind ORDER BY strongest DESC LIMIT 1' }
  - name: by_kind
    file: by_kind.sql
    key: [kind]
    expect: [{ column: kind, is: unique }]
";
const PUBLISH: &str = "publish:
  - { table: by_kind, to: operational_store, as: seismology.by_kind }
";
const SQL: &str = "SELECT floor(magnitude)::bigint AS kind, count(*) AS quakes, max(magnitude) AS strongest\nFROM quakes\n\
                   WHERE magnitude IS NOT NULL\nGROUP BY 1\n";

fn author(sample: &sample::Running, models: &str) -> Author {
    let author = Author::with_shipped_definitions(sample).unlimited();
    let file = author.path("pipelines/earthquakes.yaml");
    let yaml = fs::read_to_string(&file).expect("the pipeline");
    let yaml = yaml.replacen("models:\n", models, 1);
    fs::write(&file, yaml.replacen("publish:\n", PUBLISH, 1)).expect("a file");
    fs::write(author.path("models/by_kind.sql"), SQL).expect("a file");
    author
}

async fn table(author: &Author, name: &str) -> Option<Table> {
    let lake = Lake::at(&author.lake().display().to_string()).expect("a lake");
    let key = format!("tables/earthquakes/{name}");
    lake.table(&key).await.expect("the log")
}

/// What `by_kind` has: kind → how many, and the strongest.
async fn made(author: &Author) -> BTreeMap<i64, (i64, f64)> {
    let table = table(author, "by_kind").await.expect("the model");
    let batches: Vec<_> = table.scan().stream().try_collect().await.expect("the rows");
    let mut rows = BTreeMap::new();
    for batch in &batches {
        let kinds = batch.column(0).as_primitive::<Int64Type>();
        let counts = batch.column(1).as_primitive::<Int64Type>();
        let strongest = batch.column(2).as_primitive::<Float64Type>();
        for row in 0..batch.num_rows() {
            let before = rows.insert(kinds.value(row), (counts.value(row), strongest.value(row)));
            assert!(before.is_none(), "a kind is there twice");
        }
    }
    rows
}

/// What it has to have, of the table that it reads.
async fn expected(author: &Author) -> BTreeMap<i64, (i64, f64)> {
    let mut rows: BTreeMap<i64, (i64, f64)> = BTreeMap::new();
    for magnitude in delta_rows(author).await.into_values() {
        if !magnitude.is_nan() {
            let row = rows
                .entry(magnitude.floor() as i64)
                .or_insert((0, f64::NEG_INFINITY));
            *row = (row.0 + 1, row.1.max(magnitude));
        }
    }
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn models_are_made_of_what_a_run_wrote_and_of_one_another() {
    let sample = sample::start(Options::default())
        .await
        .expect("the sample source");
    let author = author(&sample, MODELS);
    author.millrace(&["run", "earthquakes", "--publish"]);
    let run = author.ledger("earthquakes").pop().expect("a run");
    let published = &run["steps"]["publish/seismology.by_kind"];
    assert_eq!(published["done"], true, "{run}");
    let rows = made(&author).await;
    assert!(rows.len() > 3, "{rows:?}");
    assert_eq!(published["counts"]["rows"], rows.len(), "{published}");
    assert_eq!(rows, expected(&author).await);
    let shown = author.millrace(&["table", "earthquakes", "by_kind"]);
    for word in [
        "strongest",
        "replace",
        "last run earthquakes-",
        "rows written",
    ] {
        assert!(shown.contains(word), "`{word}` is not in:\n{shown}");
    }
    assert!(!shown.contains("up to number"), "{shown}");
    let strongest = table(&author, "strongest").await.expect("the model");
    assert_eq!(strongest.rows(), Some(1));

    author.millrace(&["run", "earthquakes"]);
    assert_eq!(made(&author).await, rows);
    let versions = table(&author, "by_kind").await.map(|table| table.version());
    assert_eq!(versions, Some(1), "each run makes it once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_run_leaves_models_as_a_clean_one_does() {
    let kills = if long() { 12 } else { 3 };
    let sample = sample::start(Options {
        records: 20_000,
        ..Options::default()
    })
    .await
    .expect("the sample source");
    let clean = author(&sample, MODELS);
    let began = Instant::now();
    clean.millrace(&["run", "earthquakes"]);
    let whole = began.elapsed();

    let author = author(&sample, MODELS);
    let mut killed = 0;
    while killed < kills {
        let mut child = author
            .command(&["run", "earthquakes"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the command starts");
        // The end of a run is where its models are made.
        let moment = rand::rng().random_range(0.5..1.0);
        tokio::time::sleep(whole.mul_f64(moment)).await;
        if child.try_wait().expect("a process").is_none() {
            child.kill().expect("killed");
        }
        child.wait().expect("it ended");
        killed += 1;
    }
    author.millrace(&["run", "earthquakes"]);
    assert_eq!(made(&author).await, expected(&author).await);
    assert_eq!(made(&author).await, made(&clean).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_breaks_what_is_expected_of_it_ends_the_run_before_anything_is_published() {
    let sample = sample::start(Options::default())
        .await
        .expect("the sample source");
    let broken = MODELS.replace("is: unique", "between: [-9, 5]");
    let author = author(&sample, &broken);
    let output = author.output(&["run", "earthquakes", "--publish"]);
    let said = text(&output.stderr);
    assert!(!output.status.success(), "{said}");
    for word in [
        "BadData",
        "`kind` of the model `by_kind`",
        "not between -9 and 5",
    ] {
        assert!(said.contains(word), "`{word}` is not in:\n{said}");
    }
    assert!(table(&author, "by_kind").await.is_none());
    let run = author.ledger("earthquakes").pop().expect("a run");
    let steps = run["steps"].as_object().expect("steps");
    assert!(steps.contains_key("refine/by_kind"), "{steps:?}");
    assert!(
        !steps.keys().any(|step| step.starts_with("publish/")),
        "{steps:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_model_s_file_is_told_before_anything_runs() {
    let sample = sample::start(Options::default())
        .await
        .expect("the sample source");
    let author = author(&sample, MODELS);
    author.millrace(&["run", "earthquakes"]);
    fs::write(
        author.path("models/by_kind.sql"),
        SQL.replace("floor(magnitude)", "floor(magnitud)"),
    )
    .expect("a file");
    let said = text(&author.output(&["check"]).stdout);
    assert!(
        said.contains("models/by_kind.sql: line 1, column 14") && said.contains("magnitude"),
        "{said}"
    );
    fs::write(
        author.path("models/by_kind.sql"),
        SQL.replace("FROM quakes", "FROM quaks"),
    )
    .expect("a file");
    let output = author.output(&["check"]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains(
            "models/by_kind.sql:2: `earthquakes` has no table `quaks`; did you mean `quakes`?"
        ),
        "{said}"
    );
}
