//! The definitions that the repository ships.

use millrace_model::definition::Problem;
use millrace_model::definition::set::DefinitionSet;
use std::fs;
use std::path::Path;

fn shipped() -> (DefinitionSet, Vec<Problem>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut files = Vec::new();
    for folder in ["connections", "pipelines", "models", "endpoints"] {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                continue;
            }
            let file = format!("{folder}/{}", path.file_name().unwrap().to_str().unwrap());
            files.push((file, fs::read_to_string(path).unwrap()));
        }
    }
    DefinitionSet::parse(files)
}

#[test]
fn they_are_sound() {
    let (_, problems) = shipped();
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "{}", lines.join("\n"));
}

#[test]
fn each_names_its_schema() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for (folder, schema) in [
        ("connections", "../schemas/connection"),
        ("pipelines", "../schemas/pipeline"),
        ("endpoints", "../schemas/endpoint"),
        ("endpoints/tests", "../../schemas/endpoint-tests"),
    ] {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                continue;
            }
            let first = format!("# yaml-language-server: $schema={schema}.schema.json\n");
            assert!(
                fs::read_to_string(&path).unwrap().starts_with(&first),
                "{} does not begin with {first}",
                path.display()
            );
        }
    }
}

#[test]
fn a_run_of_the_earthquakes_pins_what_it_needs() {
    let (set, _) = shipped();
    let pinned = set.pin("earthquakes").unwrap();
    let names = |names: Vec<&str>| names.join(", ");
    assert_eq!(
        names(
            pinned
                .connections
                .iter()
                .map(|connection| connection.name.as_str())
                .collect()
        ),
        "usgs"
    );
    assert_eq!(
        names(
            pinned
                .endpoints
                .iter()
                .map(|endpoint| endpoint.name.as_str())
                .collect()
        ),
        "quake, quakes, quakes_by_day"
    );
    assert_eq!(pinned.pipeline.tables[0].key, ["id"]);
}

#[test]
fn a_pinned_definition_comes_back_from_its_json() {
    let (set, _) = shipped();
    let pinned = set.pin("earthquakes").unwrap();
    let back: millrace_model::definition::Pinned =
        serde_json::from_slice(&pinned.to_json()).unwrap();
    assert_eq!(back, pinned);
    assert_eq!(back.version(), pinned.version());
    assert_eq!(pinned.version().len(), 64);
}
