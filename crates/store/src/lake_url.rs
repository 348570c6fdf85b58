//! Where the lake is, as a person writes it.

use std::fmt;
use std::path::{Path, PathBuf};
use url::Url;

/// Where the lake is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LakeUrl {
    /// A bucket of S3.
    S3 {
        /// Its name.
        bucket: String,
    },
    /// A folder.
    Folder {
        /// Its path, absolute.
        path: PathBuf,
    },
}

/// A text that does not say where a lake is.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{text}` does not say where the lake is ({reason}): write `s3://<bucket>`, or the path of a folder"
)]
pub struct NotALakeUrl {
    text: String,
    reason: String,
}

impl LakeUrl {
    /// Reads `s3://<bucket>`, `file:///<path>` or a path, which is made absolute.
    pub fn parse(text: &str) -> Result<Self, NotALakeUrl> {
        let refuse = |reason: &str| NotALakeUrl {
            text: text.to_owned(),
            reason: reason.to_owned(),
        };
        if let Some(rest) = text.strip_prefix("s3://") {
            let bucket = rest.strip_suffix('/').unwrap_or(rest);
            let shaped = |byte: u8| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte)
            };
            return match bucket {
                "" => Err(refuse("the bucket's name is missing")),
                _ if bucket.contains('/') => Err(refuse(
                    "the lake has a bucket of its own, and lies at its root",
                )),
                _ if !bucket.bytes().all(shaped) => Err(refuse("that is not the name of a bucket")),
                _ => Ok(Self::S3 {
                    bucket: bucket.to_owned(),
                }),
            };
        }
        let path = match text.strip_prefix("file://") {
            Some(_) => Url::parse(text)
                .ok()
                .and_then(|url| url.to_file_path().ok()),
            None if text.contains("://") => return Err(refuse("no other store is supported")),
            None => std::path::absolute(text).ok(),
        };
        path.map(|path| Self::Folder { path })
            .ok_or_else(|| refuse("that is not a path"))
    }

    /// The URL of what lies under a key, for those who read the lake by URL: a table's root, say.
    pub fn url(&self, key: &str) -> Result<Url, NotALakeUrl> {
        let url = match self {
            Self::S3 { bucket } => Url::parse(&format!("s3://{bucket}/{key}")).ok(),
            Self::Folder { path } => Url::from_file_path(path.join(Path::new(key))).ok(),
        };
        url.ok_or_else(|| NotALakeUrl {
            text: key.to_owned(),
            reason: "no URL can be made of it".to_owned(),
        })
    }
}

impl fmt::Display for LakeUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::S3 { bucket } => write!(formatter, "s3://{bucket}"),
            Self::Folder { path } => path.display().fmt(formatter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_buckets_and_folders() {
        let bucket = LakeUrl::parse("s3://acme-lake").unwrap();
        assert_eq!(bucket, LakeUrl::parse("s3://acme-lake/").unwrap());
        assert_eq!(bucket.to_string(), "s3://acme-lake");
        assert_eq!(
            bucket.url("tables/a/b").unwrap().as_str(),
            "s3://acme-lake/tables/a/b"
        );
        let folder = LakeUrl::parse("/data/the lake").unwrap();
        assert_eq!(folder, LakeUrl::parse("file:///data/the%20lake").unwrap());
        assert_eq!(
            folder.url("tables/a").unwrap().as_str(),
            "file:///data/the%20lake/tables/a"
        );
        let LakeUrl::Folder { path } = LakeUrl::parse("lake").unwrap() else {
            panic!("a folder");
        };
        assert!(path.is_absolute() && path.ends_with("lake"));
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, reason) in [
            ("s3://", "the bucket's name is missing"),
            ("s3://lake/prefix", "a bucket of its own"),
            ("s3://Lake", "not the name of a bucket"),
            ("gs://lake", "no other store"),
            ("", "not a path"),
        ] {
            let error = LakeUrl::parse(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
