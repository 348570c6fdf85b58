//! Hashes and compresses bodies on a thread of its own, so that a core reads and scans while another one packs.

use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::io;
use std::mem;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;
use zstd::stream::raw::{CParameter, Encoder, InBuffer, Operation, OutBuffer};

/// Bodies are text that repeats itself: the fastest level already makes a tenth of them.
const LEVEL: i32 = 1;

/// How much room is made for the compressor at a time.
const ROOM: usize = 64 * 1024;

/// How many pieces may wait to be packed. A piece is what a connection reads at once, at most 400 KiB.
const WAITING: usize = 8;

/// The packing thread, as its owner sees it. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Packer {
    orders: mpsc::Sender<Order>,
}

/// What is known of a body when it is packed.
#[derive(Clone, Debug)]
pub(super) struct Packed {
    /// The body's SHA-256 in hexadecimal.
    pub(super) sha256: String,
    /// Where its frame starts in what is packed.
    pub(super) start: usize,
    /// Where that ends.
    pub(super) end: usize,
}

/// A body that has ended, on its way to being packed.
#[derive(Debug)]
pub(super) struct Packing {
    reply: oneshot::Receiver<io::Result<Packed>>,
    packed: Option<Packed>,
}

impl Packing {
    /// What is known of the body once it is packed. May be broken off and called again.
    pub(super) async fn wait(&mut self) -> io::Result<Packed> {
        if let Some(packed) = &self.packed {
            return Ok(packed.clone());
        }
        let packed = (&mut self.reply).await.map_err(|_| gone())??;
        Ok(self.packed.insert(packed).clone())
    }
}

enum Order {
    /// A body begins; one that has not ended leaves nothing.
    Begin,
    /// Some of the body.
    Piece(Bytes),
    /// The body ends; it can still be dropped by beginning another one.
    End(oneshot::Sender<io::Result<Packed>>),
    /// The last body that ended is kept.
    Keep,
    /// All that was kept is wanted.
    Take(oneshot::Sender<Vec<u8>>),
}

impl Packer {
    /// Starts the thread.
    pub(super) fn new() -> io::Result<Self> {
        let mut encoder = Encoder::new(LEVEL)?;
        encoder.set_parameter(CParameter::ChecksumFlag(true))?;
        let (orders, inbox) = mpsc::channel(WAITING);
        let work = Work {
            buffer: Vec::new(),
            kept: 0,
            encoder,
            hash: Sha256::new(),
            trouble: None,
        };
        spawn_blocking(move || work.run(inbox));
        Ok(Self { orders })
    }

    pub(super) async fn begin(&self) -> io::Result<()> {
        self.order(Order::Begin).await
    }

    pub(super) async fn write(&self, piece: Bytes) -> io::Result<()> {
        self.order(Order::Piece(piece)).await
    }

    pub(super) async fn end(&self) -> io::Result<Packing> {
        let (reply, packed) = oneshot::channel();
        self.order(Order::End(reply)).await?;
        Ok(Packing {
            reply: packed,
            packed: None,
        })
    }

    pub(super) async fn keep(&self) -> io::Result<()> {
        self.order(Order::Keep).await
    }

    /// What was kept; nothing is left behind.
    pub(super) async fn take(&self) -> io::Result<Vec<u8>> {
        let (reply, taken) = oneshot::channel();
        self.order(Order::Take(reply)).await?;
        taken.await.map_err(|_| gone())
    }

    async fn order(&self, order: Order) -> io::Result<()> {
        self.orders.send(order).await.map_err(|_| gone())
    }
}

fn gone() -> io::Error {
    io::Error::other("the packing thread has ended")
}

/// The thread's side.
struct Work {
    /// The frames of the bodies that are kept, and behind them the one that is open.
    buffer: Vec<u8>,
    kept: usize,
    encoder: Encoder<'static>,
    hash: Sha256,
    /// What went wrong with the open body; told at its end.
    trouble: Option<io::Error>,
}

impl Work {
    fn run(mut self, mut inbox: mpsc::Receiver<Order>) {
        while let Some(order) = inbox.blocking_recv() {
            match order {
                Order::Begin => self.begin(),
                Order::Piece(piece) => {
                    self.hash.update(&piece);
                    let packed = self.compress(&piece);
                    self.note(packed);
                }
                // Whoever does not wait for the answer any more has dropped the body.
                Order::End(reply) => drop(reply.send(self.end())),
                Order::Keep => self.kept = self.buffer.len(),
                Order::Take(reply) => {
                    self.buffer.truncate(self.kept);
                    self.kept = 0;
                    drop(reply.send(mem::take(&mut self.buffer)));
                }
            }
        }
    }

    fn note(&mut self, result: io::Result<()>) {
        if let Err(error) = result {
            self.trouble.get_or_insert(error);
        }
    }

    fn begin(&mut self) {
        self.buffer.truncate(self.kept);
        self.hash.reset();
        self.trouble = None;
        let ready = self.encoder.reinit();
        self.note(ready);
    }

    fn compress(&mut self, piece: &[u8]) -> io::Result<()> {
        let mut input = InBuffer::around(piece);
        while input.pos() < piece.len() {
            self.buffer.reserve(ROOM);
            let at = self.buffer.len();
            let mut output = OutBuffer::around_pos(&mut self.buffer, at);
            self.encoder.run(&mut input, &mut output)?;
        }
        Ok(())
    }

    fn end(&mut self) -> io::Result<Packed> {
        if let Some(trouble) = self.trouble.take() {
            return Err(trouble);
        }
        loop {
            self.buffer.reserve(ROOM);
            let at = self.buffer.len();
            let mut output = OutBuffer::around_pos(&mut self.buffer, at);
            if self.encoder.finish(&mut output, true)? == 0 {
                break;
            }
        }
        Ok(Packed {
            sha256: hex::encode(self.hash.finalize_reset()),
            start: self.kept,
            end: self.buffer.len(),
        })
    }
}
