//! The open segment: bodies compressed as they stream in, one zstd frame each, until the segment is committed.

use crate::scan::{Found, ScanError, Scanner};
use crate::targets::Targets;
use bytes::Bytes;
use millrace_model::raw::Page;
use millrace_model::{Failure, FailureName};
use sha2::{Digest, Sha256};
use std::time::{Duration, Instant};
use zstd::stream::raw::{CParameter, Encoder, InBuffer, Operation, OutBuffer};

/// Bodies are text that repeats itself: the fastest level already makes a tenth of them.
const LEVEL: i32 = 1;

/// How much room is made for the compressor at a time.
const ROOM: usize = 64 * 1024;

/// Bodies and their pages, not yet committed.
pub(crate) struct Segment {
    buffer: Vec<u8>,
    encoder: Encoder<'static>,
    pages: Vec<Page>,
    opened: Option<Instant>,
}

/// A body on its way into the segment; dropped unless it is kept.
pub(crate) struct Body<'a> {
    segment: &'a mut Segment,
    scanner: Scanner<'a>,
    hash: Sha256,
    start: usize,
    length: u64,
    limit: u64,
    kept: bool,
}

/// What is known of a body when it has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) found: Found,
    /// The body's SHA-256 in hexadecimal.
    pub(crate) sha256: String,
}

/// Why a body was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Untaken {
    /// It is not what the definition says.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// It is larger than allowed.
    #[error("is larger than {} MiB, the most that is taken of one page; ask for smaller pages", .0 / 1024 / 1024)]
    TooLarge(u64),
    /// It could not be compressed.
    #[error("could not be compressed: {0}")]
    Compression(#[from] std::io::Error),
}

/// What is said of a page beside its body.
#[derive(Debug)]
pub(crate) struct About {
    pub(crate) url: String,
    pub(crate) status: u16,
    pub(crate) content_type: Option<String>,
    pub(crate) requested_at: String,
}

impl Segment {
    pub(crate) fn new() -> Result<Self, Failure> {
        let mut encoder = Encoder::new(LEVEL).map_err(|error| broken(&error))?;
        encoder
            .set_parameter(CParameter::ChecksumFlag(true))
            .map_err(|error| broken(&error))?;
        Ok(Self {
            buffer: Vec::new(),
            encoder,
            pages: Vec::new(),
            opened: None,
        })
    }

    /// The pages that it has so far.
    pub(crate) fn pages(&self) -> &[Page] {
        &self.pages
    }

    /// Whether it should be committed: it is that large, or its first page came that long ago.
    pub(crate) fn is_due(&self, bytes: usize, age: Duration) -> bool {
        self.buffer.len() >= bytes || self.opened.is_some_and(|opened| opened.elapsed() >= age)
    }

    /// Begins a body.
    pub(crate) fn begin<'a>(
        &'a mut self,
        targets: &'a Targets,
        limit: u64,
    ) -> Result<Body<'a>, Untaken> {
        self.encoder.reinit()?;
        let start = self.buffer.len();
        Ok(Body {
            segment: self,
            scanner: Scanner::new(targets),
            hash: Sha256::new(),
            start,
            length: 0,
            limit,
            kept: false,
        })
    }

    /// The bodies and their pages; the segment is empty then.
    pub(crate) fn take(&mut self) -> (Bytes, Vec<Page>) {
        self.opened = None;
        (
            std::mem::take(&mut self.buffer).into(),
            std::mem::take(&mut self.pages),
        )
    }

    fn compress(&mut self, piece: &[u8]) -> std::io::Result<()> {
        let mut input = InBuffer::around(piece);
        while input.pos() < piece.len() {
            self.buffer.reserve(ROOM);
            let at = self.buffer.len();
            let mut output = OutBuffer::around_pos(&mut self.buffer, at);
            self.encoder.run(&mut input, &mut output)?;
        }
        Ok(())
    }

    fn end_frame(&mut self) -> std::io::Result<()> {
        loop {
            self.buffer.reserve(ROOM);
            let at = self.buffer.len();
            let mut output = OutBuffer::around_pos(&mut self.buffer, at);
            if self.encoder.finish(&mut output, true)? == 0 {
                return Ok(());
            }
        }
    }
}

impl Body<'_> {
    /// Takes the next piece.
    pub(crate) fn write(&mut self, piece: &[u8]) -> Result<(), Untaken> {
        self.length += piece.len() as u64;
        if self.length > self.limit {
            return Err(Untaken::TooLarge(self.limit));
        }
        self.scanner.write(piece)?;
        self.hash.update(piece);
        self.segment.compress(piece)?;
        Ok(())
    }

    /// How much of it has come.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Ends the body and tells what was found in it. It is not kept yet.
    pub(crate) fn end(&mut self) -> Result<Ended, Untaken> {
        let found = self.scanner.end()?;
        self.segment.end_frame()?;
        let sha256 = hex::encode(self.hash.finalize_reset());
        Ok(Ended { found, sha256 })
    }

    /// Keeps a body that has ended.
    pub(crate) fn keep(mut self, ended: &Ended, about: About) {
        self.kept = true;
        let segment = &mut *self.segment;
        segment.opened.get_or_insert_with(Instant::now);
        segment.pages.push(Page {
            url: about.url,
            status: about.status,
            content_type: about.content_type,
            requested_at: about.requested_at,
            offset: self.start as u64,
            length: (segment.buffer.len() - self.start) as u64,
            body_length: self.length,
            sha256: ended.sha256.clone(),
            records: ended.found.records,
        });
    }
}

impl Drop for Body<'_> {
    fn drop(&mut self) {
        if !self.kept {
            self.segment.buffer.truncate(self.start);
        }
    }
}

fn broken(error: &std::io::Error) -> Failure {
    Failure::new(
        FailureName::Internal,
        format!("the compressor could not be made: {error}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_model::definition::FieldPath;

    fn about() -> About {
        About {
            url: "http://localhost/".into(),
            status: 200,
            content_type: None,
            requested_at: String::new(),
        }
    }

    #[test]
    fn each_body_is_a_frame_of_its_own_and_one_that_was_broken_off_leaves_nothing() {
        let targets = Targets::new(&FieldPath::default(), None, None);
        let mut segment = Segment::new().unwrap();
        let long = format!("[{}1]", "123456789,".repeat(50_000)).into_bytes();
        let bodies: [&[u8]; 3] = [b"[1,2]", &long, b""];
        for body in bodies {
            let mut broken_off = segment.begin(&targets, 1 << 20).unwrap();
            broken_off.write(b"[1,2,").unwrap();
            drop(broken_off);
            let mut whole = segment.begin(&targets, 1 << 20).unwrap();
            for piece in body.chunks(1_000) {
                whole.write(piece).unwrap();
            }
            let ended = whole.end().unwrap();
            whole.keep(&ended, about());
        }
        let (bytes, pages) = segment.take();
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

    #[test]
    fn a_body_that_is_too_large_is_not_taken() {
        let targets = Targets::new(&FieldPath::default(), None, None);
        let mut segment = Segment::new().unwrap();
        let mut body = segment.begin(&targets, 4).unwrap();
        body.write(b"[1,2").unwrap();
        assert!(matches!(body.write(b"]"), Err(Untaken::TooLarge(4))));
    }
}
