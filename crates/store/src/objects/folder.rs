//! Objects as the files of a folder, for a laptop.
//!
//! Several processes may use one folder at once, and any of them may be killed at any moment. A file is written under a
//! private name and then renamed, so that nobody sees half of it; every change is made under a lock that the operating
//! system releases when its holder dies. Nothing is flushed to the disk: what a power cut takes, a run makes again.

use super::{Entry, Error, ErrorKind, Object, Objects, Version, check_key};
use async_trait::async_trait;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Where locks and half-written files lie; no key begins so.
pub(super) const PRIVATE: &str = ".millrace/";

/// How many locks there are: changes of keys that fall on different ones do not wait for one another.
const LOCKS: u8 = 64;

/// After how long a half-written file is nobody's any more.
const ABANDONED: Duration = Duration::from_hours(1);

/// Objects as the files of a folder.
#[derive(Clone, Debug)]
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    /// The objects in that folder, which need not exist yet. Clears what killed writers left there.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        let folder = Self { root: root.into() };
        folder.clear_abandoned();
        folder
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Runs file operations where they may block.
    async fn blocking<T: Send + 'static>(
        &self,
        key: &str,
        work: impl FnOnce(&Self, &str) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (folder, owned) = (self.clone(), key.to_owned());
        tokio::task::spawn_blocking(move || work(&folder, &owned))
            .await
            .unwrap_or_else(|stopped| Err(Error::because(ErrorKind::Transient, key, stopped)))
    }

    fn path(&self, key: &str) -> Result<PathBuf, Error> {
        check_key(key)?;
        Ok(self.root.join(key))
    }

    fn read(&self, key: &str) -> Result<Option<Object>, Error> {
        match fs::read(self.path(key)?) {
            Ok(bytes) => Ok(Some(Object {
                version: digest(&bytes),
                bytes: bytes.into(),
            })),
            Err(cause) if is_absent(&cause) => Ok(None),
            Err(cause) => Err(from_io(key, cause)),
        }
    }

    fn read_range(&self, key: &str, range: &Range<u64>) -> Result<Bytes, Error> {
        let mut file = match File::open(self.path(key)?) {
            Err(cause) if is_absent(&cause) => return Err(Error::new(ErrorKind::NotFound, key)),
            opened => opened.map_err(|cause| from_io(key, cause))?,
        };
        let read = |file: &mut File| {
            let size = file.metadata()?.len();
            let mut bytes = Vec::new();
            if range.start < size {
                file.seek(SeekFrom::Start(range.start))?;
                file.take(range.end.saturating_sub(range.start))
                    .read_to_end(&mut bytes)?;
            }
            Ok(bytes)
        };
        let bytes = read(&mut file).map_err(|cause| from_io(key, cause))?;
        if bytes.is_empty() {
            let reason = format!("it has no bytes {}..{}", range.start, range.end);
            return Err(Error::because(ErrorKind::Malformed, key, reason));
        }
        Ok(bytes.into())
    }

    /// Writes an object if `may` allows it, given what is there.
    fn write(
        &self,
        key: &str,
        bytes: &[u8],
        may: impl FnOnce() -> Result<(), Error>,
    ) -> Result<Version, Error> {
        let path = self.path(key)?;
        let write = || {
            let private = self.private("writing")?;
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            let mut file = tempfile::Builder::new().tempfile_in(private)?;
            file.write_all(bytes)?;
            Ok(file)
        };
        let file = write().map_err(|cause| from_io(key, cause))?;
        let _lock = self.lock(key)?;
        may()?;
        file.persist(&path)
            .map_err(|refused| from_io(key, refused.error))?;
        Ok(digest(bytes))
    }

    /// The lock under which objects of that key are changed, held until it is dropped.
    fn lock(&self, key: &str) -> Result<File, Error> {
        let number = Sha256::digest(key)[0] % LOCKS;
        let lock = || {
            let file = File::create(self.private("locks")?.join(number.to_string()))?;
            file.lock()?;
            Ok(file)
        };
        lock().map_err(|cause| from_io(key, cause))
    }

    fn private(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.root.join(PRIVATE).join(name);
        fs::create_dir_all(&path)?;
        Ok(path)
    }

    /// Removes what killed writers left. Fails in silence: nothing depends on it.
    fn clear_abandoned(&self) {
        let Ok(files) = fs::read_dir(self.root.join(PRIVATE).join("writing")) else {
            return;
        };
        for file in files.flatten() {
            let modified = file.metadata().and_then(|metadata| metadata.modified());
            let age = modified.map(|at| SystemTime::now().duration_since(at).unwrap_or_default());
            if age.is_ok_and(|age| age > ABANDONED) {
                fs::remove_file(file.path()).ok();
            }
        }
    }

    /// Collects the entries of one directory, whose keys begin with `under`, and of those below it.
    fn collect(&self, under: &str, wanted: &mut Wanted<'_>) -> Result<(), Error> {
        let directory = self.root.join(under);
        let listed = match fs::read_dir(&directory) {
            Err(cause) if is_absent(&cause) => return Ok(()),
            listed => listed.map_err(|cause| from_io(under, cause))?,
        };
        let mut keys = Vec::new();
        for file in listed {
            let file = file.map_err(|cause| from_io(under, cause))?;
            let is_folder = file
                .file_type()
                .map_err(|cause| from_io(under, cause))?
                .is_dir();
            // A name that is not UTF-8 is nobody's key.
            if let Ok(name) = file.file_name().into_string() {
                let slash = if is_folder { "/" } else { "" };
                keys.push(format!("{under}{name}{slash}"));
            }
        }
        // With its slash a folder stands where its keys do: `a-b` comes before `a/b`.
        keys.sort_unstable();
        for key in keys {
            if wanted.found.len() >= wanted.limit {
                break;
            }
            if key.ends_with('/') {
                if key != PRIVATE && wanted.may_hold(&key) {
                    self.collect(&key, wanted)?;
                }
            } else if wanted.wants(&key)
                // It may have been removed in between.
                && let Some(object) = self.read(&key)?
            {
                wanted.found.push(Entry {
                    size: object.bytes.len() as u64,
                    version: object.version,
                    key,
                });
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Objects for Folder {
    async fn get(&self, key: &str) -> Result<Option<Object>, Error> {
        self.blocking(key, Self::read).await
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, Error> {
        self.blocking(key, move |folder, key| folder.read_range(key, &range))
            .await
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<Version, Error> {
        self.blocking(key, move |folder, key| folder.write(key, &bytes, || Ok(())))
            .await
    }

    async fn create(&self, key: &str, bytes: Bytes) -> Result<Version, Error> {
        self.blocking(key, move |folder, key| {
            folder.write(key, &bytes, || match folder.path(key)?.try_exists() {
                Ok(false) => Ok(()),
                Ok(true) => Err(Error::new(ErrorKind::Exists, key)),
                Err(cause) => Err(from_io(key, cause)),
            })
        })
        .await
    }

    async fn replace(&self, key: &str, bytes: Bytes, version: &Version) -> Result<Version, Error> {
        let version = version.clone();
        self.blocking(key, move |folder, key| {
            folder.write(key, &bytes, || match folder.read(key)? {
                Some(there) if there.version == version => Ok(()),
                _ => Err(Error::new(ErrorKind::Changed, key)),
            })
        })
        .await
    }

    async fn delete(&self, key: &str) -> Result<(), Error> {
        self.blocking(key, |folder, key| {
            let path = folder.path(key)?;
            let _lock = folder.lock(key)?;
            match fs::remove_file(path) {
                Err(cause) if !is_absent(&cause) => Err(from_io(key, cause)),
                _ => Ok(()),
            }
        })
        .await
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Entry>, Error> {
        let after = after.map(ToOwned::to_owned);
        self.blocking(prefix, move |folder, prefix| {
            let mut wanted = Wanted {
                prefix,
                after: after.as_deref(),
                limit,
                found: Vec::new(),
            };
            folder.collect("", &mut wanted)?;
            Ok(wanted.found)
        })
        .await
    }
}

/// What a list looks for, and what it has found.
struct Wanted<'a> {
    prefix: &'a str,
    after: Option<&'a str>,
    limit: usize,
    found: Vec<Entry>,
}

impl Wanted<'_> {
    fn wants(&self, key: &str) -> bool {
        key.starts_with(self.prefix) && self.after.is_none_or(|after| key > after)
    }

    /// Whether a key that begins with `folder` may be wanted.
    fn may_hold(&self, folder: &str) -> bool {
        (folder.starts_with(self.prefix) || self.prefix.starts_with(folder))
            && self
                .after
                .is_none_or(|after| folder > after || after.starts_with(folder))
    }
}

fn digest(bytes: &[u8]) -> Version {
    Version(hex::encode(Sha256::digest(bytes)))
}

/// Whether there is no file: a folder in its place, or a file in a folder's place, holds no object of that key either.
fn is_absent(cause: &io::Error) -> bool {
    matches!(
        cause.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory
    )
}

fn from_io(key: &str, cause: io::Error) -> Error {
    let kind = match cause.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => ErrorKind::Denied,
        io::ErrorKind::NotADirectory
        | io::ErrorKind::IsADirectory
        | io::ErrorKind::InvalidFilename => ErrorKind::InvalidKey,
        _ => ErrorKind::Transient,
    };
    Error::because(kind, key, cause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;
    use crate::objects::conformance;
    use std::process::{Command, Stdio};

    #[tokio::test]
    async fn conforms() {
        let place = tempfile::tempdir().unwrap();
        conformance::run(&Folder::new(place.path())).await;
    }

    #[tokio::test]
    async fn conforms_when_two_share_a_folder() {
        let place = tempfile::tempdir().unwrap();
        let folders = [&Folder::new(place.path()), &Folder::new(place.path())];
        conformance::one_of_many_creates(&folders, "shared").await;
        conformance::no_update_is_lost(&folders, "shared").await;
    }

    #[tokio::test]
    async fn keeps_no_half_written_file_of_a_killed_writer() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::new(place.path());
        folder.put("a/b", Bytes::from_static(b"1")).await.unwrap();
        let writing = place.path().join(".millrace/writing");
        let (old, young) = (writing.join("old"), writing.join("young"));
        fs::write(&young, "half").unwrap();
        let file = File::create(&old).unwrap();
        file.set_modified(SystemTime::now() - 2 * ABANDONED)
            .unwrap();

        let folder = Folder::new(place.path());

        assert!(!old.exists() && young.exists());
        let keys: Vec<_> = folder.list("", None, 10).await.unwrap();
        assert_eq!(keys.len(), 1, "private files are not listed: {keys:?}");
    }

    #[tokio::test]
    async fn never_leaves_its_folder() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::new(place.path().join("lake"));
        for key in [
            "../out",
            "a/../../out",
            "/etc/out",
            "..",
            ".millrace/locks/1",
        ] {
            let refused = folder.put(key, Bytes::new()).await.unwrap_err();
            assert_eq!(refused.kind, ErrorKind::InvalidKey, "{key}");
        }
        assert!(!place.path().join("out").exists());
    }

    /// Where the processes that `survives_kills` starts, which are this test again, write until they are killed.
    const PLACE: &str = "FOLDER_OF_A_KILLED_WRITER";

    async fn add_until_killed(folder: &Folder) {
        loop {
            let add = |count: Option<u64>| Ok::<_, Error>(Some(count.unwrap_or(0) + 1));
            json::update(folder, "count.json", add).await.unwrap();
        }
    }

    #[tokio::test]
    async fn survives_kills() {
        if let Some(place) = std::env::var_os(PLACE) {
            add_until_killed(&Folder::new(place)).await;
        }
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::new(place.path());
        let mut before = 0;
        for round in 0..10 {
            let start = || {
                let mut process = Command::new(std::env::current_exe().unwrap());
                process.args(["survives_kills", "--test-threads=1"]);
                process.env(PLACE, place.path()).stdout(Stdio::null());
                process.spawn().unwrap()
            };
            let mut processes = [start(), start()];
            // The first kill comes once both had time to start, the others anywhere.
            tokio::time::sleep(Duration::from_millis(150 + 7 * round)).await;
            for process in &mut processes {
                process.kill().unwrap();
                process.wait().unwrap();
            }
            let count: u64 = json::get(&folder, "count.json").await.unwrap().unwrap();
            assert!(count > before, "round {round}: {before} became {count}");
            before = count;
        }
        assert_eq!(folder.list("", None, 10).await.unwrap().len(), 1);
    }
}
