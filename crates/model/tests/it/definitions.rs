//! Fixtures, one a situation, and the exact messages that their authors get.

use millrace_model::definition::{Problem, parse};
use std::fs;
use std::path::{Path, PathBuf};

fn fixtures(kind: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(kind);
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let situation = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
    paths
        .iter()
        .map(|path| (situation(path), fs::read_to_string(path).unwrap()))
        .collect()
}

fn verdict<T: std::fmt::Debug>(result: Result<T, Vec<Problem>>) -> String {
    match result {
        Ok(definition) => format!("{definition:#?}\n"),
        Err(problems) => problems
            .iter()
            .map(|problem| format!("{problem}\n"))
            .collect(),
    }
}

/// What each fixture of a kind leads to, in one snapshot a fixture.
fn check(kind: &str, file: &str, read: impl Fn(&str, &str) -> String) {
    for (situation, text) in fixtures(kind) {
        let mut settings = insta::Settings::clone_current();
        settings.set_prepend_module_to_snapshot(false);
        settings.set_description(format!("{kind}: {}", situation.replace('_', " ")));
        settings
            .bind(|| insta::assert_snapshot!(format!("{kind}__{situation}"), read(file, &text)));
    }
}

#[test]
fn connections() {
    check("connections", "connections/crm.yaml", |file, text| {
        verdict(parse::connection(file, text))
    });
}

#[test]
fn pipelines() {
    check("pipelines", "pipelines/orders.yaml", |file, text| {
        verdict(parse::pipeline(file, text))
    });
}

#[test]
fn endpoints() {
    check("endpoints", "endpoints/orders.yaml", |file, text| {
        verdict(parse::endpoint(file, text))
    });
}

#[test]
fn a_file_that_is_too_large_is_refused_unread() {
    let text = "#".repeat((1 << 20) + 1);
    let problems = parse::connection("connections/crm.yaml", &text).unwrap_err();
    insta::assert_snapshot!(verdict::<()>(Err(problems)), @"connections/crm.yaml: the file has 1048577 bytes; a definition has at most 1048576");
}

#[test]
fn aliases_that_multiply_are_refused_before_they_do() {
    let mut text = format!("a: &a [{}]\n", "x, ".repeat(50));
    for (from, to) in ["ab", "bc", "cd", "de", "ef", "fg"]
        .iter()
        .map(|pair| pair.split_at(1))
    {
        text += &format!("{to}: &{to} [{}]\n", format!("*{from}, ").repeat(20));
    }
    let problems = parse::connection("connections/crm.yaml", &text).unwrap_err();
    let message = &problems[0].message;
    assert!(
        message.starts_with("the aliases of this file stand for too much"),
        "{message}"
    );
}

#[test]
fn what_is_too_deep_is_refused() {
    for text in [
        "[".repeat(10_000),
        "{a: ".repeat(10_000),
        "- ".repeat(10_000),
    ] {
        assert!(parse::pipeline("pipelines/orders.yaml", &text).is_err());
    }
}

#[test]
fn many_problems_are_told_up_to_a_bound() {
    let text: String = (0..900)
        .map(|number| format!("nothing_known_{number}: 1\n"))
        .collect();
    let problems = parse::pipeline("pipelines/orders.yaml", &text).unwrap_err();
    assert_eq!(problems.len(), 50);
}
