//! What is left of rows that are gone: earlier versions of a table, and files that no version names.

use crate::error::Error;
use crate::table::Table;
use deltalake_core::checkpoints::create_checkpoint;
use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use std::collections::HashSet;

impl Table {
    /// Removes all but this version: files that it does not name, and the log behind a checkpoint of it. Says how many
    /// objects that were. Nobody may be writing to the table meanwhile: files that are not committed yet go, too.
    pub async fn purge(&self) -> Result<u64, Error> {
        let error = |source| Error::of(self.key(), source);
        create_checkpoint(self.delta(), None)
            .await
            .map_err(|source| Error::of(self.key(), source))?;
        let store = self.store();
        let named: HashSet<Path> = self
            .files()
            .iter()
            .map(|file| Path::from(file.path.as_str()))
            .collect();
        let listed: Vec<_> = store.list(None).try_collect().await.map_err(error)?;
        let mut removed = 0;
        for object in listed {
            let path = object.location;
            let goes = match path.as_ref().strip_prefix("_delta_log/") {
                Some(entry) => version_of(entry).is_some_and(|version| version < self.version()),
                None => !named.contains(&path),
            };
            if goes {
                match store.delete(&path).await {
                    Ok(()) => removed += 1,
                    Err(object_store::Error::NotFound { .. }) => {}
                    Err(source) => return Err(error(source)),
                }
            }
        }
        Ok(removed)
    }
}

/// The version that an entry of the log, or a checkpoint, is of.
fn version_of(entry: &str) -> Option<u64> {
    entry.split('.').next()?.parse().ok()
}
