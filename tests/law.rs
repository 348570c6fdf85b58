//! The law of imports (docs/architecture.md): data flows one way, and so do dependencies.

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId};
use std::collections::{BTreeMap, BTreeSet};

/// Which packages of the workspace a package may name.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("millrace-model", &[]),
    ("millrace-store", &["millrace-model"]),
    ("millrace-lake", &["millrace-model", "millrace-store"]),
    ("millrace-postgres", &["millrace-model", "millrace-store"]),
    ("millrace-ingest", &["millrace-model", "millrace-store"]),
    (
        "millrace-transform",
        &["millrace-model", "millrace-store", "millrace-lake"],
    ),
    (
        "millrace-publish",
        &[
            "millrace-model",
            "millrace-store",
            "millrace-lake",
            "millrace-postgres",
        ],
    ),
    (
        "millrace-serve",
        &["millrace-model", "millrace-store", "millrace-postgres"],
    ),
    ("millrace-control", &["millrace-model", "millrace-store"]),
    ("millrace-runtime", &["millrace-model", "millrace-store"]),
    (
        "trigger",
        &[
            "millrace-model",
            "millrace-store",
            "millrace-runtime",
            "millrace-control",
        ],
    ),
    (
        "ingest",
        &[
            "millrace-model",
            "millrace-store",
            "millrace-runtime",
            "millrace-ingest",
        ],
    ),
    (
        "transform",
        &[
            "millrace-model",
            "millrace-store",
            "millrace-runtime",
            "millrace-transform",
        ],
    ),
    (
        "publish",
        &[
            "millrace-model",
            "millrace-store",
            "millrace-lake",
            "millrace-runtime",
            "millrace-publish",
        ],
    ),
    (
        "serve",
        &[
            "millrace-model",
            "millrace-store",
            "millrace-runtime",
            "millrace-serve",
        ],
    ),
    (
        "task",
        &[
            "millrace-model",
            "millrace-store",
            "millrace-lake",
            "millrace-runtime",
            "millrace-ingest",
            "millrace-transform",
            "millrace-publish",
        ],
    ),
];

/// What a package must not link, however deep.
const MUST_NOT_LINK: &[(&str, &[&str])] = &[
    ("millrace-model", &["tokio", "reqwest", "hyper"]),
    (
        "millrace-ingest",
        &[
            "deltalake-core",
            "datafusion",
            "lambda_runtime",
            "aws-config",
            "tokio-postgres",
        ],
    ),
    (
        "millrace-transform",
        &["datafusion", "lambda_runtime", "aws-config"],
    ),
    (
        "millrace-publish",
        &["datafusion", "lambda_runtime", "aws-config"],
    ),
    (
        "millrace-serve",
        &[
            "deltalake-core",
            "datafusion",
            "arrow",
            "lambda_runtime",
            "aws-config",
        ],
    ),
    (
        "millrace-control",
        &[
            "deltalake-core",
            "datafusion",
            "arrow",
            "lambda_runtime",
            "aws-config",
        ],
    ),
    (
        "trigger",
        &["deltalake-core", "arrow", "tokio-postgres", "reqwest"],
    ),
    ("ingest", &["deltalake-core", "arrow", "tokio-postgres"]),
    ("serve", &["deltalake-core", "datafusion", "arrow"]),
];

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .other_options(["--offline".to_owned(), "--locked".to_owned()])
        .exec()
        .expect("cargo metadata")
}

/// What each package depends on directly, development aside.
fn edges(metadata: &Metadata) -> BTreeMap<&PackageId, Vec<&PackageId>> {
    let resolve = metadata.resolve.as_ref().expect("a resolved graph");
    let normal = |dependency: &&cargo_metadata::NodeDep| {
        dependency
            .dep_kinds
            .iter()
            .any(|kind| kind.kind == DependencyKind::Normal)
    };
    resolve
        .nodes
        .iter()
        .map(|node| {
            (
                &node.id,
                node.deps
                    .iter()
                    .filter(normal)
                    .map(|dependency| &dependency.pkg)
                    .collect(),
            )
        })
        .collect()
}

#[test]
fn members_import_only_what_the_law_allows() {
    let metadata = metadata();
    let edges = edges(&metadata);
    let members: BTreeMap<&PackageId, &str> = metadata
        .workspace_packages()
        .iter()
        .map(|package| (&package.id, package.name.as_str()))
        .collect();
    let mut broken = Vec::new();
    for (name, allowed) in MAY_IMPORT {
        let (id, _) = members
            .iter()
            .find(|(_, member)| *member == name)
            .unwrap_or_else(|| panic!("no member {name}"));
        for imported in edges[*id].iter().filter_map(|id| members.get(*id)) {
            if !allowed.contains(imported) {
                broken.push(format!("{name} imports {imported}"));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn light_packages_do_not_link_heavy_ones() {
    let metadata = metadata();
    let edges = edges(&metadata);
    let names: BTreeMap<&PackageId, &str> = metadata
        .packages
        .iter()
        .map(|package| (&package.id, package.name.as_str()))
        .collect();
    let mut broken = Vec::new();
    for (name, forbidden) in MUST_NOT_LINK {
        let root = metadata
            .workspace_packages()
            .into_iter()
            .find(|package| package.name.as_str() == *name);
        let mut open = vec![&root.unwrap_or_else(|| panic!("no member {name}")).id];
        let mut seen = BTreeSet::new();
        while let Some(id) = open.pop() {
            if seen.insert(id) {
                open.extend(&edges[id]);
            }
        }
        broken.extend(
            seen.iter()
                .filter(|id| forbidden.contains(&names[**id]))
                .map(|id| format!("{name} links {}", names[*id])),
        );
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn only_the_lake_names_deltalake_and_only_the_runtime_names_lambda() {
    let metadata = metadata();
    let mut broken = Vec::new();
    for package in metadata.workspace_packages() {
        for dependency in package
            .dependencies
            .iter()
            .filter(|dependency| dependency.kind == DependencyKind::Normal)
        {
            let owner = match dependency.name.as_str() {
                "deltalake-core" | "deltalake" => "millrace-lake",
                "lambda_runtime" => "millrace-runtime",
                _ => continue,
            };
            if package.name.as_str() != owner {
                broken.push(format!("{} names {}", package.name, dependency.name));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn functions_have_their_folders_name() {
    for package in metadata().workspace_packages() {
        let folder = package.manifest_path.parent().expect("a folder");
        if folder
            .parent()
            .is_some_and(|parent| parent.ends_with("functions"))
        {
            assert_eq!(Some(package.name.as_str()), folder.file_name());
            let main = std::fs::read_to_string(folder.join("src/main.rs")).expect("a main");
            assert!(
                main.lines().count() <= 40,
                "{} has a main of more than 40 lines",
                package.name
            );
        }
    }
}
