//! What keeps a table quick to read: its small files made one, and what no reader needs any more removed.

use crate::commit::{Commit, WriteKind};
use crate::error::{Error, ErrorKind};
use crate::lake::Lake;
use crate::table::{DataFile, Table};
use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use std::collections::HashSet;
use std::time::{Duration, SystemTime};

/// A file below that size is a small one.
const SMALL_BYTES: u64 = 16 * 1024 * 1024;
/// How many small files there are before they are made one.
const SMALL_FILES: usize = 16;
/// How many versions lie between two times at which files are removed.
const VACUUM_INTERVAL: u64 = 20;
/// How much is made one at once.
const COMPACTED_BYTES: u64 = 128 * 1024 * 1024;

impl Lake {
    /// Makes the small files of a table one, where there are many; at most so many bytes. The last commit's are left: a
    /// reader that follows the commits reads them first. Gives how many files were made one, and the table as it is then.
    pub async fn compact(&self, table: &Table, bytes: u64) -> Result<(usize, Table), Error> {
        let small = small_files(table, bytes.min(COMPACTED_BYTES)).await?;
        if small.len() < SMALL_FILES {
            return Ok((0, table.clone()));
        }
        let mut writer = self.writer(table.key(), table.schema());
        let mut rows = table.scan().files(small.clone()).stream();
        while let Some(batch) = rows.try_next().await? {
            writer.write(&batch).await?;
        }
        let (count, added) = (small.len(), writer.finish().await?);
        let commit = Commit {
            kind: WriteKind::Compact,
            added: added.clone(),
            removed: small,
            schema: table.schema(),
            sequence: table.sequence().await?,
            brought: None,
            note: None,
        };
        match table.commit(commit).await {
            Ok(table) => Ok((count, table)),
            // Somebody else was quicker: it can wait for the next run.
            Err(error) if error.kind == ErrorKind::Conflict => {
                self.discard(table.key(), &added).await;
                Ok((0, table.clone()))
            }
            Err(error) => Err(error),
        }
    }
}

async fn small_files(table: &Table, bytes: u64) -> Result<Vec<DataFile>, Error> {
    let newest = table.added_last().await?;
    let mut sum = 0;
    let mut files = table.files();
    files.retain(|file| file.size < SMALL_BYTES && !newest.contains(&file.path));
    // The oldest first, which are the last ones of the log.
    files.reverse();
    files.retain(|file| {
        sum += file.size;
        sum <= bytes
    });
    Ok(files)
}

impl Table {
    /// Whether it is time to look after the table when its next version is there.
    pub fn is_due(&self) -> bool {
        let small = self
            .files()
            .iter()
            .filter(|file| file.size < SMALL_BYTES)
            .count();
        small >= SMALL_FILES || self.is_vacuumed_next()
    }

    /// Whether its next version is one behind which files are removed: all are listed, which costs something.
    fn is_vacuumed_next(&self) -> bool {
        (self.version() + 1).is_multiple_of(VACUUM_INTERVAL)
    }

    /// Removes files that no version of that time needs: those that were taken away before it, and those that no commit ever
    /// named. Says how many.
    pub async fn vacuum(&self, keep: Duration) -> Result<usize, Error> {
        let error = |source| Error::of(self.key(), source);
        let since = SystemTime::now()
            .checked_sub(keep)
            .and_then(|since| since.duration_since(SystemTime::UNIX_EPOCH).ok())
            .map_or(0, |since| since.as_millis() as i64);
        let mut needed: HashSet<Path> = self
            .files()
            .iter()
            .map(|file| Path::from(file.path.as_str()))
            .collect();
        needed.extend(self.removed_since(since).await?);
        let store = self.store();
        let listed: Vec<_> = store.list(None).try_collect().await.map_err(error)?;
        let mut removed = 0;
        for object in listed {
            let is_log = object.location.as_ref().starts_with("_delta_log/");
            let is_old = object.last_modified.timestamp_millis() < since;
            if is_log || !is_old || needed.contains(&object.location) {
                continue;
            }
            match store.delete(&object.location).await {
                Ok(()) => removed += 1,
                Err(object_store::Error::NotFound { .. }) => {}
                Err(source) => return Err(error(source)),
            }
        }
        Ok(removed)
    }
}
