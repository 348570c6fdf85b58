//! Stores that die: a killed process writes and removes no more.

use crate::harness::Harness;
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use millrace_lake::Lake;
use millrace_store::objects::{self, Entry, Object, Objects, Version};
use millrace_transform::Transform;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use url::Url;

/// A process's life: so many operations that change a file, of tables and of other objects alike.
#[derive(Clone, Debug)]
pub struct Life(Arc<AtomicUsize>);

impl Life {
    pub fn of(operations: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(operations)))
    }

    /// Whether it has come to its end.
    pub fn is_over(&self) -> bool {
        self.0.load(Ordering::SeqCst) == 0
    }

    /// The step of a process that lives so long.
    pub fn transform(&self, shop: &Harness) -> Transform {
        let store = Mortal {
            inner: LocalFileSystem::new(),
            life: self.clone(),
        };
        let objects = Mortal {
            inner: shop.objects.clone(),
            life: self.clone(),
        };
        let url = Url::from_directory_path(shop.path()).expect("a URL");
        Transform::over(
            Arc::new(objects),
            shop.url(),
            Lake::over(Arc::new(store), url),
        )
    }

    fn spend(&self) -> Result<()> {
        let lived = |left: usize| left.checked_sub(1);
        let spent = self
            .0
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, lived);
        spent.map(drop).map_err(|_| object_store::Error::Generic {
            store: "mortal",
            source: "killed".into(),
        })
    }

    fn spend_on(&self, key: &str) -> Result<(), objects::Error> {
        self.spend().map_err(|error| objects::Error {
            kind: objects::ErrorKind::Transient,
            key: key.to_owned(),
            source: Some(error.into()),
        })
    }
}

#[derive(Debug)]
struct Mortal<S> {
    inner: S,
    life: Life,
}

impl fmt::Display for Mortal<LocalFileSystem> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Mortal")
    }
}

#[async_trait]
impl ObjectStore for Mortal<LocalFileSystem> {
    async fn put_opts(
        &self,
        path: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.life.spend()?;
        self.inner.put_opts(path, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.life.spend()?;
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(path, options).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let life = self.life.clone();
        let paths = paths.map(move |path| life.spend().and(path));
        self.inner.delete_stream(paths.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.life.spend()?;
        self.inner.copy_opts(from, to, options).await
    }
}

#[async_trait]
impl Objects for Mortal<Arc<dyn Objects>> {
    async fn get(&self, key: &str) -> Result<Option<Object>, objects::Error> {
        self.inner.get(key).await
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, objects::Error> {
        self.inner.get_range(key, range).await
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<Version, objects::Error> {
        self.life.spend_on(key)?;
        self.inner.put(key, bytes).await
    }

    async fn create(&self, key: &str, bytes: Bytes) -> Result<Version, objects::Error> {
        self.life.spend_on(key)?;
        self.inner.create(key, bytes).await
    }

    async fn replace(
        &self,
        key: &str,
        bytes: Bytes,
        version: &Version,
    ) -> Result<Version, objects::Error> {
        self.life.spend_on(key)?;
        self.inner.replace(key, bytes, version).await
    }

    async fn delete(&self, key: &str) -> Result<(), objects::Error> {
        self.life.spend_on(key)?;
        self.inner.delete(key).await
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Entry>, objects::Error> {
        self.inner.list(prefix, after, limit).await
    }
}
