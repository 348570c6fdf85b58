//! What was kept out of a table, taken once more: after the definition was corrected, or the table that was referenced.

use crate::Transform;
use crate::job::{Job, Report, Source};
use crate::load::Loaded;
use crate::outcome::{Step, Target};
use crate::source::PageRef;
use millrace_lake::until_committed;
use millrace_model::definition::Pinned;
use millrace_model::definition::pipeline::WriteMode;
use millrace_model::raw::Page;
use millrace_model::step::{Counts, Deadline, Observer, StepInput, add_counts};
use millrace_model::{Failure, keys};
use millrace_store::objects::Object;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::sync::Arc;

/// How many objects are listed at once.
const LISTED: usize = 1_000;

impl Transform {
    /// Takes what was kept out of a table and can be taken by now; `input.name` is the table's. What still breaks a contract
    /// or an expectation stays in quarantine, and so do answers that cannot be read.
    ///
    /// An object of the quarantine is taken once, however often this is tried and wherever it ends. A record takes the place
    /// of what the table has of its key, unless the table names an `order` that says otherwise.
    pub async fn replay(
        &self,
        pinned: &Pinned,
        input: &StepInput,
        observer: &dyn Observer,
    ) -> Result<Counts, Failure> {
        let pipeline = &pinned.pipeline;
        let mut table = pinned.table(&input.name)?.clone();
        let resource = pinned.resource(&table.from)?;
        if table.write == WriteMode::Replace {
            table.write = WriteMode::Append;
        }
        let job = Job {
            objects: self.objects.clone(),
            lake: self.lake()?,
            input,
            pipeline,
            table: Arc::new(table),
            resource,
            deadline: Deadline::NONE,
            observer,
        };
        let prefix = keys::quarantines(&pipeline.name, &input.name);
        let (mut counts, mut last): (Counts, Option<String>) = (Counts::new(), None);
        loop {
            let entries = self.objects.list(&prefix, last.as_deref(), LISTED).await?;
            let Some(end) = entries.last() else {
                return Ok(counts);
            };
            last = Some(end.key.clone());
            for entry in &entries {
                let taken = until_committed(&input.name, || job.replay(&entry.key)).await?;
                add_counts(&mut counts, &taken);
            }
        }
    }
}

impl Job<'_> {
    async fn replay(&self, key: &str) -> Result<Counts, Failure> {
        let target = Target::open(&self.lake, &self.input.pipeline, &self.table).await?;
        let Some(object) = self.left_to_take(key, &target).await? else {
            return Ok(Counts::new());
        };
        let sequence = keys::quarantined_part(key).unwrap_or_default();
        let text = String::from_utf8_lossy(&object.bytes);
        let (records, others) = records(key, sequence, &text);
        if records.is_empty() {
            return Ok(Counts::new());
        }
        let source = Source::Kept {
            key: key.to_owned(),
            records,
            others,
        };
        let Some((decoder, sinks)) = self.write(&target, &source).await? else {
            return Ok(Counts::new());
        };
        let mut report = Report {
            counts: decoder.counts().clone(),
            findings: decoder.findings(),
        };
        let step = Step {
            sequence,
            brought: None,
            note: Some(key.to_owned()),
        };
        target.commit(decoder, sinks, &step, &mut report).await?;
        self.objects.delete(key).await?;
        self.raise(&report.findings);
        Ok(report.counts)
    }
}

impl Job<'_> {
    /// An object of the quarantine, unless a replay that ended too early has taken it, or has written it too early: what
    /// stays lies beside what it was a part of until the rest is in the table.
    async fn left_to_take(
        &self,
        key: &str,
        target: &Target<'_>,
    ) -> Result<Option<Object>, Failure> {
        if let Some(before) = keys::quarantined_before(key)
            && self.objects.get(&before).await?.is_some()
        {
            if !target.has_noted(&before).await? {
                self.objects.delete(key).await?;
                return Ok(None);
            }
            self.objects.delete(&before).await?;
        }
        if target.has_noted(key).await? {
            self.objects.delete(key).await?;
            return Ok(None);
        }
        Ok(self.objects.get(key).await?)
    }
}

/// The records that an object of the quarantine has, each as a body of its own; and the lines that have none.
fn records(key: &str, sequence: u64, text: &str) -> (Vec<Loaded>, Vec<u8>) {
    let (mut records, mut others) = (Vec::new(), Vec::new());
    let object: Arc<str> = key.into();
    for line in text.lines() {
        let fields = serde_json::from_str::<HashMap<String, Box<RawValue>>>(line);
        let fields = fields.unwrap_or_default();
        let Some(record) = fields.get("record") else {
            others.extend_from_slice(line.as_bytes());
            others.push(b'\n');
            continue;
        };
        let field = |name| serde_json::from_str::<Value>(fields.get(name)?.get()).ok();
        let number = field("number").and_then(|number| number.as_u64());
        let at = field("requested_at");
        let at = at.as_ref().and_then(Value::as_str).unwrap_or_default();
        let body = record.get().to_owned();
        let page = Page {
            url: String::new(),
            status: 200,
            content_type: None,
            requested_at: at.to_owned(),
            offset: 0,
            length: 0,
            body_length: body.len() as u64,
            sha256: String::new(),
            records: 1,
            rewritten: true,
            origin: millrace_model::raw::Origin::default(),
        };
        let page = PageRef {
            object: object.clone(),
            sequence,
            number: records.len(),
            first_record: number.unwrap_or(records.len() as u64),
            before: 0,
            page,
        };
        records.push(Loaded {
            page,
            spans: std::iter::once(0..body.len()).collect(),
            body,
            ..Loaded::default()
        });
    }
    (records, others)
}
