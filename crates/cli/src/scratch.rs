//! A lake that is thrown away: where `millrace try` and `millrace record` put what they pull.

use anyhow::Context;
use async_trait::async_trait;
use bytes::Bytes;
use millrace_model::step::StepInput;
use millrace_model::{Failure, keys};
use millrace_store::json;
use millrace_store::objects::{Entry, Error, Folder, Object, Objects, Version};
use serde_json::Value;
use std::ops::Range;
use std::sync::Arc;
use tempfile::TempDir;

/// What all that use a credential share, wherever they run: its limits, and the renewal of its token.
const SHARED: [&str; 2] = ["limits/", "leases/"];

/// A lake that is gone with this. Only what all that use a credential share is in the author's own lake.
#[derive(Debug)]
pub struct Scratch {
    own: Folder,
    lake: Arc<dyn Objects>,
    _folder: TempDir,
}

impl Scratch {
    /// An empty one, beside that lake.
    pub fn beside(lake: Arc<dyn Objects>) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        Ok(Self {
            own: Folder::new(folder.path()),
            lake,
            _folder: folder,
        })
    }

    /// Takes over how far a resource has been pulled, so that the next run's request is made and not the first one's.
    pub async fn take_state(&self, input: &StepInput) -> Result<(), Failure> {
        let key = keys::state(&input.pipeline, &input.name);
        let state: Option<Value> = json::get(&*self.lake, &key).await?;
        if let Some(state) = state {
            json::put(&self.own, &key, &state).await?;
        }
        Ok(())
    }

    fn of(&self, key: &str) -> &dyn Objects {
        if SHARED.iter().any(|prefix| key.starts_with(prefix)) {
            &*self.lake
        } else {
            &self.own
        }
    }
}

#[async_trait]
impl Objects for Scratch {
    async fn get(&self, key: &str) -> Result<Option<Object>, Error> {
        self.of(key).get(key).await
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, Error> {
        self.of(key).get_range(key, range).await
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<Version, Error> {
        self.of(key).put(key, bytes).await
    }

    async fn create(&self, key: &str, bytes: Bytes) -> Result<Version, Error> {
        self.of(key).create(key, bytes).await
    }

    async fn replace(&self, key: &str, bytes: Bytes, version: &Version) -> Result<Version, Error> {
        self.of(key).replace(key, bytes, version).await
    }

    async fn delete(&self, key: &str) -> Result<(), Error> {
        self.of(key).delete(key).await
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Entry>, Error> {
        self.of(prefix).list(prefix, after, limit).await
    }
}
