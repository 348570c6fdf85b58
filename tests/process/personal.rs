//! Personal data, declared for a resource: neither the raw payloads nor any table have it, and tables have what became of it.

use crate::support::{Author, text};
use arrow::array::{Array, AsArray};
use arrow::datatypes::Float64Type;
use futures::TryStreamExt;
use millrace_lake::Lake;
use sample::Options;
use std::collections::BTreeSet;
use std::fs;

const DECLARED: &str = "    personal_data:
      key: aws::secret/millrace/pseudonyms
      fields: { properties.place: { prefix: 3 }, properties.title: drop, properties.code: hash, properties.net: mask, properties.mag: { bucket: 2 } }
    key: [id]
tables:
";

#[tokio::test(flavor = "multi_thread")]
async fn tables_have_what_was_made_of_personal_data_and_nothing_has_the_data() {
    let sample = sample::start(Options::default())
        .await
        .expect("the sample source");
    let author = Author::with_shipped_definitions(&sample);
    let file = author.path("pipelines/earthquakes.yaml");
    let yaml = fs::read_to_string(&file).expect("the pipeline");
    let yaml = yaml.replacen("    key: [id]\ntables:\n", DECLARED, 1);
    assert!(yaml.contains("pseudonyms"), "{yaml}");
    fs::write(&file, yaml).expect("a file");
    let mut command = author.command(&["run", "earthquakes"]);
    let output = command
        .env(
            "MILLRACE_SECRET_MILLRACE_PSEUDONYMS",
            "a key of 32 characters, at least",
        )
        .output()
        .expect("the command starts");
    assert!(output.status.success(), "{}", text(&output.stderr));

    let lake = Lake::at(&author.lake().display().to_string()).expect("a lake");
    let table = lake.table("tables/earthquakes/quakes").await;
    let table = table.expect("the log").expect("the table");
    let wanted = ["place", "code", "network", "magnitude", "title"];
    let rows = table.scan().columns(&wanted).stream();
    let batches: Vec<_> = rows.try_collect().await.expect("the rows");
    let mut codes = BTreeSet::new();
    for batch in &batches {
        let column = |name: &str| batch.column_by_name(name).expect("a column");
        let (places, networks) = (column("place").as_string::<i32>(), column("network"));
        let hashes = column("code").as_string::<i32>();
        // It is declared, so that the column is there; no record has the field.
        assert_eq!(column("title").null_count(), batch.num_rows());
        let magnitudes = column("magnitude").as_primitive::<Float64Type>();
        for row in 0..batch.num_rows() {
            assert!(places.value(row).chars().count() <= 3);
            assert_eq!(networks.as_string::<i32>().value(row), "***");
            assert!(magnitudes.is_null(row) || magnitudes.value(row) % 2.0 == 0.0);
            assert_eq!(hashes.value(row).len(), 64);
            codes.insert(hashes.value(row).to_owned());
        }
    }
    assert_eq!(codes.len(), 1_707, "values that differ stay apart");
    let raw = author.raw("earthquakes", "quakes");
    for (_, body) in &raw {
        assert!(
            !text(body).contains("The Geysers"),
            "a raw payload tells a place"
        );
    }
}
