//! Objects in a bucket of S3.

use super::{Entry, Error, ErrorKind, Link, Object, Objects, Version, check_key};
use crate::aws::explain;
use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder;
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use std::fmt::Debug;
use std::ops::Range;
use std::time::Duration;

/// How often a conditional put that met another one is tried: S3 asks for that, and then knows which one came first.
const CONFLICT_ATTEMPTS: u32 = 6;

/// The most entries that S3 lists at once.
const LIST_LIMIT: usize = 1000;

/// Objects in a bucket of S3. The role needs `s3:ListBucket`, without which S3 calls a missing object a forbidden one, and
/// for earlier versions `s3:ListBucketVersions`, `s3:GetObjectVersion` and, to remove them, `s3:DeleteObjectVersion`.
#[derive(Clone, Debug)]
pub struct S3 {
    client: Client,
    bucket: String,
}

impl S3 {
    /// The objects of that bucket.
    pub fn new(client: Client, bucket: impl Into<String>) -> Self {
        Self {
            client,
            bucket: bucket.into(),
        }
    }

    /// Writes an object under a condition.
    async fn write(
        &self,
        key: &str,
        bytes: Bytes,
        condition: impl Fn(PutObjectFluentBuilder) -> PutObjectFluentBuilder,
    ) -> Result<Version, Error> {
        check_key(key)?;
        let mut attempt = 1;
        loop {
            let request = self.client.put_object().bucket(&self.bucket).key(key);
            let request = request.body(ByteStream::from(bytes.clone()));
            match condition(request).send().await {
                Ok(output) => return Ok(version(output.e_tag())),
                Err(error) if is_conflict(&error) && attempt < CONFLICT_ATTEMPTS => {
                    let most = Duration::from_millis(20 << attempt);
                    tokio::time::sleep(most.mul_f64(rand::random())).await;
                    attempt += 1;
                }
                Err(error) => return Err(from_sdk(key, &error)),
            }
        }
    }
}

#[async_trait]
impl Objects for S3 {
    async fn get(&self, key: &str) -> Result<Option<Object>, Error> {
        check_key(key)?;
        let request = self.client.get_object().bucket(&self.bucket).key(key);
        match request.send().await {
            Ok(output) => {
                let version = version(output.e_tag());
                let bytes = read(key, output.body).await?;
                Ok(Some(Object { bytes, version }))
            }
            Err(error) if error.code() == Some("NoSuchKey") => Ok(None),
            Err(error) => Err(from_sdk(key, &error)),
        }
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, Error> {
        check_key(key)?;
        if range.is_empty() {
            return Err(Error::because(
                ErrorKind::Malformed,
                key,
                "an empty range was asked for",
            ));
        }
        let request = self.client.get_object().bucket(&self.bucket).key(key);
        let request = request.range(format!("bytes={}-{}", range.start, range.end - 1));
        match request.send().await {
            Ok(output) => read(key, output.body).await,
            Err(error) => Err(from_sdk(key, &error)),
        }
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<Version, Error> {
        self.write(key, bytes, |request| request).await
    }

    async fn create(&self, key: &str, bytes: Bytes) -> Result<Version, Error> {
        self.write(key, bytes, |request| request.if_none_match("*"))
            .await
            .map_err(|error| match error.kind {
                ErrorKind::Changed => Error {
                    kind: ErrorKind::Exists,
                    ..error
                },
                _ => error,
            })
    }

    async fn replace(&self, key: &str, bytes: Bytes, version: &Version) -> Result<Version, Error> {
        self.write(key, bytes, |request| request.if_match(&version.0))
            .await
            .map_err(|error| match error.kind {
                // The object is gone, which is a change as well.
                ErrorKind::NotFound => Error {
                    kind: ErrorKind::Changed,
                    ..error
                },
                _ => error,
            })
    }

    async fn delete(&self, key: &str) -> Result<(), Error> {
        check_key(key)?;
        let request = self.client.delete_object().bucket(&self.bucket).key(key);
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) => Err(from_sdk(key, &error)),
        }
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Entry>, Error> {
        let mut entries: Vec<Entry> = Vec::new();
        while entries.len() < limit {
            let most = (limit - entries.len()).min(LIST_LIMIT);
            let last = entries.last().map(|entry| entry.key.as_str()).or(after);
            let request = self.client.list_objects_v2().bucket(&self.bucket);
            let request = request
                .prefix(prefix)
                .max_keys(most as i32)
                .set_start_after(last.map(ToOwned::to_owned));
            let output = request
                .send()
                .await
                .map_err(|error| from_sdk(prefix, &error))?;
            let more = output.is_truncated() == Some(true);
            for object in output.contents.unwrap_or_default() {
                entries.push(Entry {
                    size: object.size().unwrap_or_default().unsigned_abs(),
                    version: version(object.e_tag()),
                    key: object.key.unwrap_or_default(),
                });
            }
            if !more {
                break;
            }
        }
        Ok(entries)
    }

    async fn link(&self, key: &str, link: &Link<'_>) -> Result<Option<String>, Error> {
        check_key(key)?;
        let unsigned = |error| Error::because(ErrorKind::Malformed, key, error);
        let terms = PresigningConfig::expires_in(link.opens).map_err(unsigned)?;
        let name = link.file_name.replace(['"', '\\'], "_");
        let request = self.client.get_object().bucket(&self.bucket).key(key);
        let request = request
            .response_content_type(link.content_type)
            .response_content_disposition(format!("attachment; filename=\"{name}\""));
        match request.presigned(terms).await {
            Ok(signed) => Ok(Some(signed.uri().to_owned())),
            Err(error) => Err(from_sdk(key, &error)),
        }
    }

    async fn earlier(&self, key: &str, limit: usize) -> Result<Vec<Bytes>, Error> {
        check_key(key)?;
        // The key's own versions are listed before those of keys that begin with it; one more is the latest.
        let most = (limit + 1).min(LIST_LIMIT);
        let request = self.client.list_object_versions().bucket(&self.bucket);
        let listed = request.prefix(key).max_keys(most as i32).send().await;
        let listed = listed.map_err(|error| from_sdk(key, &error))?;
        let mut earlier = Vec::new();
        for version in listed.versions.unwrap_or_default() {
            if version.key() != Some(key) || version.is_latest() == Some(true) {
                continue;
            }
            let request = self.client.get_object().bucket(&self.bucket).key(key);
            let request = request.set_version_id(version.version_id);
            match request.send().await {
                Ok(output) => earlier.push(read(key, output.body).await?),
                Err(error) => return Err(from_sdk(key, &error)),
            }
        }
        Ok(earlier)
    }

    async fn forget_earlier(&self, prefix: &str) -> Result<u64, Error> {
        // The marks of removal last: without one, what it hides would lie there again.
        let versions = self.remove_versions(prefix, Which::Earlier).await?;
        self.remove_versions(prefix, Which::Marks).await?;
        Ok(versions)
    }
}

/// Which of a key's versions are meant.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    /// Those of objects that something else lies in the place of, or nothing.
    Earlier,
    /// The marks that say that an object was removed.
    Marks,
}

impl S3 {
    async fn remove_versions(&self, prefix: &str, which: Which) -> Result<u64, Error> {
        let (mut key_marker, mut version_marker) = (None, None);
        let mut removed = 0;
        loop {
            let request = self.client.list_object_versions().bucket(&self.bucket);
            let request = request
                .prefix(prefix)
                .set_key_marker(key_marker)
                .set_version_id_marker(version_marker);
            let listed = request.send().await;
            let listed = listed.map_err(|error| from_sdk(prefix, &error))?;
            let meant: Vec<(Option<String>, Option<String>)> = match which {
                Which::Earlier => {
                    let versions = listed.versions.unwrap_or_default().into_iter();
                    let earlier = versions.filter(|version| version.is_latest() != Some(true));
                    earlier
                        .map(|version| (version.key, version.version_id))
                        .collect()
                }
                Which::Marks => {
                    let marks = listed.delete_markers.unwrap_or_default().into_iter();
                    marks.map(|mark| (mark.key, mark.version_id)).collect()
                }
            };
            for (key, version) in meant {
                let key = key.unwrap_or_default();
                let request = self.client.delete_object().bucket(&self.bucket);
                let request = request.key(&key).set_version_id(version);
                match request.send().await {
                    Ok(_) => removed += 1,
                    Err(error) => return Err(from_sdk(&key, &error)),
                }
            }
            if listed.is_truncated != Some(true) {
                return Ok(removed);
            }
            (key_marker, version_marker) = (listed.next_key_marker, listed.next_version_id_marker);
        }
    }
}

fn version(e_tag: Option<&str>) -> Version {
    Version(e_tag.unwrap_or_default().to_owned())
}

async fn read(key: &str, body: ByteStream) -> Result<Bytes, Error> {
    match body.collect().await {
        Ok(bytes) => Ok(bytes.into_bytes()),
        Err(broken) => Err(Error::because(ErrorKind::Transient, key, broken)),
    }
}

/// Whether another conditional put of the same key was under way.
fn is_conflict<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    error.code() == Some("ConditionalRequestConflict")
}

fn from_sdk<E>(key: &str, error: &SdkError<E>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let status = error
        .raw_response()
        .map_or(0, |response| response.status().as_u16());
    let kind = match status {
        // A body that came too slowly is a 400 as well.
        400 if error.code() == Some("RequestTimeout") => ErrorKind::Transient,
        404 => ErrorKind::NotFound,
        412 => ErrorKind::Changed,
        416 => ErrorKind::Malformed,
        301 | 400 | 401 | 403 => ErrorKind::Denied,
        // Without a status it never arrived, unless it was never sent for want of credentials.
        0 if matches!(error, SdkError::ConstructionFailure(_)) => ErrorKind::Denied,
        _ => ErrorKind::Transient,
    };
    Error::because(kind, key, explain(error))
}
