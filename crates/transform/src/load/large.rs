//! A body that is too large to be held: read by range, and given slice by slice. Whether it can be read is known at its end
//! alone, and nothing of one is taken that cannot; so it is read twice.

use super::{Loaded, RECORD_BYTES, stopped};
use crate::source::PageRef;
use bytes::{Buf, Bytes};
use futures::stream::{self, BoxStream, StreamExt};
use millrace_model::{Failure, FailureName};
use millrace_records::{Malformed, Ready, Rules, Slice};
use millrace_store::objects::Objects;
use std::io::{self, BufReader, Read};
use std::ops::Range;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{self, Sender};
use tokio::task::spawn_blocking;

/// How much of a body's frame is read at once.
const RANGE_BYTES: u64 = 4 * 1024 * 1024;
/// How much of a body is read on at once.
const PIECE_BYTES: usize = 128 * 1024;

type Item = Result<Vec<Loaded>, Failure>;

/// A body's records, some at a time; the last ones first where they are taken backwards.
pub(super) fn slices(
    objects: Arc<dyn Objects>,
    page: PageRef,
    rules: Arc<Rules>,
    backwards: bool,
) -> BoxStream<'static, Item> {
    let (sender, receiver) = mpsc::channel(1);
    let frame = Frame::new(objects, &page);
    let task = spawn_blocking(move || {
        let body = LargeBody {
            page,
            frame,
            rules,
            sender,
        };
        if let Err(failure) = body.give(backwards) {
            // Whoever does not listen any more has failed already.
            let _ = body.sender.blocking_send(Err(failure));
        }
    });
    stream::unfold(Some((receiver, task)), |state| async {
        let (mut receiver, task) = state?;
        if let Some(item) = receiver.recv().await {
            return Some((item, Some((receiver, task))));
        }
        // A task that ended before its time must not look like the body's end.
        let error = task.await.err()?;
        Some((Err(stopped(&error)), None))
    })
    .boxed()
}

struct LargeBody {
    page: PageRef,
    frame: Frame,
    rules: Arc<Rules>,
    sender: Sender<Item>,
}

impl LargeBody {
    fn give(&self, backwards: bool) -> Result<(), Failure> {
        if let Err(fault) = self.read(&mut |_| {})? {
            self.send(Loaded {
                page: self.page.clone(),
                fault: Some(fault),
                ..Loaded::default()
            });
            return Ok(());
        }
        let mut before = 0;
        let mut kept: Vec<Packed> = Vec::new();
        let mut unpacked = Ok(());
        let read = self.read(&mut |slice| {
            let count = slice.starts.len();
            if backwards {
                match Packed::new(before, slice) {
                    Ok(slice) => kept.push(slice),
                    Err(error) => unpacked = Err(error),
                }
            } else {
                self.send(self.loaded(before, slice));
            }
            before += count;
        })?;
        read.map_err(|fault| self.page.bad(fault.at, &fault.what))?;
        unpacked.map_err(|error| unpackable(&error))?;
        for packed in kept.into_iter().rev() {
            let (before, slice) = packed.unpack().map_err(|error| unpackable(&error))?;
            self.send(self.loaded(before, slice));
        }
        Ok(())
    }

    /// Reads the body from its beginning to its end.
    fn read(&self, give: &mut dyn FnMut(Slice)) -> Result<Result<(), Malformed>, Failure> {
        let mut pieces = match self.rules.in_pieces(&self.page.page, RECORD_BYTES, give) {
            Ok(pieces) => pieces,
            Err(malformed) => return Ok(Err(malformed)),
        };
        let bad = |error: io::Error| match error.downcast::<Failure>() {
            Ok(failure) => failure,
            Err(error) => self
                .page
                .bad(0, &format!("its frame cannot be decompressed: {error}")),
        };
        let frame = BufReader::with_capacity(PIECE_BYTES, self.frame.reader());
        let mut body = zstd::stream::read::Decoder::with_buffer(frame).map_err(bad)?;
        let (mut buffer, mut length) = (vec![0; PIECE_BYTES], 0);
        loop {
            let read = body.read(&mut buffer).map_err(bad)?;
            if read == 0 {
                break;
            }
            length += read as u64;
            if let Err(malformed) = pieces.write(&buffer[..read]) {
                return Ok(Err(malformed));
            }
        }
        self.page.check_length(length)?;
        Ok(pieces.end())
    }

    fn loaded(&self, before: usize, slice: Slice) -> Loaded {
        Loaded {
            page: self.page.behind(before),
            body: slice.ready.text,
            spans: slice.ready.records,
            starts: slice.starts,
            too_large: slice.too_large,
            fault: None,
        }
    }

    fn send(&self, loaded: Loaded) {
        // Whoever does not listen any more has failed already.
        let _ = self.sender.blocking_send(Ok(vec![loaded]));
    }
}

/// A slice that waits for those behind it.
struct Packed {
    before: usize,
    text: Vec<u8>,
    length: usize,
    slice: Slice,
}

impl Packed {
    fn new(before: usize, mut slice: Slice) -> io::Result<Self> {
        let text = std::mem::take(&mut slice.ready.text);
        let mut packed = zstd::bulk::compress(text.as_bytes(), 1)?;
        // It was made as large as what does not compress would be.
        packed.shrink_to_fit();
        Ok(Self {
            before,
            text: packed,
            length: text.len(),
            slice,
        })
    }

    fn unpack(self) -> io::Result<(usize, Slice)> {
        let text = zstd::bulk::decompress(&self.text, self.length)?;
        let text = String::from_utf8(text).map_err(io::Error::other)?;
        let records = self.slice.ready.records;
        let slice = Slice {
            ready: Ready { text, records },
            ..self.slice
        };
        Ok((self.before, slice))
    }
}

fn unpackable(error: &io::Error) -> Failure {
    Failure::new(
        FailureName::Internal,
        format!("a part of a large body could not be kept: {error}"),
    )
}

/// Where a body's frame lies.
struct Frame {
    objects: Arc<dyn Objects>,
    object: Arc<str>,
    range: Range<u64>,
    runtime: Handle,
}

impl Frame {
    fn new(objects: Arc<dyn Objects>, page: &PageRef) -> Self {
        Self {
            objects,
            object: page.object.clone(),
            range: page.page.offset..page.page.offset + page.page.length,
            runtime: Handle::current(),
        }
    }

    fn reader(&self) -> FrameReader<'_> {
        FrameReader {
            frame: self,
            next: self.range.start,
            held: Bytes::new(),
        }
    }
}

/// Reads a frame range by range.
struct FrameReader<'f> {
    frame: &'f Frame,
    next: u64,
    held: Bytes,
}

impl Read for FrameReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let frame = self.frame;
        if self.held.is_empty() && self.next < frame.range.end {
            let end = frame.range.end.min(self.next + RANGE_BYTES);
            let range = frame.objects.get_range(&frame.object, self.next..end);
            let held = frame.runtime.block_on(range);
            self.held = held.map_err(|error| io::Error::other(Failure::from(error)))?;
            self.next += self.held.len() as u64;
        }
        let read = buffer.len().min(self.held.len());
        self.held.copy_to_slice(&mut buffer[..read]);
        Ok(read)
    }
}
