//! Objects under keys, with the two conditional puts on which everything else rests: create where nothing is, and
//! replace what was read.
//!
//! A key is UTF-8 of at most 1,024 bytes, made of non-empty segments between slashes, none of them `.` or `..`. An object
//! never lies at a key that is another one's folder.

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod folder;
#[cfg(feature = "aws")]
mod s3;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use millrace_model::{Failure, FailureName};
use std::fmt;
use std::ops::Range;
use std::time::Duration;

pub use folder::Folder;
#[cfg(feature = "aws")]
pub use s3::S3;

/// The lake's objects.
///
/// A network may lose the answer to a write that was done, and the write is then tried again: `Exists` and `Changed` can
/// be the echo of one's own write. Whoever must know reads the object and looks.
#[async_trait]
pub trait Objects: fmt::Debug + Send + Sync {
    /// The object, or none where there is none.
    async fn get(&self, key: &str) -> Result<Option<Object>, Error>;
    /// Some of an object's bytes; `NotFound` where there is no object, and fewer bytes where it ends within the range.
    /// `Malformed` where it ends before the range begins, or where the range is empty.
    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, Error>;
    /// Writes an object, whatever was there.
    async fn put(&self, key: &str, bytes: Bytes) -> Result<Version, Error>;
    /// Writes an object where none is; `Exists` otherwise. Of several at once exactly one succeeds.
    async fn create(&self, key: &str, bytes: Bytes) -> Result<Version, Error>;
    /// Writes an object in the place of that version; `Changed` where it is not that version any more, or is gone.
    async fn replace(&self, key: &str, bytes: Bytes, version: &Version) -> Result<Version, Error>;
    /// Removes an object; all the same where there is none.
    async fn delete(&self, key: &str) -> Result<(), Error>;
    /// At most `limit` of the objects whose keys begin with a prefix, in the byte order of their keys, behind `after`.
    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Entry>, Error>;
    /// What lay at a key before what lies there now, the youngest first and at most `limit`. A store that keeps no
    /// versions has nothing to say.
    async fn earlier(&self, key: &str, limit: usize) -> Result<Vec<Bytes>, Error> {
        let _ = (key, limit);
        Ok(Vec::new())
    }
    /// A URL under which anybody may read the object for a while, whether it is there or not. A store that nobody else
    /// can reach has none.
    async fn link(&self, key: &str, link: &Link<'_>) -> Result<Option<String>, Error> {
        let _ = (key, link);
        Ok(None)
    }
    /// Removes for good what lay under a prefix before what lies there now, objects that were removed included, and says how
    /// many versions that were. A store that keeps no versions has nothing to do.
    async fn forget_earlier(&self, prefix: &str) -> Result<u64, Error> {
        let _ = prefix;
        Ok(0)
    }
}

/// What a URL of an object is to be like.
#[derive(Clone, Copy, Debug)]
pub struct Link<'a> {
    /// How long it opens.
    pub opens: Duration,
    /// Of which type the answer says that it is.
    pub content_type: &'a str,
    /// Under which name a browser keeps it.
    pub file_name: &'a str,
}

/// How many objects are listed at once.
const LISTED: usize = 1000;

/// All objects whose keys begin with a prefix, in the byte order of their keys. They are listed as they are asked for.
pub fn all<'o>(objects: &'o dyn Objects, prefix: &str) -> BoxStream<'o, Result<Entry, Error>> {
    let begin = (prefix.to_owned(), None::<String>, false);
    stream::try_unfold(begin, async move |(prefix, after, is_over)| {
        if is_over {
            return Ok(None);
        }
        let entries = objects.list(&prefix, after.as_deref(), LISTED).await?;
        let is_over = entries.len() < LISTED;
        let after = entries.last().map(|entry| entry.key.clone());
        let entries = stream::iter(entries.into_iter().map(Ok));
        Ok(Some((entries, (prefix, after, is_over))))
    })
    .try_flatten()
    .boxed()
}

/// An object's bytes and the version that they are.
#[derive(Clone, Debug)]
pub struct Object {
    /// The bytes.
    pub bytes: Bytes,
    /// The version, for `replace`.
    pub version: Version,
}

/// An object's version: S3's ETag, or a digest. Opaque.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Version(pub String);

/// An object in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its key.
    pub key: String,
    /// How many bytes it has.
    pub size: u64,
    /// Its version.
    pub version: Version,
}

/// What went wrong with which object.
#[derive(Debug, thiserror::Error)]
#[error("{kind}: `{key}`{}", source.as_ref().map(|source| format!(": {source}")).unwrap_or_default())]
pub struct Error {
    /// What went wrong.
    pub kind: ErrorKind,
    /// With which object, or under which prefix.
    pub key: String,
    /// What the implementation says about it.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What can go wrong with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ErrorKind {
    /// There is no such object.
    #[error("no such object")]
    NotFound,
    /// There is one already.
    #[error("the object exists already")]
    Exists,
    /// Somebody else wrote it in between.
    #[error("the object was changed by somebody else")]
    Changed,
    /// It is not what was expected to lie there.
    #[error("the object cannot be read")]
    Malformed,
    /// The key is not one that an object may have.
    #[error(
        "the key is not allowed: segments between slashes, none empty, `.` or `..`, at most 1024 bytes"
    )]
    InvalidKey,
    /// The role or the file system says no.
    #[error("access to the object was denied")]
    Denied,
    /// It may go better the next time.
    #[error("the object store did not answer")]
    Transient,
}

impl Error {
    /// An error without a cause beneath it.
    pub fn new(kind: ErrorKind, key: &str) -> Self {
        Self {
            kind,
            key: key.to_owned(),
            source: None,
        }
    }

    /// An error, and what the implementation says about it.
    pub fn because(
        kind: ErrorKind,
        key: &str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            source: Some(source.into()),
            ..Self::new(kind, key)
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let (name, advice) = match error.kind {
            ErrorKind::Exists | ErrorKind::Changed => (FailureName::Conflict, ""),
            ErrorKind::Transient => (FailureName::Transient, ""),
            ErrorKind::Denied => (
                FailureName::Unauthorized,
                "; grant it to the role, or to the user, that this runs as",
            ),
            ErrorKind::NotFound => (
                FailureName::Internal,
                "; somebody removed it, or the bucket is another one",
            ),
            ErrorKind::Malformed => (
                FailureName::Internal,
                "; restore an earlier version of it, or remove it",
            ),
            ErrorKind::InvalidKey => (FailureName::Internal, ""),
        };
        Self::new(name, format!("{error}{advice}"))
    }
}

/// Refuses a key that an implementation could not keep apart from others, or that would leave the folder.
fn check_key(key: &str) -> Result<(), Error> {
    let allowed = key.len() <= 1024
        && !key.contains(['\\', '\0'])
        && key
            .split('/')
            .all(|segment| !matches!(segment, "" | "." | ".."));
    if allowed && !key.starts_with(folder::PRIVATE) {
        Ok(())
    } else {
        Err(Error::new(ErrorKind::InvalidKey, key))
    }
}
