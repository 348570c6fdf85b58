//! Raw payloads, read as they were pulled: the manifests of a run, then its bodies, some megabytes at a time.

use bytes::Bytes;
use futures::stream;
use futures::{StreamExt, TryStreamExt};
use millrace_model::raw::{Manifest, Page};
use millrace_model::state::CompleteRun;
use millrace_model::{Failure, FailureName, keys};
use millrace_store::json;
use millrace_store::objects::Objects;
use std::ops::Range;
use std::sync::Arc;

/// How many manifests are read at once.
const MANIFESTS_AT_ONCE: usize = 16;
/// How many bytes of bodies are read and decoded in one go, where pages are smaller than that.
const GROUP_BYTES: u64 = 8 * 1024 * 1024;

/// A page's place among all that are taken, and how to find it again.
#[derive(Clone, Debug, Default)]
pub(crate) struct PageRef {
    /// The object that holds it.
    pub(crate) object: Arc<str>,
    /// The sequence number of its run.
    pub(crate) sequence: u64,
    /// Its number within its segment, from 0.
    pub(crate) number: usize,
    /// How many records of the run come before it.
    pub(crate) first_record: u64,
    /// How many of the page's own come before those that are meant, where they are not all.
    pub(crate) before: usize,
    /// What its manifest says of it.
    pub(crate) page: Page,
}

/// Pages that lie side by side in one object.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) pages: Vec<PageRef>,
}

/// The bodies of a group, still compressed.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) pages: Vec<(PageRef, Bytes)>,
}

/// All pages of those runs, in the order in which they came.
pub(crate) async fn groups(
    objects: &dyn Objects,
    pipeline: &str,
    resource: &str,
    runs: &[CompleteRun],
) -> Result<Vec<Group>, Failure> {
    let mut groups = Vec::new();
    for run in runs {
        let manifests: Vec<Manifest> = stream::iter(0..run.segments)
            .map(async |segment| {
                let key = keys::raw_manifest(pipeline, resource, &run.run, segment);
                let manifest: Option<Manifest> = json::get(objects, &key).await?;
                manifest.ok_or_else(|| missing(&key))
            })
            .buffered(MANIFESTS_AT_ONCE)
            .try_collect()
            .await?;
        let mut first_record = 0;
        for manifest in manifests {
            let Some(object) = manifest.object else {
                continue;
            };
            let object: Arc<str> = object.into();
            let mut pages: Vec<PageRef> = Vec::new();
            let mut bytes = 0;
            for (number, page) in manifest.pages.into_iter().enumerate() {
                // What was asked beside the records has none of them.
                if page.origin.is_aside {
                    continue;
                }
                let beside = pages
                    .last()
                    .is_none_or(|last| last.page.offset + last.page.length == page.offset);
                if !pages.is_empty() && (!beside || bytes + page.body_length > GROUP_BYTES) {
                    groups.push(Group {
                        pages: std::mem::take(&mut pages),
                    });
                    bytes = 0;
                }
                bytes += page.body_length;
                let records = page.records;
                pages.push(PageRef {
                    object: object.clone(),
                    sequence: run.sequence,
                    number,
                    first_record,
                    before: 0,
                    page,
                });
                first_record += records;
            }
            if !pages.is_empty() {
                groups.push(Group { pages });
            }
        }
    }
    Ok(groups)
}

/// How many bytes the bodies have.
pub(crate) fn bytes(groups: &[Group]) -> u64 {
    groups
        .iter()
        .flat_map(|group| &group.pages)
        .map(|page| page.page.body_length)
        .sum()
}

/// The bodies of a group, as they lie.
pub(crate) async fn fetch(objects: &dyn Objects, group: Group) -> Result<Fetched, Failure> {
    let pages = group.pages;
    let (Some(first), Some(last)) = (pages.first(), pages.last()) else {
        return Ok(Fetched { pages: Vec::new() });
    };
    let start = first.page.offset;
    let range: Range<u64> = start..last.page.offset + last.page.length;
    let key = first.object.clone();
    if range.is_empty() {
        let pages = pages.into_iter().map(|page| (page, Bytes::new())).collect();
        return Ok(Fetched { pages });
    }
    let expected = range.end - range.start;
    let bytes = objects.get_range(&key, range).await?;
    if (bytes.len() as u64) < expected {
        return Err(missing(&format!(
            "{key}, from byte {} on",
            start + bytes.len() as u64
        )));
    }
    let pages = pages
        .into_iter()
        .map(|page| {
            let from = (page.page.offset - start) as usize;
            let frame = bytes.slice(from..from + page.page.length as usize);
            (page, frame)
        })
        .collect();
    Ok(Fetched { pages })
}

fn missing(what: &str) -> Failure {
    Failure::new(
        FailureName::Internal,
        format!(
            "a raw payload that the resource's state counts is not there: {what}; restore it, or pull the resource again \
             with a full refresh"
        ),
    )
}

impl PageRef {
    /// The body, as it came.
    pub(crate) fn decompress(&self, frame: &[u8]) -> Result<Vec<u8>, Failure> {
        let length = self.page.body_length as usize;
        let body = if frame.is_empty() {
            Vec::new()
        } else {
            zstd::bulk::decompress(frame, length).map_err(|error| {
                self.bad(0, &format!("its frame cannot be decompressed: {error}"))
            })?
        };
        self.check_length(body.len() as u64)?;
        Ok(body)
    }

    /// Whether the body has as many bytes as its manifest says.
    pub(crate) fn check_length(&self, length: u64) -> Result<(), Failure> {
        let wanted = self.page.body_length;
        if length == wanted {
            return Ok(());
        }
        let what = format!("it has {length} bytes and not {wanted}");
        Err(self.bad(usize::try_from(length).unwrap_or(usize::MAX), &what))
    }

    /// The same page behind so many of its records.
    pub(crate) fn behind(&self, records: usize) -> Self {
        Self {
            first_record: self.first_record + records as u64,
            before: self.before + records,
            ..self.clone()
        }
    }

    /// What is wrong with the body at a byte.
    pub(crate) fn bad(&self, at: usize, what: &str) -> Failure {
        Failure::new(
            FailureName::BadData,
            format!(
                "the answer in `{}`, page {}, cannot be read at byte {at}: {what}; it was sent for {} at {}. If the source \
                 is right by now, pull it again",
                self.object, self.number, self.page.url, self.page.requested_at
            ),
        )
    }

    /// Where a record of the page is, for messages.
    pub(crate) fn record(&self, number: usize) -> String {
        format!(
            "record {} of page {} in `{}`",
            self.before + number,
            self.number,
            self.object
        )
    }
}
