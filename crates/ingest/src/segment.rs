//! The open segment: bodies packed as they stream in, one zstd frame each, until the segment is committed.
//!
//! Nobody waits for a body to be packed before the next one is asked for: what is known only then, a page's hash and where
//! its frame lies, is filled in when the next page comes, or when the segment is taken.

mod packer;

use crate::redact::{Redactor, Unredacted};
use crate::scan::{Found, ScanError, Scanner};
use crate::targets::Targets;
use bytes::Bytes;
use millrace_model::raw::{Origin, Page};
use millrace_model::{Failure, FailureName};
use millrace_records::{FormReader, Malformed, Unread};
use packer::{Packer, Packing};
use std::io;
use std::time::{Duration, Instant};

/// Bodies and their pages, not yet committed.
pub(crate) struct Segment {
    packer: Packer,
    pages: Vec<Page>,
    /// What is to be filled in of the last page.
    unsettled: Option<Packing>,
    /// Whether a body that was kept could not be packed: nothing can be taken any more.
    is_broken: bool,
    /// The last body that was kept, by its length and its hash.
    last: Option<(u64, String)>,
    /// Whether the bodies that came so far are none that one may repeat.
    forgets: bool,
    /// How many bytes the pages' bodies have, packed.
    bytes: usize,
    opened: Option<Instant>,
}

/// A body on its way into the segment; dropped unless it is kept.
pub(crate) struct Body<'a> {
    segment: &'a mut Segment,
    reader: FormReader,
    redactor: Option<Redactor<'a>>,
    scanner: Scanner<'a>,
    /// How many bytes of it are stored.
    length: u64,
    /// How many bytes of JSON it makes.
    json_length: u64,
    limit: u64,
    packing: Option<Packing>,
}

/// How a body is read.
pub(crate) struct Reading<'a> {
    /// What is looked for in it.
    pub(crate) targets: &'a Targets,
    /// In which form it comes.
    pub(crate) reader: FormReader,
    /// What becomes of personal data in it.
    pub(crate) redactor: Option<Redactor<'a>>,
    /// How large it may be, as it comes and as it is unpacked.
    pub(crate) limit: u64,
}

/// Why a body was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Untaken {
    /// It is not what the definition says.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// It is not of its form.
    #[error("cannot be read at byte {}: {}", .0.at, .0.what)]
    Malformed(Malformed),
    /// It is larger than allowed.
    #[error("is larger than {} MiB, the most that is taken of one page; ask for smaller pages", .0 / 1024 / 1024)]
    TooLarge(u64),
    /// Personal data could not be found in it.
    #[error(transparent)]
    Unredacted(#[from] Unredacted),
    /// It could not be packed.
    #[error("could not be packed: {0}")]
    Packing(#[from] std::io::Error),
}

impl From<Unread> for Untaken {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::EndsEarly(at) => Self::Scan(ScanError::EndsEarly(at)),
            Unread::Malformed(malformed) => Self::Malformed(malformed),
        }
    }
}

/// What is said of a page beside its body.
#[derive(Debug)]
pub(crate) struct About {
    pub(crate) url: String,
    pub(crate) status: u16,
    pub(crate) content_type: Option<String>,
    pub(crate) requested_at: String,
    pub(crate) origin: Origin,
}

impl Segment {
    pub(crate) fn new() -> Result<Self, Failure> {
        Ok(Self {
            packer: Packer::new().map_err(|error| broken(&error))?,
            pages: Vec::new(),
            unsettled: None,
            is_broken: false,
            last: None,
            forgets: false,
            bytes: 0,
            opened: None,
        })
    }

    /// The pages that it has so far.
    pub(crate) fn pages(&self) -> &[Page] {
        &self.pages
    }

    /// Whether it should be committed: it is that large, or its first page came that long ago.
    pub(crate) fn is_due(&self, bytes: usize, age: Duration) -> bool {
        self.bytes >= bytes || self.opened.is_some_and(|opened| opened.elapsed() >= age)
    }

    /// Begins a body. One that was begun before and not kept leaves nothing.
    pub(crate) async fn begin<'a>(&'a mut self, reading: Reading<'a>) -> Result<Body<'a>, Untaken> {
        self.packer.begin().await?;
        Ok(Body {
            segment: self,
            reader: reading.reader,
            redactor: reading.redactor,
            scanner: Scanner::new(reading.targets),
            length: 0,
            json_length: 0,
            limit: reading.limit,
            packing: None,
        })
    }

    /// Takes no body for a repetition of those that came so far.
    pub(crate) fn forget_last(&mut self) {
        self.last = None;
        self.forgets = true;
    }

    /// Fills in what was not known of the last page. May be broken off and called again.
    async fn settle(&mut self) -> io::Result<()> {
        if let Some(packing) = &mut self.unsettled {
            let packed = packing.wait().await;
            self.unsettled = None;
            let Ok(packed) = packed else {
                self.is_broken = true;
                return packed.map(drop);
            };
            self.bytes = packed.end;
            if let Some(page) = self.pages.last_mut() {
                page.offset = packed.start as u64;
                page.length = (packed.end - packed.start) as u64;
                page.sha256.clone_from(&packed.sha256);
                self.last = Some((page.body_length, packed.sha256)).filter(|_| !self.forgets);
            }
        }
        if self.is_broken {
            return Err(io::Error::other("a body before could not be packed"));
        }
        Ok(())
    }

    /// The bodies and their pages; the segment is empty then.
    pub(crate) async fn take(&mut self) -> Result<(Bytes, Vec<Page>), Failure> {
        self.settle().await.map_err(|error| broken(&error))?;
        let bytes = self.packer.take().await.map_err(|error| broken(&error))?;
        self.opened = None;
        self.bytes = 0;
        Ok((bytes.into(), std::mem::take(&mut self.pages)))
    }
}

impl Body<'_> {
    /// Takes the next piece.
    pub(crate) async fn write(&mut self, piece: Bytes) -> Result<(), Untaken> {
        if self.redactor.is_none() {
            self.length += piece.len() as u64;
            self.within_limit()?;
            // The packer works on it meanwhile.
            self.segment.packer.write(piece.clone()).await?;
        }
        let json = self.reader.write(&piece)?;
        self.json_length += json.len() as u64;
        let Some(redactor) = &mut self.redactor else {
            self.scanner.write(json)?;
            return self.within_limit();
        };
        let clean = redactor.write(json)?;
        self.store(clean).await
    }

    /// Stores what nothing is to be taken out of any more.
    async fn store(&mut self, json: Bytes) -> Result<(), Untaken> {
        self.length += json.len() as u64;
        self.within_limit()?;
        self.segment.packer.write(json.clone()).await?;
        self.scanner.write(&json)?;
        Ok(())
    }

    fn within_limit(&self) -> Result<(), Untaken> {
        if self.length.max(self.json_length) > self.limit {
            return Err(Untaken::TooLarge(self.limit));
        }
        Ok(())
    }

    /// How much of it has come.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Ends the body and tells what was found in it. It is not kept yet.
    pub(crate) async fn end(&mut self) -> Result<Found, Untaken> {
        let json = self.reader.end()?;
        match &mut self.redactor {
            None => self.scanner.write(json)?,
            Some(redactor) => {
                let clean = [redactor.write(json)?, redactor.end()];
                for piece in clean {
                    self.store(piece).await?;
                }
            }
        }
        let found = self.scanner.end()?;
        self.packing = Some(self.segment.packer.end().await?);
        Ok(found)
    }

    /// What a body that has ended does not have though the definition says it has.
    pub(crate) fn missing(&self) -> Option<Untaken> {
        self.scanner.missing().map(Untaken::from)
    }

    /// Whether a body that has ended is, byte for byte, the last one that was kept. Only one of its length can be, and
    /// only for such a one the hash is waited for.
    pub(crate) async fn repeats_the_last(&mut self) -> Result<bool, Untaken> {
        if self.segment.forgets {
            return Ok(false);
        }
        let before = match (self.segment.unsettled.is_some(), self.segment.pages.last()) {
            (true, Some(page)) => Some(page.body_length),
            _ => self.segment.last.as_ref().map(|(length, _)| *length),
        };
        if before != Some(self.length) {
            return Ok(false);
        }
        self.segment.settle().await?;
        let Some(packing) = &mut self.packing else {
            return Ok(false);
        };
        let packed = packing.wait().await?;
        let last = self.segment.last.as_ref();
        Ok(last.is_some_and(|(_, sha256)| *sha256 == packed.sha256))
    }

    /// Keeps a body that has ended.
    pub(crate) async fn keep(self, records: u64, about: About) -> Result<(), Untaken> {
        let segment = self.segment;
        segment.settle().await?;
        segment.packer.keep().await?;
        // From here on nothing waits, so that what the packer keeps is always known here as well.
        segment.opened.get_or_insert_with(Instant::now);
        segment.unsettled = self.packing;
        segment.forgets = false;
        segment.pages.push(Page {
            url: about.url,
            status: about.status,
            content_type: about.content_type,
            requested_at: about.requested_at,
            offset: 0,
            length: 0,
            body_length: self.length,
            sha256: String::new(),
            records,
            rewritten: self.redactor.is_some() && !self.reader.is_json(),
            origin: about.origin,
        });
        Ok(())
    }
}

fn broken(error: &std::io::Error) -> Failure {
    Failure::new(
        FailureName::Internal,
        format!("the bodies cannot be packed: {error}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_model::definition::FieldPath;
    use millrace_model::definition::format::Format;
    use sha2::{Digest, Sha256};

    fn about() -> About {
        About {
            url: "http://localhost/".into(),
            status: 200,
            content_type: None,
            requested_at: String::new(),
            origin: Origin::default(),
        }
    }

    fn reading(targets: &Targets, limit: u64) -> Reading<'_> {
        Reading {
            targets,
            reader: FormReader::new(&Format::default(), None, &[]),
            redactor: None,
            limit,
        }
    }

    #[tokio::test]
    async fn each_body_is_a_frame_of_its_own_and_one_that_was_broken_off_leaves_nothing() {
        let targets = Targets::new(&FieldPath::default(), None, None);
        let mut segment = Segment::new().unwrap();
        let long = format!("[{}1]", "123456789,".repeat(50_000)).into_bytes();
        let bodies: [&[u8]; 3] = [b"[1,2]", &long, b""];
        for body in bodies {
            let mut broken_off = segment.begin(reading(&targets, 1 << 20)).await.unwrap();
            broken_off
                .write(Bytes::from_static(b"[1,2,"))
                .await
                .unwrap();
            drop(broken_off);
            let mut whole = segment.begin(reading(&targets, 1 << 20)).await.unwrap();
            for piece in body.chunks(1_000) {
                whole.write(Bytes::copy_from_slice(piece)).await.unwrap();
            }
            let found = whole.end().await.unwrap();
            whole.keep(found.records, about()).await.unwrap();
        }
        let (bytes, pages) = segment.take().await.unwrap();
        assert_eq!(
            pages.iter().map(|page| page.records).collect::<Vec<_>>(),
            [2, 50_001, 0]
        );
        let mut end = 0;
        for (page, body) in pages.iter().zip(bodies) {
            assert_eq!(page.offset, end);
            end += page.length;
            let frame = &bytes[page.offset as usize..end as usize];
            assert_eq!(zstd::decode_all(frame).unwrap(), body);
            assert_eq!(page.body_length, body.len() as u64);
            assert_eq!(page.sha256, hex::encode(Sha256::digest(body)));
        }
        assert_eq!(end, bytes.len() as u64);
        assert!(segment.pages().is_empty());
    }

    #[tokio::test]
    async fn a_body_repeats_the_last_one_unless_that_is_forgotten() {
        let targets = Targets::new(&FieldPath::default(), None, None);
        let mut segment = Segment::new().unwrap();
        for (text, forgets, repeats) in [
            ("[1]", false, false),
            ("[1]", false, true),
            ("[2]", false, false),
            ("[2]", true, false),
            ("[22]", false, false),
        ] {
            if forgets {
                segment.forget_last();
            }
            let mut body = segment.begin(reading(&targets, 100)).await.unwrap();
            body.write(Bytes::from_static(text.as_bytes()))
                .await
                .unwrap();
            let found = body.end().await.unwrap();
            assert_eq!(body.repeats_the_last().await.unwrap(), repeats, "{text}");
            body.keep(found.records, about()).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_body_that_is_too_large_is_not_taken() {
        let targets = Targets::new(&FieldPath::default(), None, None);
        let mut segment = Segment::new().unwrap();
        let mut body = segment.begin(reading(&targets, 4)).await.unwrap();
        body.write(Bytes::from_static(b"[1,2")).await.unwrap();
        assert!(matches!(
            body.write(Bytes::from_static(b"]")).await,
            Err(Untaken::TooLarge(4))
        ));
    }
}
