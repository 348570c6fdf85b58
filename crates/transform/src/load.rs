//! Bodies, made ready while others are decoded: decompressed, and cut into records.

use crate::source::{self, Group, PageRef};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryFutureExt};
use millrace_model::{Failure, FailureName};
use millrace_records::{Malformed, Ready, Rules};
use millrace_store::objects::Objects;
use std::ops::Range;
use std::sync::Arc;
use tokio::task::{JoinError, spawn, spawn_blocking};

/// How many groups are made ready ahead.
const GROUPS_AHEAD: usize = 2;

/// A body, and where its records lie.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    pub(crate) page: PageRef,
    pub(crate) body: String,
    pub(crate) spans: Vec<Range<usize>>,
    /// Why it cannot be read, where it cannot.
    pub(crate) fault: Option<Malformed>,
}

/// The bodies, group by group. Some are made ready ahead, by tasks of their own, so that a core that waits for nothing
/// else does it.
pub(crate) fn bodies(
    objects: Arc<dyn Objects>,
    groups: Vec<Group>,
    rules: Arc<Rules>,
) -> BoxStream<'static, Result<Vec<Loaded>, Failure>> {
    stream::iter(groups)
        .map(move |group| {
            let (objects, rules) = (objects.clone(), rules.clone());
            spawn(load_group(objects, group, rules)).unwrap_or_else(|error| Err(stopped(&error)))
        })
        .buffered(GROUPS_AHEAD)
        .boxed()
}

async fn load_group(
    objects: Arc<dyn Objects>,
    group: Group,
    rules: Arc<Rules>,
) -> Result<Vec<Loaded>, Failure> {
    let fetched = source::fetch(&*objects, group).await?;
    let load = move || {
        let pages = fetched.pages.into_iter();
        pages
            .map(|(page, frame)| {
                let body = page.decompress(&frame)?;
                let (ready, fault) = match rules.read(body, &page.page) {
                    Ok(ready) => (ready, None),
                    Err(malformed) => (Ready::default(), Some(malformed)),
                };
                Ok(Loaded {
                    page,
                    body: ready.text,
                    spans: ready.records,
                    fault,
                })
            })
            .collect()
    };
    spawn_blocking(load)
        .await
        .unwrap_or_else(|error| Err(stopped(&error)))
}

fn stopped(error: &JoinError) -> Failure {
    Failure::new(
        FailureName::Internal,
        format!("reading raw payloads stopped: {error}"),
    )
}
