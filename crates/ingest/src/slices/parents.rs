//! The records of a parent resource, read from what the same run has stored of it, one page at a time.

use millrace_model::definition::Pinned;
use millrace_model::raw::{Manifest, Page};
use millrace_model::state::ResourceState;
use millrace_model::step::StepInput;
use millrace_model::{Failure, FailureName, keys};
use millrace_records::{Ready, Rules};
use millrace_store::json;
use millrace_store::objects::Objects;
use serde_json::Value;

/// What there is at a number.
#[derive(Debug)]
pub(super) enum Found {
    Record(Value),
    /// One that the parent's filter holds back.
    Filtered,
    /// The parent is not complete yet.
    NotYet,
    End,
}

/// The parents, in the order in which they came.
#[derive(Debug)]
pub(super) struct Parents<'a> {
    objects: &'a dyn Objects,
    input: &'a StepInput,
    resource: &'a str,
    rules: Rules,
    /// How many segments the parent has; none until it is complete.
    segments: Option<u32>,
    segment: Option<Segment>,
    page: Option<Loaded>,
}

/// A segment's manifest, and how many records come before it.
#[derive(Debug)]
struct Segment {
    manifest: Manifest,
    before: u64,
}

/// A page's records, and how many records come before it.
#[derive(Debug)]
struct Loaded {
    ready: Ready,
    before: u64,
}

impl<'a> Parents<'a> {
    pub(super) fn new(
        objects: &'a dyn Objects,
        input: &'a StepInput,
        pinned: &'a Pinned,
        name: &'a str,
    ) -> Result<Self, Failure> {
        let resource = pinned.resource(name)?;
        Ok(Self {
            objects,
            input,
            resource: name,
            rules: Rules::of(resource),
            segments: None,
            segment: None,
            page: None,
        })
    }

    /// The record of that number.
    pub(super) async fn at(&mut self, number: u64) -> Result<Found, Failure> {
        if let Some(record) = self.loaded(number) {
            return record;
        }
        let Some(segments) = self.segments().await? else {
            return Ok(Found::NotYet);
        };
        let Some(at) = self.find(number, segments).await? else {
            return Ok(Found::End);
        };
        self.load(at).await?;
        self.loaded(number).unwrap_or_else(|| {
            let message = format!(
                "the raw payloads of `{}` have fewer records than their manifests say",
                self.resource
            );
            Err(Failure::new(FailureName::Internal, message))
        })
    }

    fn loaded(&self, number: u64) -> Option<Result<Found, Failure>> {
        let page = self.page.as_ref()?;
        let index = usize::try_from(number.checked_sub(page.before)?).ok()?;
        let span = page.ready.records.get(index)?;
        let record = serde_json::from_str(&page.ready.text[span.clone()]);
        let found = record
            .map_err(|error| error.to_string())
            .and_then(|record| {
                let is_kept = self.rules.keeps(&record)?;
                Ok(if is_kept {
                    Found::Record(record)
                } else {
                    Found::Filtered
                })
            });
        Some(found.map_err(|error| {
            let name = self.resource;
            let message = format!("record {number} of `{name}`, a parent, is not sound: {error}");
            Failure::new(FailureName::BadAnswer, message)
        }))
    }

    async fn segments(&mut self) -> Result<Option<u32>, Failure> {
        if self.segments.is_none() {
            let key = keys::state(&self.input.pipeline, self.resource);
            let state: Option<ResourceState> = json::get(self.objects, &key).await?;
            let run = state
                .iter()
                .flat_map(|state| &state.runs)
                .find(|complete| complete.run == self.input.run);
            self.segments = run.map(|complete| complete.segments);
        }
        Ok(self.segments)
    }

    /// The page in the open segment, or in one behind it, that has the record of that number.
    async fn find(
        &mut self,
        number: u64,
        segments: u32,
    ) -> Result<Option<(Page, u64, String)>, Failure> {
        loop {
            let (next, before) = match &self.segment {
                // A number that lies behind what is open is looked for from the start.
                Some(open) if open.before <= number => {
                    let mut before = open.before;
                    for page in &open.manifest.pages {
                        if number < before + page.records {
                            let object = open.manifest.object.clone().unwrap_or_default();
                            return Ok(Some((page.clone(), before, object)));
                        }
                        before += page.records;
                    }
                    (open.manifest.segment + 1, before)
                }
                _ => (0, 0),
            };
            if next >= segments {
                return Ok(None);
            }
            let input = self.input;
            let key = keys::raw_manifest(&input.pipeline, self.resource, &input.run, next);
            let manifest: Option<Manifest> = json::get(self.objects, &key).await?;
            let manifest = manifest.ok_or_else(|| missing(&key))?;
            self.segment = Some(Segment { manifest, before });
        }
    }

    async fn load(&mut self, (page, before, object): (Page, u64, String)) -> Result<(), Failure> {
        let range = page.offset..page.offset + page.length;
        let frame = self.objects.get_range(&object, range).await?;
        let length = page.body_length as usize;
        let body = zstd::bulk::decompress(&frame, length).map_err(|_| missing(&object))?;
        let ready = self.rules.read_all(body, &page).map_err(|malformed| {
            let message = format!(
                "the answer in `{object}` for {} cannot be read at byte {}: {}",
                page.url, malformed.at, malformed.what
            );
            Failure::new(FailureName::BadAnswer, message)
        })?;
        self.page = Some(Loaded { ready, before });
        Ok(())
    }
}

fn missing(what: &str) -> Failure {
    let message = format!("a raw payload of a parent is not there as its state says: {what}");
    Failure::new(FailureName::Internal, message)
}
