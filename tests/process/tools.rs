//! An author's tools: a pipeline is tried, recorded, and tested without its source.

use crate::support::{Author, files, text};
use sample::{API_KEY, Options, Running};
use std::fs;

/// An author with a pipeline of two resources, one of which wants a key; places are personal.
fn author(sample: &Running) -> Author {
    let author = Author::new();
    for folder in ["connections", "pipelines"] {
        fs::create_dir(author.path(folder)).expect("a folder");
    }
    let connection = format!(
        "connection: quakes\nbase_url: {}\nauth: {{ api_key: {{ secret: aws::secret/millrace/quakes, query: api_key }} }}\n",
        sample.url
    );
    fs::write(author.path("connections/quakes.yaml"), connection).expect("a file");
    fs::write(author.path("pipelines/quakes.yaml"), PIPELINE).expect("a file");
    author
}

const PIPELINE: &str = "\
pipeline: quakes
resources:
  - name: linked
    connection: quakes
    path: /links
    params: { size: 20 }
    records: items
    key: [id]
  - name: keyed
    connection: quakes
    path: /keyed
    paginate: { page: { size_param: size, size: 30 } }
    records: items
    personal_data: { fields: { properties.place: mask } }
    key: [id]
tables:
  - { name: linked, from: linked, write: upsert }
  - { name: keyed, from: keyed, write: upsert }
";

/// What the command said, with the key in its environment, and whether it ended well.
fn with_key(author: &Author, arguments: &[&str]) -> (bool, String) {
    let output = author
        .command(arguments)
        .env("MILLRACE_SECRET_MILLRACE_QUAKES", API_KEY)
        .output()
        .expect("the command");
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(!said.contains(API_KEY), "{said}");
    (output.status.success(), said)
}

async fn source() -> Running {
    let options = Options {
        records: 200,
        ..Options::default()
    };
    sample::start(options).await.expect("the sample source")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_try_shows_everything_and_keeps_nothing() {
    let sample = source().await;
    let author = author(&sample);
    let (is_good, said) = with_key(&author, &["try", "quakes"]);
    assert!(is_good, "{said}");
    for part in [
        &format!("→ GET {}/links?size=20&api_key=***", sample.url),
        "← 200 in",
        "content-type: application/json",
        "20 records in",
        "page 1, 2 of 20 records",
        "\"mag\":",
        "found by itself: pages by the link at `links.next`",
        "no header speaks of any",
        &format!("next GET {}/links?", sample.url),
    ] {
        assert!(said.contains(part), "`{part}` is not in:\n{said}");
    }
    assert_eq!(sample.stats().requests, 1);
    let (is_good, said) = with_key(&author, &["try", "quakes", "keyed", "--pages", "2"]);
    assert!(is_good, "{said}");
    for part in [
        "page 2, 2 of 30 records",
        "page, as the definition says",
        "\"place\": \"***\"",
    ] {
        assert!(said.contains(part), "`{part}` is not in:\n{said}");
    }
    assert_eq!(sample.stats().requests, 3);
    let kept = files(&author.lake());
    assert!(
        kept.iter()
            .all(|path| path.components().any(|part| part.as_os_str() == "limits")),
        "{kept:?}"
    );

    let (is_good, said) = with_key(&author, &["try", "quakes", "kyed"]);
    assert!(!is_good && said.contains("it has linked, keyed"), "{said}");
    let wrong = author.output(&["try", "quakes", "keyed"]);
    let said = text(&wrong.stdout) + &text(&wrong.stderr);
    assert!(
        !wrong.status.success() && said.contains("MILLRACE_SECRET_MILLRACE_QUAKES"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_recorded_is_played_without_the_source_and_nothing_else_is() {
    let sample = source().await;
    let author = author(&sample);
    let (is_good, said) = with_key(&author, &["record", "quakes", "--pages", "2"]);
    assert!(is_good, "{said}");
    drop(sample);
    let file = author.path("cassettes/quakes.jsonl");
    let cassette = fs::read_to_string(&file).expect("a cassette");
    assert_eq!(cassette.lines().count(), 1 + 2 + 2, "{said}");
    assert!(!cassette.contains(API_KEY) && cassette.contains("api_key=***"));
    let keyed = cassette.lines().filter(|line| line.contains("/keyed?"));
    assert!(
        keyed
            .clone()
            .all(|line| line.contains(r#"\"place\":\"***\""#))
    );
    assert_eq!(keyed.count(), 2);

    // Neither source nor secret is there.
    let play = ["run", "quakes", "--replay", "cassettes/quakes.jsonl"];
    let said = author.millrace(&play);
    assert!(
        said.contains("(40 rows)") && said.contains("(60 rows)"),
        "{said}"
    );
    assert!(author.ledger("quakes").is_empty(), "nothing is kept");
    let said = author.millrace(&[
        "try",
        "quakes",
        "keyed",
        "--replay",
        "cassettes/quakes.jsonl",
    ]);
    assert!(said.contains("page 1, 2 of 30 records"), "{said}");

    let file = author.path("pipelines/quakes.yaml");
    for (definition, part) in [
        (
            PIPELINE.replace("size: 30", "size: 31"),
            "size=31&page=1&api_key=*** was not recorded",
        ),
        (
            PIPELINE.replace(
                "params: { size: 20 }",
                "params: { size: 20 }\n    paginate: none",
            ),
            "1 recorded requests were not made",
        ),
    ] {
        fs::write(&file, definition).expect("a file");
        let output = author.output(&play);
        let said = text(&output.stderr);
        assert!(
            !output.status.success() && said.contains(part),
            "`{part}` is not in:\n{said}"
        );
        assert!(
            said.contains("/keyed?") || said.contains("/links?"),
            "{said}"
        );
    }
}

const DOCUMENT: &str = r#"
openapi: 3.1.0
info: { title: Earthquakes, version: "1" }
servers: [{ url: "URL" }]
security: [{ key: [] }]
paths:
  /keyed:
    get:
      parameters:
        - { name: page, in: query, schema: { type: integer, minimum: 1 } }
        - { name: size, in: query, schema: { type: integer, maximum: 80 } }
      responses:
        "200":
          content:
            application/json:
              schema:
                type: object
                properties:
                  total: { type: integer }
                  items: { type: array, items: { type: object, properties: { id: { type: string } } } }
components:
  securitySchemes: { key: { type: apiKey, in: header, name: X-Api-Key } }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_that_is_made_of_a_description_runs_as_it_stands() {
    let sample = source().await;
    let author = Author::new();
    fs::write(
        author.path("api.yaml"),
        DOCUMENT.replace("URL", &sample.url),
    )
    .expect("a file");
    let make = [
        "new",
        "pipeline",
        "--from-openapi",
        "api.yaml",
        "--connection",
        "quakes",
    ];
    let said = author.millrace(&make);
    assert!(
        said.contains("pipelines/earthquakes.yaml (1 resources)"),
        "{said}"
    );
    assert!(
        said.contains("millrace/quakes has to hold the key"),
        "{said}"
    );
    author.millrace(&["check"]);
    let (is_good, said) = with_key(&author, &["run", "earthquakes"]);
    assert!(is_good && said.contains("(200 rows)"), "{said}");
    assert_eq!(sample.stats().requests, 3);
    // What is there is never overwritten.
    let again = author.output(&make);
    assert!(!again.status.success() && text(&again.stderr).contains("exists already"));
}
