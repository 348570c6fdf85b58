//! What is shown of a chain of requests.

use crate::scratch::Scratch;
use crate::table::{bold, bytes, green, grouped, red};
use millrace_ingest::{Exchange, Taken, Watch};
use millrace_model::definition::Pinned;
use millrace_model::definition::pipeline::{Paginate, Resource};
use millrace_model::keys;
use millrace_model::raw::{Manifest, Page};
use millrace_model::step::{Counts, Observer, StepInput};
use millrace_records::Rules;
use millrace_store::json;
use millrace_store::objects::Objects;
use serde_json::Value;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// How many lines of a record are shown.
const LINES: usize = 40;

/// How many characters of a line, a header or a body are shown.
const CHARACTERS: usize = 160;

/// How many bytes of a body that is no list of records are shown.
const EXCERPT: usize = 500;

/// Shows a chain of requests, as it goes on.
pub struct Report {
    scratch: Arc<Scratch>,
    /// How many records of each page are shown.
    records: usize,
    seen: Mutex<Seen>,
}

/// What was seen of the resource under way.
#[derive(Default)]
struct Seen {
    notes: Vec<String>,
    limits: Vec<(String, String)>,
    last: Option<Taken>,
}

impl Report {
    pub fn new(scratch: Arc<Scratch>, records: usize) -> Self {
        Self {
            scratch,
            records,
            seen: Mutex::default(),
        }
    }

    /// Begins a resource.
    pub fn begin(&self, pinned: &Pinned, resource: &Resource) {
        *self.seen() = Seen::default();
        let base_url = pinned
            .connection(&resource.connection)
            .map_or("", |connection| connection.base_url.as_str());
        println!(
            "{} of the connection {} ({base_url})",
            bold(&resource.name),
            resource.connection
        );
    }

    /// Shows the first records of each page, as the pull has stored them.
    pub async fn records(&self, input: &StepInput, resource: &Resource) -> anyhow::Result<()> {
        let folder = keys::raw_manifests(&input.pipeline, &input.name, &input.run);
        let rules = Rules::of(resource);
        let mut number = 0;
        for entry in self.scratch.list(&folder, None, usize::MAX).await? {
            let manifest: Option<Manifest> = json::get(&*self.scratch, &entry.key).await?;
            let Some(manifest) = manifest else { continue };
            let Some(object) = &manifest.object else {
                continue;
            };
            for page in manifest.pages.iter().filter(|page| !page.origin.is_aside) {
                let range = page.offset..page.offset + page.length;
                let frame = self.scratch.get_range(object, range).await?;
                number += 1;
                self.page(&rules, page, zstd::decode_all(&*frame)?, number);
            }
        }
        Ok(())
    }

    fn page(&self, rules: &Rules, page: &Page, body: Vec<u8>, number: usize) {
        let start = String::from_utf8_lossy(&body[..body.len().min(EXCERPT)]).into_owned();
        let ready = match rules.read(body, page) {
            Ok(ready) if !ready.records.is_empty() => ready,
            Ok(_) => {
                println!(
                    "  page {number}: no records; it begins with\n    {}",
                    shortened(&start)
                );
                return;
            }
            Err(error) => {
                println!(
                    "  page {number}: {} at byte {}; it begins with\n    {}",
                    error.what,
                    error.at,
                    shortened(&start)
                );
                return;
            }
        };
        let shown = self.records.min(ready.records.len());
        println!(
            "  page {number}, {shown} of {} records:",
            grouped(page.records)
        );
        for span in ready.records.iter().take(shown) {
            let record: Value = serde_json::from_str(&ready.text[span.clone()]).unwrap_or_default();
            let pretty = serde_json::to_string_pretty(&record).unwrap_or_default();
            for line in pretty.lines().take(LINES) {
                println!("    {}", shortened(line));
            }
            if pretty.lines().count() > LINES {
                println!("    … ({} lines more)", pretty.lines().count() - LINES);
            }
        }
    }

    /// Says how pages are asked for, and why.
    pub fn paginator(&self, resource: &Resource) {
        let seen = self.seen();
        let said = match (&resource.paginate, seen.notes.is_empty()) {
            (Paginate::Auto, true) => {
                "none: the answer shows no further page, so it is taken for all there is".to_owned()
            }
            (Paginate::Auto, false) => format!("found by itself: {}", seen.notes.join("; ")),
            (Paginate::None, _) => "none, as the definition says".to_owned(),
            (declared, _) => format!("{}, as the definition says", kind(declared)),
        };
        println!("  {} {said}", bold("paginator"));
    }

    /// Says what the headers tell of limits, and which request would be next.
    pub fn end(&self) {
        let seen = self.seen();
        if seen.limits.is_empty() {
            println!("  {} no header speaks of any", bold("limits"));
        }
        for (name, value) in &seen.limits {
            println!("  {} {name}: {value}", bold("limits"));
        }
        let next = match &seen.last {
            Some(Taken {
                next: Some(next), ..
            }) => next,
            Some(Taken { next: None, .. }) => "nothing: this was the last page",
            None => "nothing: there was no page",
        };
        println!("  {} {next}", bold("next"));
        println!();
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch for Report {
    fn answered(&self, exchange: &Exchange) {
        let Exchange {
            method,
            url,
            status,
            took,
            ..
        } = exchange;
        let purpose = if exchange.is_for_credential {
            "   (for the credential)"
        } else {
            ""
        };
        println!("  → {} {url}{purpose}", bold(method));
        headers(&exchange.headers);
        if let Some(body) = &exchange.body {
            println!("      {}", shortened(body));
        }
        let status = if (200..300).contains(status) {
            green(&status.to_string())
        } else {
            red(&status.to_string())
        };
        println!("  ← {status} in {} ms", took.as_millis());
        headers(&exchange.answer_headers);
        let limits: Vec<_> = exchange
            .answer_headers
            .iter()
            .filter(|(name, _)| tells_limits(name))
            .cloned()
            .collect();
        if !limits.is_empty() {
            self.seen().limits = limits;
        }
    }

    fn taken(&self, page: &Taken) {
        println!(
            "      {} records in {}",
            grouped(page.records),
            bytes(page.bytes)
        );
        self.seen().last = Some(page.clone());
    }
}

impl Observer for Report {
    fn progress(&self, _: &Counts) {}

    fn note(&self, text: &str) {
        self.seen().notes.push(text.to_owned());
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Report")
    }
}

fn headers(headers: &[(String, String)]) {
    for (name, value) in headers {
        println!("      {name}: {}", shortened(value));
    }
}

/// Whether a header speaks of limits: `Retry-After`, and `RateLimit-*` in its many spellings.
fn tells_limits(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name == "retry-after"
        || name.contains("ratelimit")
        || name.contains("rate-limit")
        || name.contains("quota")
}

fn shortened(text: &str) -> String {
    let line: String = text
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .take(CHARACTERS)
        .collect();
    if text.chars().count() > CHARACTERS {
        format!("{line}…")
    } else {
        line
    }
}

/// The paginator's name in definitions.
fn kind(paginate: &Paginate) -> &'static str {
    match paginate {
        Paginate::Auto => "auto",
        Paginate::None => "none",
        Paginate::Offset { .. } => "offset",
        Paginate::Page { .. } => "page",
        Paginate::Cursor { .. } => "cursor",
        Paginate::Keyset { .. } => "keyset",
        Paginate::NextLink { .. } => "next_link",
        Paginate::LinkHeader => "link_header",
        Paginate::Odata => "odata",
        Paginate::OdataDelta => "odata_delta",
    }
}
