//! The README's five-minute path, word for word: from `millrace new` to a served row.

use crate::support::{Author, repository};
use sample::Options;
use std::fs;

#[tokio::test(flavor = "multi_thread")]
async fn the_readmes_path_leads_from_new_to_a_served_row() {
    let sample = sample::start(Options {
        records: 50,
        ..Options::default()
    })
    .await
    .expect("the sample source");
    let author = Author::new();
    let readme = fs::read_to_string(repository().join("README.md")).expect("the README");
    let section = readme
        .split("## Your first pipeline")
        .nth(1)
        .expect("the section")
        .split("\n## ")
        .next()
        .expect("its end");
    let commands: Vec<&str> = section
        .lines()
        .filter_map(|line| line.strip_prefix("millrace "))
        .collect();
    assert!(commands.len() >= 6, "{commands:?}");
    let mut served = None;
    for command in commands {
        // The API of one's own is the sample's bare list in this test.
        let command = command
            .replace("https://api.example.com", &sample.url)
            .replace("/orders", "/list");
        let words: Vec<&str> = command.split_whitespace().collect();
        if words == ["serve"] {
            served = Some(author.serve());
        } else {
            author.millrace(&words);
        }
    }
    let (status, body) = served
        .expect("the path ends with `millrace serve`")
        .get("/orders?limit=2")
        .await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["data"].as_array().map(Vec::len), Some(2), "{body}");
    assert!(body["data"][0]["id"].is_string(), "{body}");
}
