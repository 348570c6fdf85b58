//! Records found in JSON that comes piece by piece, in memory that depends on the largest record that is taken: by the same
//! rules as [`crate::json::records`], which has all of a body before it.

use crate::json::{Cursor, EACH, Malformed, Quoted};
use memchr::memchr2;

/// How long a member's name, a number or a word may be.
const LONGEST: usize = 64 * 1024;

/// What is found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found<'a> {
    /// A record, and the byte at which it begins.
    Record(u64, &'a [u8]),
    /// One that is larger than is taken: the byte at which it begins, and how many it has.
    TooLarge(u64, u64),
}

/// Finds the records of one body.
#[derive(Debug)]
pub(crate) struct Slicer {
    path: Vec<String>,
    has_each: bool,
    largest: usize,
    /// The objects and lists around the place, as far as the path leads through them.
    levels: Vec<Level>,
    state: State,
    /// Whether the path has led anywhere.
    found: bool,
    at: u64,
    /// The record, the name or the word that is read.
    text: Vec<u8>,
}

/// An object whose members, or a list whose elements, are looked at.
#[derive(Clone, Copy, Debug)]
struct Level {
    close: u8,
    /// The place in the path of what is in it; none where each element is a record.
    step: Option<usize>,
}

/// What a value is to be looked at for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// The path has led here so far.
    Path(usize),
    Record,
    Other,
}

#[derive(Debug)]
enum State {
    /// Nothing but a mark of the byte order, as far as it has come.
    Begin(usize),
    Value(Role),
    /// The first element of a list, or its end.
    Element(Role),
    /// A name, or where it is the first one, the object's end.
    Name {
        first: bool,
    },
    NameText {
        escaped: bool,
    },
    Colon,
    /// Behind an element or a member.
    Behind,
    Raw(Raw),
    End,
}

/// A value that is passed as it is.
#[derive(Debug)]
struct Raw {
    taken: bool,
    start: u64,
    depth: usize,
    text: InText,
    /// A number or a word, which ends where something else begins.
    is_word: bool,
}

/// Whether a place lies in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InText {
    No,
    Yes,
    /// Behind a backslash.
    Escaped,
}

const MARK: &[u8] = "\u{feff}".as_bytes();

impl Slicer {
    /// Begins a body; of records larger than so many bytes only their place and size are told.
    pub(crate) fn new(path: &[String], largest: usize) -> Self {
        Self {
            has_each: path.iter().any(|step| step == EACH),
            path: path.to_vec(),
            largest,
            levels: Vec::new(),
            state: State::Begin(0),
            found: false,
            at: 0,
            text: Vec::new(),
        }
    }

    /// Takes the next piece of the body.
    pub(crate) fn write(
        &mut self,
        piece: &[u8],
        take: &mut dyn FnMut(Found<'_>) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        let mut next = 0;
        while let Some(rest) = piece.get(next..).filter(|rest| !rest.is_empty()) {
            let passed = match self.state {
                State::Raw(_) => self.raw(rest, take)?,
                State::NameText { .. } => self.name(rest)?,
                _ => self.step(rest[0])?,
            };
            self.at += passed as u64;
            next += passed;
        }
        Ok(())
    }

    /// Ends the body.
    pub(crate) fn end(
        mut self,
        take: &mut dyn FnMut(Found<'_>) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        if let State::Raw(raw) = &self.state
            && raw.is_word
            && self.levels.is_empty()
        {
            self.finish(take)?;
        }
        match self.state {
            State::Begin(_) => Ok(()),
            State::End if self.found => Ok(()),
            State::End => {
                let what = format!("there is no `{}`", self.path.join("."));
                Err(Malformed::new(0, what))
            }
            _ => Err(self.wrong("it ends too early")),
        }
    }

    fn wrong(&self, what: impl Into<std::borrow::Cow<'static, str>>) -> Malformed {
        Malformed::new(usize::try_from(self.at).unwrap_or(usize::MAX), what)
    }

    fn missing(&self, what: &str, byte: u8) -> Malformed {
        self.wrong(format!("{what}`{}` is missing", char::from(byte)))
    }

    /// One byte between values; says whether it was passed.
    fn step(&mut self, byte: u8) -> Result<usize, Malformed> {
        if let State::Begin(passed) = self.state {
            if MARK.get(passed) == Some(&byte) {
                self.state = State::Begin(passed + 1);
                return Ok(1);
            }
            if passed > 0 && passed < MARK.len() {
                return Err(self.wrong("that is not a value"));
            }
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                self.state = State::Value(Role::Path(0));
            }
        }
        if matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
            return Ok(1);
        }
        match self.state {
            State::Element(_) if byte == b']' => self.close(),
            State::Value(role) | State::Element(role) => return Ok(self.value(role, byte)),
            State::Name { first: true } if byte == b'}' => self.close(),
            State::Name { .. } if byte == b'"' => {
                self.text.clear();
                self.state = State::NameText { escaped: false };
            }
            State::Name { .. } => return Err(self.missing("", b'"')),
            State::Colon if byte == b':' => self.state = State::Value(self.role_of_member()),
            State::Colon => return Err(self.missing("", b':')),
            State::Behind => self.behind(byte)?,
            State::Begin(_) => {}
            State::End => return Err(self.wrong("something stands behind its end")),
            State::Raw(_) | State::NameText { .. } => return Ok(0),
        }
        Ok(1)
    }

    fn behind(&mut self, byte: u8) -> Result<(), Malformed> {
        let Some(level) = self.levels.last().copied() else {
            return Ok(());
        };
        if byte == level.close {
            self.close();
            return Ok(());
        }
        if byte != b',' {
            return Err(self.missing("`,` or ", level.close));
        }
        self.state = if level.close == b'}' {
            State::Name { first: false }
        } else {
            State::Value(role_of_element(level))
        };
        Ok(())
    }

    fn close(&mut self) {
        self.levels.pop();
        self.state = if self.levels.is_empty() {
            State::End
        } else {
            State::Behind
        };
    }

    /// A value begins; says whether its first byte was passed.
    fn value(&mut self, role: Role, first: u8) -> usize {
        let Role::Path(step) = role else {
            return self.begin_raw(role == Role::Record, first);
        };
        let Some(segment) = self.path.get(step) else {
            self.found = true;
            if first == b'[' {
                return self.open(b']', None);
            }
            let taken = first == b'{' || (first != b'n' && !self.has_each);
            return self.begin_raw(taken, first);
        };
        let leads_to_each = segment == EACH;
        match first {
            b'{' => {
                self.found |= leads_to_each;
                self.open(b'}', Some(step))
            }
            b'[' if leads_to_each => {
                self.found = true;
                self.open(b']', Some(step))
            }
            _ => {
                self.found |= leads_to_each && first == b'n';
                self.begin_raw(false, first)
            }
        }
    }

    fn open(&mut self, close: u8, step: Option<usize>) -> usize {
        let level = Level { close, step };
        self.levels.push(level);
        self.state = if close == b'}' {
            State::Name { first: true }
        } else {
            State::Element(role_of_element(level))
        };
        1
    }

    fn role_of_member(&self) -> Role {
        let step = self.levels.last().and_then(|level| level.step);
        let Some((step, segment)) = step.and_then(|step| Some((step, self.path.get(step)?))) else {
            return Role::Other;
        };
        // What was read of the name has its quotes around it.
        let name = std::str::from_utf8(&self.text).unwrap_or_default();
        let name = Cursor::new(name, 0).quoted().map(Quoted::text);
        if segment == EACH || name.is_ok_and(|name| name == *segment) {
            Role::Path(step + 1)
        } else {
            Role::Other
        }
    }

    fn name(&mut self, rest: &[u8]) -> Result<usize, Malformed> {
        let State::NameText { escaped } = &mut self.state else {
            return Ok(0);
        };
        if self.text.is_empty() {
            self.text.push(b'"');
        }
        let byte = rest[0];
        self.text.push(byte);
        if *escaped {
            *escaped = false;
        } else if byte == b'\\' {
            *escaped = true;
        } else if byte == b'"' {
            self.state = State::Colon;
        }
        if self.text.len() > LONGEST {
            return Err(self.wrong("it has a name longer than 64 KiB"));
        }
        Ok(1)
    }

    /// Begins a value that is passed as it is; nothing of it is passed yet.
    fn begin_raw(&mut self, taken: bool, first: u8) -> usize {
        self.text.clear();
        self.state = State::Raw(Raw {
            taken,
            start: self.at,
            depth: 0,
            text: InText::No,
            is_word: !matches!(first, b'{' | b'[' | b'"'),
        });
        0
    }

    fn raw(
        &mut self,
        rest: &[u8],
        take: &mut dyn FnMut(Found<'_>) -> Result<(), Malformed>,
    ) -> Result<usize, Malformed> {
        let State::Raw(raw) = &mut self.state else {
            return Ok(0);
        };
        let (passed, ends) = raw.pass(rest);
        if raw.is_word && self.text.len() + passed > LONGEST {
            return Err(self.wrong("it has a number longer than 64 KiB"));
        }
        if raw.taken || raw.is_word {
            // One byte more than is taken tells that it is too large.
            let room = (self.largest.max(LONGEST) + 1).saturating_sub(self.text.len());
            self.text.extend_from_slice(&rest[..passed.min(room)]);
        }
        if ends {
            self.at += passed as u64;
            self.finish(take)?;
            self.at -= passed as u64;
        }
        Ok(passed)
    }

    /// The value that is passed has come to its end.
    fn finish(
        &mut self,
        take: &mut dyn FnMut(Found<'_>) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        let next = if self.levels.is_empty() {
            State::End
        } else {
            State::Behind
        };
        let State::Raw(raw) = std::mem::replace(&mut self.state, next) else {
            return Ok(());
        };
        let bytes = self.at - raw.start;
        if raw.is_word && !is_value(&self.text) {
            let start = usize::try_from(raw.start).unwrap_or(usize::MAX);
            return Err(Malformed::new(start, "that is not a value"));
        }
        if !raw.taken {
            return Ok(());
        }
        if bytes > self.largest as u64 {
            self.text = Vec::new();
            return take(Found::TooLarge(raw.start, bytes));
        }
        take(Found::Record(raw.start, &self.text))
    }
}

fn role_of_element(level: Level) -> Role {
    level.step.map_or(Role::Record, |step| Role::Path(step + 1))
}

/// Whether that is a number or a word of JSON.
fn is_value(word: &[u8]) -> bool {
    let Ok(word) = std::str::from_utf8(word) else {
        return false;
    };
    let mut cursor = Cursor::new(word, 0);
    cursor.skip().is_ok() && cursor.at == word.len()
}

impl Raw {
    /// Passes what belongs to the value; says how much that is, and whether it ends there.
    fn pass(&mut self, bytes: &[u8]) -> (usize, bool) {
        if self.is_word {
            let ends = |byte: &u8| {
                matches!(
                    byte,
                    b',' | b']' | b'}' | b':' | b' ' | b'\n' | b'\r' | b'\t'
                )
            };
            let end = bytes.iter().position(ends);
            return (end.unwrap_or(bytes.len()), end.is_some());
        }
        let mut at = 0;
        while at < bytes.len() {
            match self.text {
                InText::Escaped => {
                    self.text = InText::Yes;
                    at += 1;
                    continue;
                }
                InText::Yes => {
                    let Some(found) = memchr2(b'"', b'\\', &bytes[at..]) else {
                        return (bytes.len(), false);
                    };
                    at += found + 1;
                    if bytes[at - 1] == b'\\' {
                        self.text = InText::Escaped;
                        continue;
                    }
                    self.text = InText::No;
                }
                InText::No => {
                    match bytes[at] {
                        b'"' => self.text = InText::Yes,
                        b'{' | b'[' => self.depth += 1,
                        b'}' | b']' => self.depth -= 1,
                        _ => {}
                    }
                    at += 1;
                }
            }
            if self.depth == 0 && self.text == InText::No {
                return (at, true);
            }
        }
        (at, false)
    }
}

#[cfg(test)]
mod tests;
