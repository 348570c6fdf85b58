//! Where an author's things lie: the definitions, and the state of this machine.

use anyhow::Context;
use millrace_model::definition::EndpointTests;
use millrace_model::definition::parse::Problem;
use millrace_model::definition::set::DefinitionSet;
use millrace_model::keys;
use millrace_store::objects::{Folder, Objects};
use millrace_store::secrets::{LocalSecrets, Secrets};
use rand::Rng as _;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The name under which a consumer's key for this machine is kept.
pub const CONSUMERS: &str = "millrace/consumers";
/// The name under which the owner's credentials of the private PostgreSQL are kept.
pub const STORE_OWNER: &str = "millrace/store/owner";
/// The name under which the reader's are.
pub const STORE_READER: &str = "millrace/store/reader";
/// The secret with the credentials of Redis's owner.
pub const REDIS_OWNER: &str = "millrace/redis/owner";
/// The secret with the credentials of Redis's reader.
pub const REDIS_READER: &str = "millrace/redis/reader";

/// The name under which lies what cursors over the lake are sealed with.
pub const SEAL: &str = "millrace/serve/seal";

/// The folders of the definitions, with how their files' names end.
const FOLDERS: [(&str, &str); 4] = [
    ("connections", "yaml"),
    ("pipelines", "yaml"),
    ("models", "sql"),
    ("endpoints", "yaml"),
];

/// A folder of definitions, and the state that belongs to it.
pub struct Workspace {
    /// The folder that holds connections/, pipelines/ and endpoints/.
    pub directory: PathBuf,
    state: PathBuf,
}

impl Workspace {
    /// The workspace of that folder.
    pub fn new(directory: PathBuf, state: Option<PathBuf>) -> Self {
        let state = state.unwrap_or_else(|| directory.join(".millrace/local"));
        Self { directory, state }
    }

    /// A path in the state's folder, which is made if it is not there.
    pub fn state(&self, name: &str) -> anyhow::Result<PathBuf> {
        std::fs::create_dir_all(&self.state).with_context(|| {
            format!(
                "cannot make the folder {} (choose another with --state)",
                self.state.display()
            )
        })?;
        let folder = self.state.canonicalize()?;
        Ok(folder.join(name))
    }

    /// The folder that stands in for the lake's bucket.
    pub fn lake(&self) -> anyhow::Result<PathBuf> {
        let lake = self.state("lake")?;
        std::fs::create_dir_all(&lake)
            .with_context(|| format!("cannot make the folder {}", lake.display()))?;
        Ok(lake)
    }

    /// The lake's objects.
    pub fn objects(&self) -> anyhow::Result<Arc<dyn Objects>> {
        Ok(Arc::new(Folder::new(self.lake()?)))
    }

    /// The definitions as they are in the author's folder, laid in another one as they lie in a lake.
    pub async fn definitions_in(&self, folder: &Path) -> anyhow::Result<Arc<dyn Objects>> {
        let objects: Arc<dyn Objects> = Arc::new(Folder::new(folder));
        for (file, text) in self.files()? {
            objects.put(&key_of(&file)?, text.into()).await?;
        }
        Ok(objects)
    }

    /// The secrets of this machine: `secrets.yaml` in the definitions' folder (keep it out of version control), and
    /// `MILLRACE_SECRET_…` of the environment (`MILLRACE_SECRET_MILLRACE_CRM` is the secret `millrace/crm`), which wins.
    /// What a run writes back to a secret, as the next refresh token, lies in the state's folder.
    /// `made` are those that this process made itself, by name.
    pub fn secrets(&self, made: &[(&str, String)]) -> Arc<dyn Secrets> {
        let mut values: BTreeMap<String, String> = made
            .iter()
            .map(|(name, value)| (LocalSecrets::variable(name), value.clone()))
            .collect();
        values.extend(std::env::vars());
        let file = self.directory.join("secrets.yaml");
        Arc::new(LocalSecrets::new(Some(file), values).written_to(self.state.join("secrets")))
    }

    /// The key by which a consumer on this machine asks; made when it is first asked for, then kept.
    pub fn consumer_key(&self) -> anyhow::Result<String> {
        let path = self.state("consumer-key")?;
        if let Ok(key) = std::fs::read_to_string(&path)
            && !key.is_empty()
        {
            return Ok(key);
        }
        let key: String = rand::rng()
            .sample_iter(rand::distr::Alphanumeric)
            .take(24)
            .map(char::from)
            .collect();
        write_whole(&path, key.as_bytes())?;
        Ok(key)
    }

    /// All definitions, and everything that is wrong with them.
    pub fn definitions(&self) -> anyhow::Result<(DefinitionSet, Vec<Problem>)> {
        let files = self.files()?;
        anyhow::ensure!(
            !files.is_empty(),
            "no definitions in {}: `millrace new connection NAME` writes the first one, or name their folder with -C",
            self.directory.display()
        );
        Ok(DefinitionSet::parse(files))
    }

    /// All definitions, if nothing is wrong with them.
    pub fn valid_definitions(&self) -> anyhow::Result<DefinitionSet> {
        let (set, problems) = self.definitions()?;
        if problems.is_empty() {
            return Ok(set);
        }
        let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
        anyhow::bail!("the definitions are not valid:\n  {}", lines.join("\n  "))
    }

    /// The tests of the endpoints, and everything that is wrong with them.
    pub fn endpoint_tests(
        &self,
        set: &DefinitionSet,
    ) -> anyhow::Result<(Vec<EndpointTests>, Vec<Problem>)> {
        let (mut tests, mut problems) = (Vec::new(), Vec::new());
        for (file, text) in self.files_of("endpoints/tests", "yaml")? {
            match set.endpoint_tests(&file, &text) {
                Ok(found) => tests.push(found),
                Err(found) => problems.extend(found),
            }
        }
        Ok((tests, problems))
    }

    /// The definitions' files: `pipelines/orders.yaml` and its text.
    pub fn files(&self) -> anyhow::Result<Vec<(String, String)>> {
        let mut files = Vec::new();
        for (folder, extension) in FOLDERS {
            files.extend(self.files_of(folder, extension)?);
        }
        files.sort();
        Ok(files)
    }

    /// The files of one folder whose names end so; none where there is no such folder.
    fn files_of(&self, name: &str, extension: &str) -> anyhow::Result<Vec<(String, String)>> {
        let folder = self.directory.join(name);
        let Ok(entries) = std::fs::read_dir(&folder) else {
            return Ok(Vec::new());
        };
        let mut files = Vec::new();
        for entry in entries {
            let path = entry
                .with_context(|| format!("cannot read {}", folder.display()))?
                .path();
            let Some(file) = named(&path, extension) else {
                continue;
            };
            let text = std::fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            files.push((format!("{name}/{file}"), text));
        }
        files.sort();
        Ok(files)
    }
}

/// The file's name, where it ends so and is not hidden.
fn named<'p>(path: &'p Path, extension: &str) -> Option<&'p str> {
    let name = path.file_name()?.to_str()?;
    let is_wanted = path.extension().is_some_and(|found| found == extension);
    (is_wanted && !name.starts_with('.')).then_some(name)
}

/// Writes a file that its owner alone can read, whole or not at all, whenever this process is killed.
pub fn write_whole(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let write = || {
        let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(Path::new(".")))?;
        std::io::Write::write_all(&mut file, bytes)?;
        file.persist(path)?;
        std::io::Result::Ok(())
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}
/// Where a definition's file lies in a lake.
pub fn key_of(file: &str) -> anyhow::Result<String> {
    let (kind, name) = file
        .split_once("s/")
        .context("a definition lies in a folder of its kind")?;
    Ok(match kind {
        "model" => keys::model_file(name),
        _ => keys::definition(kind, name.trim_end_matches(".yaml")),
    })
}
