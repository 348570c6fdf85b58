//! Objects under keys, with the two conditional puts on which everything else rests: create where nothing is, and
//! replace what was read.

use async_trait::async_trait;
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::ops::Range;

/// The lake's objects.
#[async_trait]
pub trait Objects: fmt::Debug + Send + Sync {
    /// The object, or none where there is none.
    async fn get(&self, key: &str) -> Result<Option<Object>, Error>;
    /// Some of an object's bytes; `NotFound` where there is no object.
    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, Error>;
    /// Writes an object, whatever was there.
    async fn put(&self, key: &str, bytes: Bytes) -> Result<Version, Error>;
    /// Writes an object where none is; `Exists` otherwise. Of several at once exactly one succeeds.
    async fn create(&self, key: &str, bytes: Bytes) -> Result<Version, Error>;
    /// Writes an object in the place of that version; `Changed` where it is not that version any more.
    async fn replace(&self, key: &str, bytes: Bytes, version: &Version) -> Result<Version, Error>;
    /// Removes an object; all the same where there is none.
    async fn delete(&self, key: &str) -> Result<(), Error>;
    /// At most `limit` of the objects under a prefix, in the byte order of their keys, behind `after`.
    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Entry>, Error>;
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
#[error("{kind} ({key}){}", source.as_ref().map(|source| format!(": {source}")).unwrap_or_default())]
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
    /// The role or the file system says no.
    #[error("access to the object was denied")]
    Denied,
    /// It may go better the next time.
    #[error("the object store did not answer")]
    Transient,
}
