//! Where PostgreSQL's programs are.

use super::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder with a PostgreSQL's programs.
#[derive(Debug)]
pub struct Binaries {
    /// The folder.
    pub dir: PathBuf,
}

/// Where systems put them; a `*` is a version.
const PLACES: [&str; 6] = [
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/local/pgsql/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
];

const NEEDED: [&str; 3] = ["initdb", "pg_ctl", "postgres"];

impl Binaries {
    /// The programs in `given`, or else in the first place that has them; of version `major` where that matters.
    pub fn find(given: Option<&Path>, major: Option<&str>) -> Result<Self, Error> {
        let (candidates, searched) = match given {
            Some(dir) => (vec![dir.to_owned()], dir.display().to_string()),
            None => (candidates(), format!("PATH, {}", PLACES.join(", "))),
        };
        candidates
            .into_iter()
            .filter(|dir| NEEDED.iter().all(|program| dir.join(program).is_file()))
            .find(|dir| major.is_none_or(|major| version(dir).as_deref() == Some(major)))
            .map(|dir| Self { dir })
            .ok_or_else(|| Error::NoBinaries {
                major: major.map(str::to_owned),
                searched,
            })
    }
}

fn candidates() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(PLACES.iter().flat_map(|place| expand(place)))
        .collect()
}

/// The folders that a place with a version in it stands for, the newest first.
fn expand(place: &str) -> Vec<PathBuf> {
    let Some((before, after)) = place.split_once('*') else {
        return vec![place.into()];
    };
    let (parent, prefix) = before.rsplit_once('/').unwrap_or(("", before));
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let version = name.strip_prefix(prefix)?.split('.').next()?.parse().ok()?;
            Some((version, entry.path().join(after.trim_start_matches('/'))))
        })
        .collect();
    versions.sort_unstable_by(|left, right| right.cmp(left));
    versions.into_iter().map(|(_, dir)| dir).collect()
}

/// The major version, as `PG_VERSION` writes it: `postgres (PostgreSQL) 15.13 (Debian …)` → `15`.
fn version(dir: &Path) -> Option<String> {
    let output = Command::new(dir.join("postgres"))
        .arg("--version")
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let version = text.split("(PostgreSQL) ").nth(1)?;
    Some(version.chars().take_while(char::is_ascii_digit).collect())
}
