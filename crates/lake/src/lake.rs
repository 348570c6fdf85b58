use crate::commit::{Commit, create};
use crate::error::{Error, ErrorKind};
use crate::scan::Scan;
use crate::table::{DataFile, Table};
use crate::writer::Writer;
use arrow::datatypes::SchemaRef;
use deltalake_core::logstore::{
    LogStore, LogStoreFactory, LogStoreRef, ObjectStoreRef, StorageConfig, default_logstore,
    logstore_factories, logstore_with,
};
use deltalake_core::{DeltaResult, DeltaTable};
use futures::TryStreamExt;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt};
use std::path::absolute;
use std::sync::Arc;
use url::Url;

/// The lake's tables, under their keys (`millrace_model::keys::table`).
#[derive(Clone, Debug)]
pub struct Lake {
    /// The store at its root: `/`, or the bucket's.
    store: Arc<dyn ObjectStore>,
    /// The lake within that store, with a slash at the end.
    url: Url,
}

impl Lake {
    /// The lake at `s3://<bucket>`, `s3://<bucket>/<prefix>`, `file:///<folder>` or in a folder.
    ///
    /// Endpoint, region and credentials of S3 come from the environment, by the names that the SDKs read.
    pub fn at(location: &str) -> Result<Self, Error> {
        if location.starts_with("s3://") {
            let url = folder_url(location)?;
            let bucket = url
                .host_str()
                .ok_or_else(|| Error::new(ErrorKind::BadLocation, location))?;
            let store = s3(bucket)
                .map_err(|error| Error::because(ErrorKind::BadLocation, location, error))?;
            return Ok(Self {
                store: Arc::new(store),
                url,
            });
        }
        let url = if location.starts_with("file://") {
            folder_url(location)?
        } else if location.is_empty() || location.contains("://") {
            return Err(Error::new(ErrorKind::BadLocation, location));
        } else {
            let folder = absolute(location)
                .map_err(|error| Error::because(ErrorKind::BadLocation, location, error))?;
            Url::from_directory_path(folder)
                .map_err(|()| Error::new(ErrorKind::BadLocation, location))?
        };
        Ok(Self {
            store: Arc::new(LocalFileSystem::new()),
            url,
        })
    }

    /// The lake at a URL of any store whose root is that URL's root.
    pub fn over(store: Arc<dyn ObjectStore>, url: Url) -> Self {
        Self { store, url }
    }

    /// The table under a key; none where there is none.
    pub async fn table(&self, key: &str) -> Result<Option<Table>, Error> {
        self.opened(key, None).await
    }

    /// The same as a version has it. An error where its log is gone.
    pub async fn table_at(&self, key: &str, version: u64) -> Result<Option<Table>, Error> {
        self.opened(key, Some(version)).await
    }

    async fn opened(&self, key: &str, version: Option<u64>) -> Result<Option<Table>, Error> {
        let log_store = self.log_store(key)?;
        // Asked first because opening what is not there is an error that cannot be told from others.
        let mut log = log_store
            .object_store(None)
            .list(Some(&Path::from("_delta_log")));
        let empty = match log.try_next().await {
            Ok(entry) => entry.is_none(),
            Err(object_store::Error::NotFound { .. }) => true,
            Err(error) => return Err(Error::of(key, error)),
        };
        drop(log);
        if empty {
            return Ok(None);
        }
        let mut table = DeltaTable::new(log_store);
        let loaded = match version {
            None => table.load().await,
            Some(version) => table.load_version(version).await,
        };
        loaded.map_err(|error| Error::of(key, error))?;
        Table::new(key, table).map(Some)
    }

    /// Makes a table with its first rows. `Conflict` where there is one already.
    pub async fn create(&self, key: &str, commit: Commit) -> Result<Table, Error> {
        create(key, self.log_store(key)?, commit).await
    }

    /// Writes files of a table, which need not be there yet.
    pub fn writer(&self, key: &str, schema: SchemaRef) -> Writer {
        let store = PrefixStore::new(self.store.clone(), self.path(key));
        Writer::new(key, Arc::new(store), schema)
    }

    /// Reads files that a writer made and no commit names yet, as rows of that schema.
    pub fn scan(&self, key: &str, schema: SchemaRef, files: Vec<DataFile>) -> Scan {
        let store = PrefixStore::new(self.store.clone(), self.path(key));
        Scan::new(key, Arc::new(store), schema, files)
    }

    /// The keys of the tables whose key starts so, in order.
    pub async fn tables(&self, prefix: &str) -> Result<Vec<String>, Error> {
        let (folder, start) = prefix.rsplit_once('/').unwrap_or(("", prefix));
        let listed = match self
            .store
            .list_with_delimiter(Some(&self.path(folder)))
            .await
        {
            Ok(listed) => listed.common_prefixes,
            Err(object_store::Error::NotFound { .. }) => Vec::new(),
            Err(error) => return Err(Error::of(prefix, error)),
        };
        let mut keys: Vec<String> = listed
            .iter()
            .filter_map(|path| path.filename())
            .filter(|name| name.starts_with(start))
            .map(|name| format!("{folder}/{name}"))
            .collect();
        keys.sort();
        Ok(keys)
    }

    /// Removes files that no commit names; what cannot be removed stays, and does no harm.
    pub async fn discard(&self, key: &str, files: &[DataFile]) {
        let root = self.path(key);
        for file in files {
            let path: Path = root
                .parts()
                .chain(Path::from(file.path.as_str()).parts())
                .collect();
            if let Err(error) = self.store.delete(&path).await {
                tracing::debug!(%path, %error, "an unreferenced file stays");
            }
        }
    }

    fn path(&self, key: &str) -> Path {
        let root = Path::from_url_path(self.url.path()).unwrap_or_default();
        root.parts().chain(Path::from(key).parts()).collect()
    }

    fn log_store(&self, key: &str) -> Result<LogStoreRef, Error> {
        register_s3();
        let url = self
            .url
            .join(&format!("{key}/"))
            .map_err(|error| Error::because(ErrorKind::BadLocation, key, error))?;
        logstore_with(self.store.clone(), &url, StorageConfig::default())
            .map_err(|error| Error::of(key, error))
    }
}

fn folder_url(location: &str) -> Result<Url, Error> {
    Url::parse(&format!("{}/", location.trim_end_matches('/')))
        .map_err(|error| Error::because(ErrorKind::BadLocation, location, error))
}

fn s3(bucket: &str) -> object_store::Result<object_store::aws::AmazonS3> {
    let builder = AmazonS3Builder::from_env()
        .with_bucket_name(bucket)
        .with_conditional_put(S3ConditionalPut::ETagMatch);
    // The SDKs speak plain HTTP where an endpoint says so; this store wants to be told.
    let plain = [AmazonS3ConfigKey::S3Endpoint, AmazonS3ConfigKey::Endpoint]
        .iter()
        .filter_map(|key| builder.get_config_value(key))
        .any(|endpoint| endpoint.starts_with("http://"));
    if plain {
        builder.with_allow_http(true).build()
    } else {
        builder.build()
    }
}

/// deltalake knows S3 only through another crate of its family, which brings the whole AWS SDK and a lock table in
/// DynamoDB. Its log store for stores with a conditional put is the right one for S3 too.
fn register_s3() {
    let Ok(scheme) = Url::parse("s3://") else {
        return;
    };
    logstore_factories()
        .entry(scheme)
        .or_insert_with(|| Arc::new(ConditionalPut));
}

struct ConditionalPut;

impl LogStoreFactory for ConditionalPut {
    fn with_options(
        &self,
        prefixed: ObjectStoreRef,
        root: ObjectStoreRef,
        location: &Url,
        options: &StorageConfig,
    ) -> DeltaResult<Arc<dyn LogStore>> {
        Ok(default_logstore(prefixed, root, location, options))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lake_is_a_folder_or_a_bucket() {
        assert!(Lake::at("/tmp/somewhere").is_ok());
        assert!(Lake::at("somewhere/else").is_ok());
        for wrong in ["", "gs://bucket", "https://bucket"] {
            let error = Lake::at(wrong).expect_err(wrong);
            assert_eq!(error.kind, ErrorKind::BadLocation, "{wrong}");
        }
    }

    #[test]
    fn keys_lie_under_the_lakes_prefix() {
        let lake = Lake::over(
            Arc::new(object_store::memory::InMemory::new()),
            Url::parse("s3://bucket/some/where/").expect("a URL"),
        );
        assert_eq!(lake.path("tables/p/t").as_ref(), "some/where/tables/p/t");
    }
}
