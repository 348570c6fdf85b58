//! The encoding of a text: as the definition says, else by the byte order mark, the answer's header or the text's own
//! declaration, else UTF-8. What is not of it is an error: a letter that was guessed wrong would stay wrong in every table.

use super::Unread;
use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_8};
use memchr::memmem;

/// How many bytes are decoded at a time.
const ROOM: usize = 16 * 1024;
/// How far into a text its declaration may reach.
const DECLARATION: usize = 256;

/// Decodes one text.
#[derive(Debug)]
pub(super) struct Charset {
    state: State,
    /// The encoding that holds where the text does not say otherwise.
    fallback: &'static Encoding,
    /// Whether the text may say which encoding it is of.
    may_declare: bool,
}

enum State {
    /// The beginning of a text that may say of which encoding it is.
    Beginning(Vec<u8>),
    Decoding(Decoder),
}

impl std::fmt::Debug for State {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Beginning(_) => "Beginning",
            Self::Decoding(_) => "Decoding",
        })
    }
}

impl Charset {
    /// Of the declared encoding, else of that of the answer's header.
    pub(super) fn new(declared: Option<&str>, of_answer: Option<&str>) -> Self {
        let known = |label: Option<&str>| Encoding::for_label(label?.as_bytes());
        let said = known(declared).or_else(|| known(of_answer));
        let fallback = said.unwrap_or(UTF_8);
        Self {
            state: State::Decoding(fallback.new_decoder()),
            fallback,
            may_declare: said.is_none(),
        }
    }

    /// Where nothing else says which encoding it is, the text's own declaration does: `<?xml … encoding="…"?>`.
    pub(super) fn or_of_declaration(self) -> Self {
        let state = if self.may_declare {
            State::Beginning(Vec::new())
        } else {
            self.state
        };
        Self { state, ..self }
    }

    /// Takes the next piece, which begins at that byte, and passes its text on.
    pub(super) fn write(
        &mut self,
        piece: &[u8],
        at: u64,
        mut text: impl FnMut(&[u8]) -> Result<(), Unread>,
    ) -> Result<(), Unread> {
        if let State::Beginning(beginning) = &mut self.state {
            beginning.extend_from_slice(piece);
            if beginning.len() < DECLARATION && memmem::find(beginning, b"?>").is_none() {
                return Ok(());
            }
            let beginning = std::mem::take(beginning);
            return self.begin(&beginning, at, &mut text);
        }
        self.decode(piece, at, false, &mut text)
    }

    /// Ends the text.
    pub(super) fn end(
        &mut self,
        at: u64,
        mut text: impl FnMut(&[u8]) -> Result<(), Unread>,
    ) -> Result<(), Unread> {
        if let State::Beginning(beginning) = &mut self.state {
            let beginning = std::mem::take(beginning);
            self.begin(&beginning, at, &mut text)?;
        }
        self.decode(&[], at, true, &mut text)
    }

    fn begin(
        &mut self,
        beginning: &[u8],
        at: u64,
        text: &mut impl FnMut(&[u8]) -> Result<(), Unread>,
    ) -> Result<(), Unread> {
        let encoding = declaration(beginning).unwrap_or(self.fallback);
        self.state = State::Decoding(encoding.new_decoder());
        self.decode(beginning, at, false, text)
    }

    fn decode(
        &mut self,
        mut piece: &[u8],
        at: u64,
        is_last: bool,
        text: &mut impl FnMut(&[u8]) -> Result<(), Unread>,
    ) -> Result<(), Unread> {
        let State::Decoding(decoder) = &mut self.state else {
            return Ok(());
        };
        let mut room = [0; ROOM];
        let length = piece.len();
        loop {
            let (result, read, written) =
                decoder.decode_to_utf8_without_replacement(piece, &mut room, is_last);
            piece = &piece[read..];
            text(&room[..written])?;
            match result {
                DecoderResult::InputEmpty => return Ok(()),
                DecoderResult::OutputFull => {}
                DecoderResult::Malformed(..) if is_last && length == 0 => {
                    return Err(Unread::EndsEarly(at));
                }
                DecoderResult::Malformed(bytes, behind) => {
                    let read = (length - piece.len()) as u64;
                    let at = (at + read).saturating_sub(u64::from(bytes) + u64::from(behind));
                    let name = decoder.encoding().name();
                    let what = format!("it is not {name}; say its `encoding` in `format`");
                    return Err(Unread::malformed(at, what));
                }
            }
        }
    }
}

/// The encoding that an XML declaration names.
fn declaration(beginning: &[u8]) -> Option<&'static Encoding> {
    let beginning = beginning.strip_prefix(b"<?xml")?;
    let declaration = &beginning[..memmem::find(beginning, b"?>")?];
    let value = &declaration[memmem::find(declaration, b"encoding")? + b"encoding".len()..];
    let value = value.trim_ascii_start().strip_prefix(b"=")?.trim_ascii();
    let (quote, value) = value.split_first()?;
    let end = memchr::memchr(*quote, value)?;
    // A text whose declaration can be read byte by byte is of no encoding with wider letters.
    Encoding::for_label(&value[..end]).filter(|encoding| encoding.is_ascii_compatible())
}
