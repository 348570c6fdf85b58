//! Bad input: a clear word about what, where and how to mend it, and never a secret.

use crate::support::{Author, files, text};
use sample::Options;
use std::fs;

#[tokio::test(flavor = "multi_thread")]
async fn a_typo_is_named_by_file_line_and_the_field_that_was_meant() {
    let sample = sample::start(Options::default())
        .await
        .expect("the sample source");
    let author = Author::with_shipped_definitions(&sample);
    assert!(author.millrace(&["check"]).contains("ok:"));
    let file = author.path("pipelines/earthquakes.yaml");
    let yaml = fs::read_to_string(&file).expect("the pipeline");
    let line = 1 + yaml
        .lines()
        .position(|line| line.contains("paginate:"))
        .expect("a line");
    fs::write(&file, yaml.replace("paginate:", "pagniate:")).expect("a typo");
    let output = author.output(&["check"]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for word in [
        &format!("pipelines/earthquakes.yaml:{line}"),
        "pagniate",
        "did you mean `paginate`?",
    ] {
        assert!(said.contains(word), "`{word}` is not in:\n{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_credential_fails_in_one_request_and_is_nowhere_to_be_read() {
    let sample = sample::start(Options::default())
        .await
        .expect("the sample source");
    let author = Author::new();
    author.millrace(&["new", "connection", "crm", "--base-url", &sample.url]);
    author.millrace(&[
        "new",
        "pipeline",
        "contacts",
        "--connection",
        "crm",
        "--path",
        "/keyed",
        "--records",
        "items",
    ]);
    let file = author.path("connections/crm.yaml");
    let yaml = fs::read_to_string(&file).expect("the connection");
    fs::write(
        &file,
        yaml.replacen(
            "auth: none",
            "auth: { bearer: { secret: aws::secret/millrace/crm } }",
            1,
        ),
    )
    .expect("a file");

    let wrong = "not-the-token-8c1f";
    let output = author
        .command(&["run", "contacts"])
        .env("MILLRACE_SECRET_MILLRACE_CRM", wrong)
        .env("RUST_LOG", "debug")
        .output()
        .expect("the command");
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert_eq!(sample.stats().requests, 1, "{said}");
    assert!(
        said.contains("Unauthorized") && said.contains("millrace/crm"),
        "{said}"
    );
    assert!(!said.contains(wrong), "{said}");
    for path in files(&author.lake()) {
        assert!(
            !text(&fs::read(&path).expect("a file")).contains(wrong),
            "{}",
            path.display()
        );
    }
    let run = author
        .ledger("contacts")
        .pop()
        .expect("an entry of the ledger");
    assert_eq!(run["status"], "failed");
    assert_eq!(run["failure"]["name"], "Unauthorized");

    let output = author
        .command(&["run", "contacts"])
        .env("MILLRACE_SECRET_MILLRACE_CRM", sample::BEARER_TOKEN)
        .output()
        .expect("the command");
    assert!(output.status.success(), "{}", text(&output.stderr));
}
