//! A table that a pipeline publishes to Redis as well: pulled, published, tested and served on an author's machine.

use crate::support::{Author, text};
use sample::Options;
use std::fs;

const ENDPOINT: &str = r#"
metadata: { name: looked_up, description: One earthquake by its key }
routes:
  /looked-up/{id}:
    datasource: redis
    key: "quake:{id}"
    columns: [id, magnitude, place, occurred_at]
    params: [{ name: id, type: string }]
    fields: [id, magnitude, place, occurred_at]
    auth: { secret_path: aws::secret/millrace/consumers }
"#;
const PUBLISH: &str =
    "  - { table: quakes, to: redis, as: seismology.quakes, key: 'quake:{id}', form: hash }\n";

fn looked_up(sample: &sample::Running) -> Author {
    let author = Author::with_shipped_definitions(sample).unlimited();
    let pipeline = author.path("pipelines/earthquakes.yaml");
    let shipped = fs::read_to_string(&pipeline).expect("the pipeline");
    fs::write(&pipeline, format!("{shipped}{PUBLISH}")).expect("a file");
    fs::write(author.path("endpoints/looked_up.yaml"), ENDPOINT).expect("a file");
    author
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_is_looked_up_that_was_pulled() {
    let options = Options {
        records: 50,
        ..Options::default()
    };
    let sample = sample::start(options).await.expect("the sample source");
    let author = looked_up(&sample);
    author.millrace(&["check"]);
    author.millrace(&["run", "earthquakes"]);
    let served = author.serve();
    let (status, body) = served.get("/quakes?min_magnitude=-2&limit=5").await;
    assert_eq!(status, 200, "{body}");
    let rows = body["data"].as_array().expect("rows");
    assert!(!rows.is_empty());
    for row in rows {
        let id = row["id"].as_str().expect("an id");
        let (status, found) = served.get(&format!("/looked-up/{id}")).await;
        assert_eq!(status, 200, "{found}");
        let found = &found["data"][0];
        for column in ["id", "magnitude", "place", "occurred_at"] {
            assert_eq!(found[column], row[column], "{found} {row}");
        }
    }
    let (status, none) = served.get("/looked-up/nobody").await;
    assert_eq!(
        (status, none["data"].as_array().map(Vec::len)),
        (200, Some(0))
    );
    let id = rows[0]["id"].as_str().expect("an id");
    let tests = format!(
        "tests:\n  - {{ name: one, get: /looked-up/{id}, rows: [{{ id: {id} }}] }}\n  - {{ name: none, get: /looked-up/x, count: 0 }}\n"
    );
    fs::write(author.path("endpoints/tests/looked_up.yaml"), tests).expect("a file");
    author.millrace(&["test", "looked_up"]);

    fs::write(
        author.path("endpoints/looked_up.yaml"),
        ENDPOINT.replace("quake:{id}", "quakes:{id}"),
    )
    .expect("a file");
    let refused = author.output(&["check"]);
    let said = text(&refused.stdout);
    assert!(!refused.status.success());
    let expected = "endpoints/looked_up.yaml:6: routes[/looked-up/{id}].key: no pipeline publishes under `quakes:{id}`; did \
         you mean `quake:{id}`?";
    assert!(said.contains(expected), "{said}");
}
