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

fn lines(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

fn verdict<T: std::fmt::Debug>(result: Result<T, Vec<Problem>>) -> String {
    match result {
        Ok(definition) => format!("{definition:#?}\n"),
        Err(problems) => lines(&problems),
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
fn json_and_windows_line_ends_are_read_as_well() {
    let json = "{\n\t\"connection\": \"crm\",\n\t\"base_url\": \"https:\\/\\/crm.example\"\n}\n";
    let windows = "connection: crm\r\nbase_url: https://crm.example\r\n";
    for text in [json, windows] {
        let connection = parse::connection("connections/crm.yaml", text);
        assert_eq!(
            connection.unwrap().base_url,
            "https://crm.example",
            "{text}"
        );
    }
    let problems = parse::connection("connections/crm.yaml", "connection: crm\r\n\r\nurl: x\r\n");
    assert_eq!(problems.unwrap_err().last().unwrap().line, Some(3));
}

#[test]
fn aliases_that_multiply_are_refused_before_they_do() {
    let twenty = |item: &str| format!("{item}, ").repeat(20);
    let mut lines = vec![format!("a: &a [{}]", twenty("x"))];
    for (from, to) in ["ab", "bc", "cd", "de", "ef", "fg"].map(|pair| pair.split_at(1)) {
        lines.push(format!("{to}: &{to} [{}]", twenty(&format!("*{from}"))));
    }
    let text = lines.join("\n");
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
    let fields: Vec<String> = (0..900)
        .map(|number| format!("nothing_known_{number}: 1"))
        .collect();
    let text = fields.join("\n");
    let problems = parse::pipeline("pipelines/orders.yaml", &text).unwrap_err();
    assert_eq!(problems.len(), 50);
}
