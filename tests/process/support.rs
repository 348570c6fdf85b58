//! An author with a folder of definitions and the compiled command.

use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// An author's folder; its server and its PostgreSQL end with it.
pub struct Author {
    folder: TempDir,
    base_urls: Vec<String>,
}

impl Author {
    /// With an empty folder.
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
            base_urls: Vec::new(),
        }
    }

    /// With the definitions that the repository ships, and the connection `usgs` led to the sample source.
    pub fn with_shipped_definitions(sample: &sample::Running) -> Self {
        let mut author = Self::new();
        for kind in [
            "connections",
            "pipelines",
            "models",
            "endpoints",
            "endpoints/tests",
        ] {
            fs::create_dir(author.path(kind)).expect("a folder");
            for entry in fs::read_dir(repository().join(kind)).expect("the shipped definitions") {
                let from = entry.expect("an entry").path();
                if from.is_dir() {
                    continue;
                }
                fs::copy(
                    &from,
                    author.path(kind).join(from.file_name().expect("a name")),
                )
                .expect("a copy");
            }
        }
        author.base_urls = vec![format!("usgs={}", sample.event_url())];
        author
    }

    /// With a source that sets no limit: the shipped connection is polite to the real one.
    pub fn unlimited(self) -> Self {
        let file = self.path("connections/usgs.yaml");
        let text = fs::read_to_string(&file).expect("the connection");
        assert!(text.contains("rate_limit: 5/s"), "{text}");
        fs::write(&file, text.replace("rate_limit: 5/s", "")).expect("a file");
        self
    }

    /// A path in the author's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The lake's folder.
    pub fn lake(&self) -> PathBuf {
        self.path(".millrace/local/lake")
    }

    /// The command with those arguments, not started.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary("millrace"));
        command
            .current_dir(self.folder.path())
            .args(arguments)
            .stdin(Stdio::null());
        if arguments.first() == Some(&"run") {
            for base_url in &self.base_urls {
                command.args(["--base-url", base_url]);
            }
        }
        command
    }

    /// What the command did.
    pub fn output(&self, arguments: &[&str]) -> Output {
        self.command(arguments)
            .output()
            .expect("the command starts")
    }

    /// What the command printed; it must have ended well.
    pub fn millrace(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert!(
            output.status.success(),
            "millrace {arguments:?}: {}\n{stdout}\n{stderr}",
            output.status
        );
        stdout
    }

    /// The endpoints, served.
    pub fn serve(&self) -> Served {
        let mut child = self
            .command(&["serve"])
            .stdout(Stdio::null())
            .spawn()
            .expect("the server starts");
        let file = self.path(".millrace/local/serve.json");
        let until = Instant::now() + Duration::from_mins(1);
        loop {
            let running = fs::read(&file)
                .ok()
                .and_then(|text| serde_json::from_slice::<Value>(&text).ok());
            if let Some(running) = running.filter(|running| running["pid"] == child.id()) {
                let word = |name: &str| running[name].as_str().expect("a word").to_owned();
                return Served {
                    child,
                    url: word("url"),
                    key: word("key"),
                };
            }
            assert!(
                child.try_wait().expect("a process").is_none(),
                "the server ended"
            );
            assert!(Instant::now() < until, "the server does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// All entries of the ledger, oldest first.
    pub fn ledger(&self, pipeline: &str) -> Vec<Value> {
        let Ok(entries) = fs::read_dir(self.lake().join("runs").join(pipeline)) else {
            return Vec::new();
        };
        let mut files: Vec<_> = entries
            .map(|entry| entry.expect("an entry").path())
            .collect();
        files.retain(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        });
        files.sort();
        files
            .iter()
            .map(|path| serde_json::from_slice(&fs::read(path).expect("a file")).expect("JSON"))
            .collect()
    }

    /// The decompressed bodies of a resource's raw payloads, run by run in order, with their manifests' pages.
    pub fn raw(&self, pipeline: &str, resource: &str) -> Vec<(Value, Vec<u8>)> {
        let mut bodies = Vec::new();
        for run in sorted(&self.lake().join("raw").join(pipeline).join(resource)) {
            for manifest in sorted(&run.join("manifest")) {
                let manifest: Value =
                    serde_json::from_slice(&fs::read(manifest).expect("a file")).expect("JSON");
                let Some(object) = manifest["object"].as_str() else {
                    continue;
                };
                let object = fs::read(self.lake().join(object)).expect("the segment");
                for page in manifest["pages"].as_array().expect("pages") {
                    let (offset, length) = (number(&page["offset"]), number(&page["length"]));
                    let body =
                        zstd::decode_all(&object[offset..offset + length]).expect("a zstd frame");
                    bodies.push((page.clone(), body));
                }
            }
        }
        bodies
    }
}

impl Drop for Author {
    fn drop(&mut self) {
        if self.path(".millrace/local/postgres").exists() {
            self.output(&["postgres", "stop"]);
        }
    }
}

/// A server that runs.
pub struct Served {
    child: Child,
    /// Where it listens.
    pub url: String,
    /// The consumer's key.
    pub key: String,
}

impl Served {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The answer to a GET with the key.
    pub async fn get(&self, path: &str) -> (u16, Value) {
        let request = reqwest::Client::new()
            .get(format!("{}{path}", self.url))
            .header("x-api-key", &self.key);
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), answer.json().await.expect("JSON"))
    }

    /// All rows of a path, page by page, by the column `id`; no id may come twice.
    pub async fn all(&self, path: &str) -> BTreeMap<String, Value> {
        let mut rows = BTreeMap::new();
        let mut cursor = String::new();
        loop {
            let (status, body) = self.get(&format!("{path}&limit=1000{cursor}")).await;
            assert_eq!(status, 200, "{body}");
            for row in body["data"].as_array().expect("data") {
                let id = row["id"].as_str().expect("an id").to_owned();
                assert!(rows.insert(id, row.clone()).is_none(), "twice: {row}");
            }
            match body["page"]["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return rows,
            }
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        Command::new("kill")
            .arg(self.child.id().to_string())
            .status()
            .ok();
        self.child.wait().ok();
    }
}

/// The repository's root.
pub fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// A binary that was built beside this test.
pub fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("this test's path");
    let path = test
        .parent()
        .and_then(Path::parent)
        .expect("the target folder")
        .join(name);
    assert!(
        path.exists(),
        "{} is not built: cargo build --workspace --bins",
        path.display()
    );
    path
}

/// Whether the long form of the tests was asked for (`make soak`).
pub fn long() -> bool {
    std::env::var("MILLRACE_TEST_LENGTH").is_ok_and(|length| length == "long")
}

/// Bytes as text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A number that counts something in memory.
pub fn number(value: &Value) -> usize {
    value.as_u64().expect("a number") as usize
}

/// All files below a folder.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in sorted(folder) {
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

fn sorted(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    paths
}
