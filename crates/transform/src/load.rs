//! Bodies, made ready while others are decoded: decompressed, and cut into records.

mod large;

use crate::source::{self, Group, PageRef};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryFutureExt, TryStreamExt};
use millrace_model::{Failure, FailureName};
use millrace_records::{Malformed, Ready, Rules};
use millrace_store::objects::Objects;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use tokio::task::{JoinError, spawn, spawn_blocking};

/// How many groups are made ready ahead.
const GROUPS_AHEAD: usize = 2;
/// How much JSON a group's bodies may be told as together; one that is more is read piece by piece.
const WHOLE_BYTES: u64 = 16 * 1024 * 1024;
/// How large a record may be: what one needs in memory, several times over, while its row is made.
pub(crate) const RECORD_BYTES: usize = 64 * 1024 * 1024;

/// A body, or some of it, and where its records lie.
#[derive(Clone, Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) page: PageRef,
    pub(crate) body: String,
    pub(crate) spans: Vec<Range<usize>>,
    /// Of some of a body: the byte of the body at which each record begins.
    pub(crate) starts: Vec<u64>,
    /// How many bytes those records have that are too large, and not in the body.
    pub(crate) too_large: BTreeMap<usize, u64>,
    /// Why it cannot be read, where it cannot.
    pub(crate) fault: Option<Malformed>,
}

impl Loaded {
    /// The byte of the body at which a record begins.
    pub(crate) fn start(&self, number: usize) -> usize {
        let start = self.starts.get(number).copied();
        start.map_or(self.spans[number].start, |start| {
            usize::try_from(start).unwrap_or(usize::MAX)
        })
    }

    /// A record's text; empty where it is too large.
    pub(crate) fn text(&self, number: usize) -> &str {
        &self.body[self.spans[number].clone()]
    }

    /// How many bytes a record has.
    pub(crate) fn bytes(&self, number: usize) -> u64 {
        let too_large = self.too_large.get(&number).copied();
        too_large.unwrap_or(self.spans[number].len() as u64)
    }
}

/// A page that was fetched, or that has to be read piece by piece.
enum Part {
    Whole(Loaded),
    Large(PageRef),
}

/// The bodies, group by group. Some are made ready ahead, by tasks of their own, so that a core that waits for nothing
/// else does it. `backwards` says that whoever takes them reverses what each item has.
pub(crate) fn bodies(
    objects: Arc<dyn Objects>,
    groups: Vec<Group>,
    rules: Arc<Rules>,
    backwards: bool,
) -> BoxStream<'static, Result<Vec<Loaded>, Failure>> {
    let (again, of_rules) = (objects.clone(), rules.clone());
    stream::iter(groups)
        .map(move |group| {
            let (objects, rules) = (objects.clone(), rules.clone());
            spawn(load_group(objects, group, rules)).unwrap_or_else(|error| Err(stopped(&error)))
        })
        .buffered(GROUPS_AHEAD)
        .map_ok(move |parts| items(parts, &again, &of_rules, backwards))
        .try_flatten()
        .boxed()
}

/// A group's parts in the order in which they are decoded.
fn items(
    mut parts: Vec<Part>,
    objects: &Arc<dyn Objects>,
    rules: &Arc<Rules>,
    backwards: bool,
) -> BoxStream<'static, Result<Vec<Loaded>, Failure>> {
    if parts.iter().all(|part| matches!(part, Part::Whole(_))) {
        let whole = parts.into_iter().filter_map(|part| match part {
            Part::Whole(loaded) => Some(loaded),
            Part::Large(_) => None,
        });
        return stream::iter([Ok(whole.collect())]).boxed();
    }
    if backwards {
        parts.reverse();
    }
    let (objects, rules) = (objects.clone(), rules.clone());
    stream::iter(parts)
        .flat_map(move |part| match part {
            Part::Whole(loaded) => stream::iter([Ok(vec![loaded])]).boxed(),
            Part::Large(page) => large::slices(objects.clone(), page, rules.clone(), backwards),
        })
        .boxed()
}

async fn load_group(
    objects: Arc<dyn Objects>,
    group: Group,
    rules: Arc<Rules>,
) -> Result<Vec<Part>, Failure> {
    if let [page] = group.pages.as_slice()
        && page.page.body_length > WHOLE_BYTES
    {
        return Ok(vec![Part::Large(page.clone())]);
    }
    let fetched = source::fetch(&*objects, group).await?;
    let load = move || {
        let mut room = WHOLE_BYTES as usize;
        let pages = fetched.pages.into_iter();
        pages
            .map(|(page, frame)| {
                let body = page.decompress(&frame)?;
                let (ready, fault) = match rules.read_within(body, &page.page, room) {
                    Ok(Some(ready)) => (ready, None),
                    Ok(None) => return Ok(Part::Large(page)),
                    Err(malformed) => (Ready::default(), Some(malformed)),
                };
                room = room.saturating_sub(ready.text.len());
                Ok(Part::Whole(Loaded {
                    page,
                    body: ready.text,
                    spans: ready.records,
                    fault,
                    ..Loaded::default()
                }))
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
