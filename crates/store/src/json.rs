//! JSON documents as objects.

use crate::objects::{Error, ErrorKind, Objects, Version};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// How often an update is tried before somebody else's luck is accepted.
const ATTEMPTS: u32 = 30;
/// The longest first wait between two tries; it doubles up to `LONGEST_WAIT`.
const FIRST_WAIT: Duration = Duration::from_millis(10);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// The document, or none where there is none.
pub async fn get<T: DeserializeOwned>(
    objects: &dyn Objects,
    key: &str,
) -> Result<Option<T>, Error> {
    match objects.get(key).await? {
        Some(object) => parse(key, &object.bytes).map(Some),
        None => Ok(None),
    }
}

/// Writes a document where none is; `Exists` otherwise.
pub async fn create<T: Serialize>(
    objects: &dyn Objects,
    key: &str,
    document: &T,
) -> Result<Version, Error> {
    objects.create(key, render(key, document)?).await
}

/// Writes a document, whatever was there.
pub async fn put<T: Serialize>(
    objects: &dyn Objects,
    key: &str,
    document: &T,
) -> Result<Version, Error> {
    objects.put(key, render(key, document)?).await
}

/// Changes a document by compare-and-swap, and gives back what is there then.
///
/// `change` gets what is there and says what should be, or `None` to leave it. It is called again where somebody else
/// came in between, and it may see what it wrote itself, when only the answer to the write was lost: it must not mind.
pub async fn update<T, E>(
    objects: &dyn Objects,
    key: &str,
    mut change: impl FnMut(Option<T>) -> Result<Option<T>, E>,
) -> Result<Option<T>, E>
where
    T: Serialize + DeserializeOwned,
    E: From<Error>,
{
    let mut wait = FIRST_WAIT;
    for _ in 1..ATTEMPTS {
        match try_update(objects, key, &mut change).await? {
            Outcome::Settled(document) => return Ok(document),
            Outcome::Overtaken(_) => {
                tokio::time::sleep(wait.mul_f64(rand::random())).await;
                wait = (wait * 2).min(LONGEST_WAIT);
            }
        }
    }
    match try_update(objects, key, &mut change).await? {
        Outcome::Settled(document) => Ok(document),
        Outcome::Overtaken(error) => Err(error.into()),
    }
}

/// How one try of an update ended.
enum Outcome<T> {
    /// What is there now.
    Settled(Option<T>),
    /// Somebody else wrote in between.
    Overtaken(Error),
}

async fn try_update<T, E>(
    objects: &dyn Objects,
    key: &str,
    change: &mut impl FnMut(Option<T>) -> Result<Option<T>, E>,
) -> Result<Outcome<T>, E>
where
    T: Serialize + DeserializeOwned,
    E: From<Error>,
{
    let there = objects.get(key).await?;
    let read = || {
        there
            .as_ref()
            .map(|object| parse::<T>(key, &object.bytes))
            .transpose()
    };
    let Some(document) = change(read()?)? else {
        return Ok(Outcome::Settled(read()?));
    };
    let bytes = render(key, &document)?;
    let written = match &there {
        Some(object) => objects.replace(key, bytes, &object.version).await,
        None => objects.create(key, bytes).await,
    };
    match written {
        Ok(_) => Ok(Outcome::Settled(Some(document))),
        Err(error) if matches!(error.kind, ErrorKind::Exists | ErrorKind::Changed) => {
            Ok(Outcome::Overtaken(error))
        }
        Err(error) => Err(error.into()),
    }
}

fn parse<T: DeserializeOwned>(key: &str, bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|cause| Error::because(ErrorKind::Malformed, key, cause))
}

fn render<T: Serialize>(key: &str, document: &T) -> Result<Bytes, Error> {
    match serde_json::to_vec(document) {
        Ok(bytes) => Ok(bytes.into()),
        Err(cause) => Err(Error::because(ErrorKind::Malformed, key, cause)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::Folder;
    use futures::future::join_all;

    #[tokio::test]
    async fn no_update_is_lost() {
        let place = tempfile::tempdir().unwrap();
        let objects = Folder::new(place.path());
        let additions = (0..12).map(|_| {
            update::<u32, Error>(&objects, "count.json", |count| {
                Ok(Some(count.unwrap_or(0) + 1))
            })
        });
        for outcome in join_all(additions).await {
            outcome.unwrap();
        }
        let count: Option<u32> = get(&objects, "count.json").await.unwrap();
        assert_eq!(count, Some(12));
    }

    #[tokio::test]
    async fn what_is_left_is_not_written() {
        let place = tempfile::tempdir().unwrap();
        let objects = Folder::new(place.path());
        let none = update::<u32, Error>(&objects, "a.json", |_| Ok(None)).await;
        assert_eq!(none.unwrap(), None);
        assert!(objects.get("a.json").await.unwrap().is_none());
        create(&objects, "a.json", &7).await.unwrap();
        let seven = update::<u32, Error>(&objects, "a.json", |_| Ok(None)).await;
        assert_eq!(seven.unwrap(), Some(7));
    }

    #[tokio::test]
    async fn says_which_document_is_broken() {
        let place = tempfile::tempdir().unwrap();
        let objects = Folder::new(place.path());
        objects
            .put("a.json", Bytes::from_static(b"[1"))
            .await
            .unwrap();
        let error = get::<u32>(&objects, "a.json").await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Malformed);
        assert!(
            error
                .to_string()
                .starts_with("the object cannot be read: `a.json`: "),
            "{error}"
        );
    }
}
