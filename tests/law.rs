//! The law of imports (docs/architecture.md): data flows one way, and so do dependencies.

use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// Which packages of the workspace a package may name.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("millrace-model", &[]),
    ("millrace-store", &["millrace-model"]),
    ("millrace-records", &["millrace-model"]),
    ("millrace-lake", &["millrace-model", "millrace-store"]),
    ("millrace-postgres", &["millrace-model", "millrace-store"]),
    ("millrace-redis", &["millrace-model", "millrace-store"]),
    ("millrace-expect", &["millrace-model", "millrace-lake"]),
    ("millrace-engine", &["millrace-lake", "millrace-model"]),
    (
        "millrace-refine",
        &[
            "millrace-engine",
            "millrace-expect",
            "millrace-lake",
            "millrace-model",
            "millrace-store",
        ],
    ),
    (
        "refine",
        &[
            "millrace-lake",
            "millrace-model",
            "millrace-refine",
            "millrace-runtime",
            "millrace-store",
        ],
    ),
    (
        "millrace-ingest",
        &["millrace-model", "millrace-records", "millrace-store"],
    ),
    (
        "millrace-transform",
        &[
            "millrace-expect",
            "millrace-model",
            "millrace-records",
            "millrace-store",
            "millrace-lake",
        ],
    ),
    (
        "millrace-publish",
        &[
            "millrace-model",
            "millrace-store",
            "millrace-lake",
            "millrace-postgres",
            "millrace-redis",
        ],
    ),
    ("millrace-serve", &["millrace-model", "millrace-store"]),
    (
        "millrace-serve-postgres",
        &[
            "millrace-model",
            "millrace-postgres",
            "millrace-serve",
            "millrace-store",
        ],
    ),
    (
        "millrace-serve-lake",
        &[
            "millrace-engine",
            "millrace-lake",
            "millrace-model",
            "millrace-serve",
            "millrace-store",
        ],
    ),
    (
        "millrace-serve-redis",
        &[
            "millrace-model",
            "millrace-redis",
            "millrace-serve",
            "millrace-store",
        ],
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
            "millrace-serve-postgres",
        ],
    ),
    (
        "serve-lake",
        &[
            "millrace-lake",
            "millrace-model",
            "millrace-store",
            "millrace-runtime",
            "millrace-serve",
            "millrace-serve-lake",
            "millrace-serve-postgres",
        ],
    ),
    (
        "serve-redis",
        &[
            "millrace-model",
            "millrace-runtime",
            "millrace-serve",
            "millrace-serve-redis",
        ],
    ),
    (
        "bench-ingest",
        &[
            "millrace-model",
            "millrace-store",
            "millrace-runtime",
            "millrace-ingest",
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
            "millrace-refine",
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
            "tokio-postgres",
            "redis",
            "lambda_runtime",
            "aws-config",
        ],
    ),
    (
        "millrace-serve-redis",
        &[
            "deltalake-core",
            "datafusion",
            "arrow",
            "tokio-postgres",
            "lambda_runtime",
            "aws-config",
        ],
    ),
    (
        "millrace-serve-postgres",
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
    ("transform", &["datafusion"]),
    ("publish", &["datafusion"]),
    (
        "millrace-refine",
        &["lambda_runtime", "aws-config", "tokio-postgres"],
    ),
    (
        "millrace-serve-lake",
        &["lambda_runtime", "aws-config", "tokio-postgres"],
    ),
    ("serve-lake", &["redis"]),
    ("serve", &["deltalake-core", "datafusion", "arrow", "redis"]),
    (
        "serve-redis",
        &["deltalake-core", "datafusion", "arrow", "tokio-postgres"],
    ),
];

/// What `cargo metadata` says, as far as it is looked at. (The crate `cargo_metadata` would turn on a feature of
/// `serde_json` for the tests alone, and half of all dependencies would be built twice.)
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_members: Vec<String>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    manifest_path: String,
    dependencies: Vec<Declared>,
}

#[derive(Deserialize)]
struct Declared {
    name: String,
    /// `dev`, `build`, or none.
    kind: Option<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Resolved>,
}

#[derive(Deserialize)]
struct Resolved {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Deserialize)]
struct Kind {
    kind: Option<String>,
}

impl Metadata {
    fn read() -> Self {
        let output = Command::new(env!("CARGO"))
            .args([
                "metadata",
                "--format-version",
                "1",
                "--offline",
                "--locked",
                "--manifest-path",
            ])
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
            .output()
            .expect("cargo starts");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).expect("the form of cargo metadata")
    }

    /// The workspace's packages.
    fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages
            .iter()
            .filter(|package| self.workspace_members.contains(&package.id))
    }

    fn member(&self, name: &str) -> &Package {
        self.members()
            .find(|package| package.name == name)
            .unwrap_or_else(|| panic!("no member {name}"))
    }

    /// What each package depends on directly, development aside.
    fn edges(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut edges = BTreeMap::new();
        for node in &self.resolve.nodes {
            let is_normal = |to: &&Resolved| to.dep_kinds.iter().any(|kind| kind.kind.is_none());
            let to = node.deps.iter().filter(is_normal).map(|to| to.pkg.as_str());
            edges.insert(node.id.as_str(), to.collect());
        }
        edges
    }
}

#[test]
fn members_import_only_what_the_law_allows() {
    let metadata = Metadata::read();
    let edges = metadata.edges();
    let names: BTreeMap<&str, &str> = metadata
        .members()
        .map(|package| (package.id.as_str(), package.name.as_str()))
        .collect();
    let mut broken = Vec::new();
    for (name, allowed) in MAY_IMPORT {
        let imported = &edges[metadata.member(name).id.as_str()];
        for imported in imported.iter().filter_map(|id| names.get(id)) {
            if !allowed.contains(imported) {
                broken.push(format!("{name} imports {imported}"));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn every_library_stands_in_the_law() {
    let metadata = Metadata::read();
    let free = ["millrace-cli", "sample", "e2e"];
    for package in metadata
        .members()
        .filter(|package| !free.contains(&package.name.as_str()))
    {
        assert!(
            MAY_IMPORT.iter().any(|(name, _)| *name == package.name),
            "{} is under no law",
            package.name
        );
    }
}

#[test]
fn light_packages_do_not_link_heavy_ones() {
    let metadata = Metadata::read();
    let edges = metadata.edges();
    let names: BTreeMap<&str, &str> = metadata
        .packages
        .iter()
        .map(|package| (package.id.as_str(), package.name.as_str()))
        .collect();
    let mut broken = Vec::new();
    for (name, forbidden) in MUST_NOT_LINK {
        let mut open = vec![metadata.member(name).id.as_str()];
        let mut seen = BTreeSet::new();
        while let Some(id) = open.pop() {
            if seen.insert(id) {
                open.extend(&edges[id]);
            }
        }
        let linked = seen
            .iter()
            .map(|id| names[id])
            .filter(|linked| forbidden.contains(linked));
        broken.extend(linked.map(|linked| format!("{name} links {linked}")));
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn each_heavy_library_is_named_in_one_place() {
    let mut broken = Vec::new();
    for package in Metadata::read().members() {
        for dependency in package
            .dependencies
            .iter()
            .filter(|dependency| dependency.kind.is_none())
        {
            let owner = match dependency.name.as_str() {
                "deltalake-core" | "deltalake" => "millrace-lake",
                "datafusion" => "millrace-engine",
                "lambda_runtime" => "millrace-runtime",
                _ => continue,
            };
            if package.name != owner {
                broken.push(format!("{} names {}", package.name, dependency.name));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn functions_have_their_folders_name_and_thin_mains() {
    for package in Metadata::read().members() {
        let folder = Path::new(&package.manifest_path)
            .parent()
            .expect("a folder");
        if folder
            .parent()
            .is_some_and(|parent| parent.ends_with("functions"))
        {
            assert_eq!(Some(package.name.as_ref()), folder.file_name());
            let main = std::fs::read_to_string(folder.join("src/main.rs")).expect("a main");
            assert!(
                main.lines().count() <= 40,
                "{} has a main of more than 40 lines",
                package.name
            );
        }
    }
}
