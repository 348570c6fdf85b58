//! The text of a JSON string, byte by byte.

use ring::hmac;

/// A keyed hash under way.
pub(super) struct Sum(hmac::Context);

impl Sum {
    pub(super) fn new(key: &hmac::Key) -> Self {
        Self(hmac::Context::with_key(key))
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// In hexadecimal.
    pub(super) fn end(self) -> String {
        hex::encode(self.0.sign())
    }
}

/// A string as it is read: which of its bytes are escaped, and what it says.
#[derive(Default)]
pub(super) struct Unescaped {
    state: State,
    /// The first half of a character that is written as two escapes.
    half: Option<u32>,
    text: Vec<u8>,
    /// How much of the text is kept.
    keeps: usize,
    is_longer: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Plain,
    Escape,
    /// So many digits of `\u` have come, and what they say.
    Unicode(u8, u32),
}

impl Unescaped {
    /// A string whose text is kept, as long as it is not longer than that.
    pub(super) fn keeping(longest: usize) -> Self {
        Self {
            keeps: longest,
            ..Self::default()
        }
    }

    /// The text, where it is not longer than what is kept.
    pub(super) fn text(&self) -> Option<&[u8]> {
        (!self.is_longer).then_some(&*self.text)
    }

    /// What is kept of the text, however long it is.
    pub(super) fn beginning(&self) -> &[u8] {
        &self.text
    }

    /// Takes the next byte behind the opening quote; true for the closing one.
    pub(super) fn write(&mut self, byte: u8) -> bool {
        let (ends, decoded, length) = self.decode(byte);
        for byte in &decoded[..length] {
            if self.text.len() < self.keeps {
                self.text.push(*byte);
            } else {
                self.is_longer = true;
            }
        }
        ends
    }

    /// The same, with the text going into a hash.
    pub(super) fn write_to(&mut self, byte: u8, sum: &mut Sum) -> bool {
        let (ends, decoded, length) = self.decode(byte);
        sum.update(&decoded[..length]);
        ends
    }

    /// Whether the string ends, and the bytes of text that are known with this one.
    fn decode(&mut self, byte: u8) -> (bool, [u8; 8], usize) {
        let mut decoded = Decoded::default();
        match self.state {
            State::Plain if byte == b'\\' => self.state = State::Escape,
            State::Plain => {
                self.lone_half(&mut decoded);
                if byte == b'"' {
                    return (true, decoded.bytes, decoded.length);
                }
                decoded.push(&[byte]);
            }
            State::Escape if byte == b'u' => self.state = State::Unicode(0, 0),
            State::Escape => {
                self.state = State::Plain;
                self.lone_half(&mut decoded);
                decoded.push(&[match byte {
                    b'n' => b'\n',
                    b't' => b'\t',
                    b'r' => b'\r',
                    b'b' => 8,
                    b'f' => 12,
                    other => other,
                }]);
            }
            State::Unicode(digits, code) => {
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                let code = code * 16 + digit;
                if digits < 3 {
                    self.state = State::Unicode(digits + 1, code);
                } else {
                    self.state = State::Plain;
                    self.character(code, &mut decoded);
                }
            }
        }
        (false, decoded.bytes, decoded.length)
    }

    fn character(&mut self, code: u32, decoded: &mut Decoded) {
        match (self.half.take(), code) {
            (Some(high), 0xDC00..0xE000) => {
                decoded.push_char(0x1_0000 + ((high - 0xD800) << 10) + (code - 0xDC00));
            }
            (lone, code) => {
                if lone.is_some() {
                    decoded.push_char(0xFFFD);
                }
                if (0xD800..0xDC00).contains(&code) {
                    self.half = Some(code);
                } else {
                    decoded.push_char(code);
                }
            }
        }
    }

    /// Half a character without its other half is none.
    fn lone_half(&mut self, decoded: &mut Decoded) {
        if self.half.take().is_some() {
            decoded.push_char(0xFFFD);
        }
    }
}

/// The few bytes that one byte of a string can bring.
#[derive(Default)]
struct Decoded {
    bytes: [u8; 8],
    length: usize,
}

impl Decoded {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.length..self.length + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }

    fn push_char(&mut self, code: u32) {
        let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
        self.push(character.encode_utf8(&mut [0; 4]).as_bytes());
    }
}
