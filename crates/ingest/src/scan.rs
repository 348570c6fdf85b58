//! What a pull has to know of a body, found while the body streams by: how many records it has, the largest value of
//! their incremental field, and what leads to the next page. No tree of values is built and nothing is kept but the
//! text that is looked for, so a body's size does not matter.

mod found;
mod values;

pub(crate) use found::Found;

use crate::targets::{Targets, Trail};

/// The longest text that is looked for: a token, a URL, a cursor, or a key on the way to them.
const LONGEST_TEXT: usize = 64 * 1024;

/// What some sources begin a body with.
const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

/// How many values outside of the records are kept, and of how many bytes at most each.
const META: usize = 512;
const META_TEXT: usize = 16 * 1024;

/// How many of the body's own keys an error lists.
const LISTED_KEYS: usize = 12;

/// A value without parts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Scalar<'a> {
    Text(&'a str),
    Number(&'a str),
    Bool(bool),
    Null,
}

/// What is wrong with a body.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ScanError {
    /// It is not JSON.
    #[error("is not JSON: {what} at byte {at}")]
    NotJson {
        /// What is wrong.
        what: String,
        /// Where.
        at: u64,
    },
    /// It ends in the middle of a value.
    #[error("ends in the middle of a value, at byte {0}")]
    EndsEarly(u64),
    /// It does not have what the definition says it has.
    #[error("{0}")]
    Unexpected(String),
}

/// An object or an array that is open.
#[derive(Clone, Copy, Debug)]
struct Open {
    is_array: bool,
    holds_records: bool,
    trail: Trail,
    /// How much of the path leads to it, where values outside of the records are kept.
    path: usize,
    /// How many elements have begun, if it is an array.
    elements: usize,
}

/// What may come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    Value,
    ValueOrEnd,
    KeyOrEnd,
    Key,
    Colon,
    CommaOrEnd,
    Nothing,
}

/// What the scanner is in the middle of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Within {
    Between,
    Text,
    Escape,
    Plain,
}

/// Whether what is read is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keep {
    No,
    /// Unless it is too long.
    Welcome,
    /// It must be whole.
    Needed,
}

/// Reads one body, piece by piece.
#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    targets: &'a Targets,
    found: Found,
    has_records: bool,
    open: Vec<Open>,
    expect: Expect,
    within: Within,
    /// Whether the text that is read is a key.
    is_key: bool,
    /// Whether the text or the plain value that is read is kept.
    keep: Keep,
    kept: Vec<u8>,
    /// Where the value that comes next lies.
    trail: Trail,
    /// The path to it, where values outside of the records are kept.
    path: String,
    at: u64,
    /// Where the plain value that is read began.
    plain_at: u64,
    keys: Vec<String>,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(targets: &'a Targets) -> Self {
        Self {
            targets,
            found: Found::default(),
            has_records: false,
            open: Vec::with_capacity(16),
            expect: Expect::Value,
            within: Within::Between,
            is_key: false,
            keep: Keep::No,
            kept: Vec::new(),
            trail: targets.body(),
            path: String::new(),
            at: 0,
            plain_at: 0,
            keys: Vec::new(),
        }
    }

    /// Reads on.
    pub(crate) fn write(&mut self, piece: &[u8]) -> Result<(), ScanError> {
        let start = self.at;
        let mut at = 0;
        while at < piece.len() {
            self.at = start + at as u64;
            at += match self.within {
                Within::Text => self.text(&piece[at..])?,
                Within::Escape => {
                    self.keep(&piece[at..=at])?;
                    self.within = Within::Text;
                    1
                }
                Within::Plain => self.plain(&piece[at..])?,
                Within::Between => self.between(piece[at])?,
            };
        }
        self.at = start + piece.len() as u64;
        Ok(())
    }

    /// Ends the body and tells what was found in it. An empty one has no records; whether another one should have some,
    /// `missing` tells.
    pub(crate) fn end(&mut self) -> Result<Found, ScanError> {
        if self.within == Within::Plain && self.open.is_empty() {
            self.end_plain()?;
        }
        let is_empty =
            self.expect == Expect::Value && self.open.is_empty() && self.within == Within::Between;
        if !is_empty && (self.expect != Expect::Nothing || self.within != Within::Between) {
            return Err(ScanError::EndsEarly(self.at));
        }
        self.has_records |= is_empty || !self.targets.has_records();
        Ok(std::mem::take(&mut self.found))
    }

    /// What the body does not have though the definition says it has.
    pub(crate) fn missing(&self) -> Option<ScanError> {
        if self.has_records {
            return None;
        }
        let path = self.targets.records_path();
        let keys = if self.keys.is_empty() {
            "none".to_owned()
        } else {
            format!("`{}`", self.keys.join("`, `"))
        };
        Some(ScanError::Unexpected(format!(
            "has no `{path}`, where the definition's `records` says the records are; its own fields are {keys}"
        )))
    }

    fn not_json(&self, what: impl Into<String>) -> ScanError {
        ScanError::NotJson {
            what: what.into(),
            at: self.at,
        }
    }

    #[inline]
    fn between(&mut self, byte: u8) -> Result<usize, ScanError> {
        match (byte, self.expect) {
            (b' ' | b'\n' | b'\r' | b'\t', _) => {}
            // A byte order mark is none of JSON's, and sent all the same.
            (byte, Expect::Value) if BYTE_ORDER_MARK.get(self.at as usize) == Some(&byte) => {}
            (b',', Expect::CommaOrEnd) => {
                let in_array = self.open.last().is_some_and(|open| open.is_array);
                self.expect = if in_array { Expect::Value } else { Expect::Key };
            }
            (b':', Expect::Colon) => self.expect = Expect::Value,
            (b'"', Expect::Key | Expect::KeyOrEnd) => {
                self.is_key = true;
                self.within = Within::Text;
                let leads_on = self.open.last().is_some_and(|open| open.trail.leads_on());
                self.keep = if leads_on { Keep::Needed } else { Keep::No };
                self.kept.clear();
            }
            (b'}', Expect::KeyOrEnd) | (b']', Expect::ValueOrEnd) => self.close(),
            (b'}' | b']', Expect::CommaOrEnd) if self.closes(byte) => self.close(),
            (_, Expect::Value | Expect::ValueOrEnd) => return self.begin_value(byte),
            _ => {
                let what = format!("{} is not expected", shown(byte));
                return Err(self.not_json(what));
            }
        }
        Ok(1)
    }

    #[inline]
    fn begin_value(&mut self, byte: u8) -> Result<usize, ScanError> {
        if self.open.last().is_some_and(|open| open.is_array) {
            self.begin_element();
        }
        let field = self.targets.field(self.trail);
        let is_next = self.targets.is_next(self.trail);
        let is_records = self.targets.is_records(self.trail);
        match byte {
            b'{' | b'[' => {
                let is_array = byte == b'[';
                self.has_records |= self.targets.leads_to_each(self.trail);
                if is_next {
                    return Err(self.unexpected_next(if is_array {
                        "a list"
                    } else {
                        "an object"
                    }));
                }
                if let Some(kind) = field {
                    return Err(
                        self.unexpected_field(kind, if is_array { "a list" } else { "an object" })
                    );
                }
                if is_records {
                    self.has_records = true;
                    if !is_array {
                        self.begin_record();
                    }
                }
                self.open.push(Open {
                    is_array,
                    holds_records: is_array && is_records,
                    trail: self.trail,
                    path: self.path.len(),
                    elements: 0,
                });
                self.expect = if is_array {
                    Expect::ValueOrEnd
                } else {
                    Expect::KeyOrEnd
                };
                Ok(1)
            }
            b'"' => {
                if is_records && !self.targets.may_miss() {
                    return Err(self.unexpected_records("text"));
                }
                self.is_key = false;
                self.within = Within::Text;
                let is_needed = field.is_some()
                    || is_next
                    || self.targets.is_last(self.trail)
                    || self.targets.needs_meta(self.trail, &self.path);
                self.keep = match is_needed {
                    true => Keep::Needed,
                    false if self.trail.is_meta() => Keep::Welcome,
                    false => Keep::No,
                };
                self.kept.clear();
                Ok(1)
            }
            b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => {
                if is_records && byte != b'n' && !self.targets.may_miss() {
                    return Err(self.unexpected_records("a plain value"));
                }
                self.has_records |=
                    is_records || (byte == b'n' && self.targets.leads_to_each(self.trail));
                self.within = Within::Plain;
                self.plain_at = self.at;
                self.keep = Keep::Needed;
                self.kept.clear();
                Ok(0)
            }
            _ => {
                let what = format!("{} begins no value", shown(byte));
                Err(self.not_json(what))
            }
        }
    }

    #[inline]
    fn begin_element(&mut self) {
        let Some(open) = self.open.last_mut() else {
            return;
        };
        let number = open.elements;
        open.elements += 1;
        let Open {
            trail,
            holds_records,
            path,
            ..
        } = *open;
        if trail.is_meta() {
            self.path.truncate(path);
            if path > 0 {
                self.path.push('.');
            }
            self.path.push_str(&number.to_string());
        }
        self.trail = self.targets.element(trail, number, &self.path);
        if holds_records {
            self.begin_record();
        }
    }

    #[inline]
    fn begin_record(&mut self) {
        self.found.records += 1;
        self.found.last = None;
        self.trail = self.targets.record(self.trail);
    }

    /// Whether that byte closes what is open.
    #[inline]
    fn closes(&self, byte: u8) -> bool {
        self.open
            .last()
            .is_some_and(|open| open.is_array == (byte == b']'))
    }

    #[inline]
    fn close(&mut self) {
        self.open.pop();
        self.end_value();
    }

    #[inline]
    fn end_value(&mut self) {
        self.expect = if self.open.is_empty() {
            Expect::Nothing
        } else {
            Expect::CommaOrEnd
        };
    }
}

fn shown(byte: u8) -> String {
    if byte.is_ascii_graphic() {
        format!("`{}`", char::from(byte))
    } else {
        format!("the byte 0x{byte:02x}")
    }
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;
