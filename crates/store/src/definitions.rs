//! The definitions as they lie in the lake, and those that runs have pinned.

use crate::json;
use crate::objects::{self, Error, ErrorKind, Objects, Version};
use futures::{StreamExt, TryStreamExt};
use millrace_model::definition::Pinned;
use millrace_model::definition::problem::Problem;
use millrace_model::definition::set::DefinitionSet;
use millrace_model::{Failure, FailureName, keys};
use std::collections::BTreeMap;

/// The kinds of definitions.
const KINDS: [&str; 3] = ["connection", "pipeline", "endpoint"];
/// How many files are read at once.
const AT_ONCE: usize = 16;
/// The most files of one kind.
const MOST: usize = 10_000;

/// Keeps what a run needs to know under its version, which it gives back. What is there already is the same.
pub async fn pin(objects: &dyn Objects, pinned: &Pinned) -> Result<String, Failure> {
    let version = pinned.version();
    match objects
        .create(&keys::pinned(&version), pinned.to_json().into())
        .await
    {
        Err(error) if error.kind != ErrorKind::Exists => Err(error.into()),
        _ => Ok(version),
    }
}

/// What a run pinned under that version.
pub async fn pinned(objects: &dyn Objects, version: &str) -> Result<Pinned, Failure> {
    let pinned = json::get(objects, &keys::pinned(version)).await?;
    pinned.ok_or_else(|| {
        let message = format!(
            "the run's definition, {}, is not in the lake; start another run",
            keys::pinned(version)
        );
        Failure::new(FailureName::BadDefinition, message)
    })
}

/// All definitions as they lie in the lake now, and what is wrong with them.
pub async fn read_set(objects: &dyn Objects) -> Result<(DefinitionSet, Vec<Problem>), Failure> {
    let mut names = objects.list(keys::MODEL_FILES, None, MOST).await?;
    for kind in KINDS {
        names.extend(objects.list(&keys::definitions(kind), None, MOST).await?);
    }
    let files: Vec<Option<(String, String)>> = futures::stream::iter(names)
        .map(|entry| async move { file(objects, &entry.key).await })
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    Ok(DefinitionSet::parse(files.into_iter().flatten()))
}

/// The files of a kind of definitions as they lie in the lake now: their keys and their versions.
pub async fn versions(
    objects: &dyn Objects,
    kind: &str,
) -> Result<BTreeMap<String, Version>, Error> {
    let is_yaml = |key: &str| {
        key.rsplit_once('.')
            .is_some_and(|(_, kind)| matches!(kind, "yaml" | "yml"))
    };
    let mut entries = objects::all(objects, &keys::definitions(kind));
    let mut found = BTreeMap::new();
    while let Some(entry) = entries.try_next().await? {
        if is_yaml(&entry.key) {
            found.insert(entry.key, entry.version);
        }
    }
    Ok(found)
}

/// A file of that key, named as in the repository; none where it was removed in between.
async fn file(objects: &dyn Objects, key: &str) -> Result<Option<(String, String)>, Error> {
    let Some(object) = objects.get(key).await? else {
        return Ok(None);
    };
    let name = key.split_once('/').map_or(key, |(_, name)| name);
    match String::from_utf8(object.bytes.into()) {
        Ok(text) => Ok(Some((name.to_owned(), text))),
        Err(broken) => Err(Error::because(ErrorKind::Malformed, key, broken)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::Folder;

    const CONNECTION: &str = "connection: usgs\nbase_url: https://example.org/api\nauth: none\n";
    const PIPELINE: &str = "pipeline: earthquakes\ndescription: Every earthquake.\nresources:\n  - name: quakes\n    \
                            connection: usgs\n    path: /query\n    records: features\n    key: [id]\n";

    async fn write(objects: &Folder, kind: &str, name: &str, text: &str) {
        let key = keys::definition(kind, name);
        objects.put(&key, text.to_owned().into()).await.unwrap();
    }

    #[tokio::test]
    async fn pins_what_lies_in_the_lake() {
        let place = tempfile::tempdir().unwrap();
        let objects = Folder::new(place.path());
        write(&objects, "connection", "usgs", CONNECTION).await;
        write(&objects, "pipeline", "earthquakes", PIPELINE).await;
        let (set, problems) = read_set(&objects).await.unwrap();
        assert_eq!(problems, []);
        let definition = set.pin("earthquakes").unwrap();

        let version = pin(&objects, &definition).await.unwrap();

        assert_eq!(pin(&objects, &definition).await.unwrap(), version);
        assert_eq!(pinned(&objects, &version).await.unwrap(), definition);
        assert_eq!(
            read_set(&objects).await.unwrap().0,
            set,
            "what is pinned is no definition"
        );
        let missing = pinned(&objects, "0123").await.unwrap_err();
        assert_eq!(missing.name, FailureName::BadDefinition);
    }

    #[tokio::test]
    async fn says_what_is_wrong_and_reads_the_rest() {
        let place = tempfile::tempdir().unwrap();
        let objects = Folder::new(place.path());
        write(&objects, "connection", "usgs", CONNECTION).await;
        write(
            &objects,
            "pipeline",
            "earthquakes",
            &PIPELINE.replace("records", "recrods"),
        )
        .await;
        let (set, problems) = read_set(&objects).await.unwrap();
        assert!(set.connections.contains_key("usgs") && set.pipelines.is_empty());
        assert_eq!(problems[0].file, "pipelines/earthquakes.yaml");
        assert!(problems[0].message.contains("records"), "{}", problems[0]);
    }
}
