//! gzip (RFC 1952) and zip (APPNOTE 6.3), known by how a body begins, and unpacked as it streams by.
//!
//! What reads zip otherwise starts from the list of files at an archive's end, and so needs all of it first. Here each
//! file is read behind its own header, in the order in which they lie; only a file that is stored without a word on its
//! length cannot be read that way, and is refused.

mod zip;

use super::{Told, Unread};
use flate2::write::MultiGzDecoder;
use std::io::Write;
use zip::ZipReader;

/// How gzip begins.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// How zip begins: a file's header, or the end of an archive without files.
const ZIP: [[u8; 4]; 2] = [*b"PK\x03\x04", *b"PK\x05\x06"];

/// How many bytes of gzip are unpacked at a time: a thousand times as many may come out.
const STEP: usize = 4 * 1024;

/// Unpacks one body.
#[derive(Debug)]
pub(super) struct Unpacker {
    packing: Packing,
    /// The pattern of the names of the files that are read.
    files: Option<String>,
}

#[derive(Debug)]
enum Packing {
    /// Not known before some bytes came.
    Unknown(Vec<u8>),
    None,
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
    Zip(Box<ZipReader>),
}

impl Unpacker {
    pub(super) fn new(files: Option<String>) -> Self {
        Self {
            packing: Packing::Unknown(Vec::new()),
            files,
        }
    }

    /// Whether the body, of which this is the next piece, is not packed.
    pub(super) fn is_plain(&mut self, piece: &[u8]) -> bool {
        if let Packing::Unknown(beginning) = &self.packing
            && beginning.is_empty()
            && !piece.is_empty()
            && may_be(piece) == Start::Plain
        {
            self.packing = Packing::None;
        }
        matches!(self.packing, Packing::None)
    }

    pub(super) fn write(&mut self, piece: &[u8], told: &mut Told) -> Result<(), Unread> {
        let Packing::Unknown(beginning) = &mut self.packing else {
            return self.unpack(piece, told);
        };
        beginning.extend_from_slice(piece);
        let packing = match may_be(beginning) {
            Start::Short => return Ok(()),
            Start::Gzip => Packing::Gzip(Box::new(MultiGzDecoder::new(Vec::new()))),
            Start::Zip => Packing::Zip(Box::new(ZipReader::new(self.files.clone()))),
            Start::Plain => Packing::None,
        };
        let beginning = std::mem::take(beginning);
        self.packing = packing;
        self.unpack(&beginning, told)
    }

    fn unpack(&mut self, piece: &[u8], told: &mut Told) -> Result<(), Unread> {
        match &mut self.packing {
            Packing::Unknown(_) | Packing::None => told.write(piece),
            Packing::Zip(reader) => reader.write(piece, told),
            Packing::Gzip(decoder) => {
                for step in piece.chunks(STEP) {
                    let unpacked = decoder.write_all(step);
                    unpacked.map_err(|error| {
                        Unread::malformed(told.at, format!("its gzip is damaged: {error}"))
                    })?;
                    told.write(decoder.get_ref())?;
                    decoder.get_mut().clear();
                }
                Ok(())
            }
        }
    }

    pub(super) fn end(&mut self, told: &mut Told) -> Result<(), Unread> {
        match &mut self.packing {
            Packing::Unknown(beginning) => {
                let beginning = std::mem::take(beginning);
                if !beginning.is_empty() {
                    told.write(&beginning)?;
                }
            }
            Packing::None => {}
            Packing::Zip(reader) => reader.end(told)?,
            Packing::Gzip(decoder) => {
                // At the end what was cut and what was damaged cannot be told apart; both may come whole another time.
                let ended = decoder.try_finish();
                ended.map_err(|_| Unread::EndsEarly(told.at))?;
                told.write(decoder.get_ref())?;
            }
        }
        told.end()
    }
}

/// What a body that begins so may be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    /// It could still be any.
    Short,
    Gzip,
    Zip,
    Plain,
}

fn may_be(beginning: &[u8]) -> Start {
    if beginning.starts_with(&GZIP) {
        Start::Gzip
    } else if ZIP.iter().any(|start| beginning.starts_with(start)) {
        Start::Zip
    } else if GZIP.starts_with(beginning) || ZIP.iter().any(|start| start.starts_with(beginning)) {
        Start::Short
    } else {
        Start::Plain
    }
}
