//! JSON as bytes: where records lie in a body, and the tokens of a record, without a tree of values.

use memchr::{memchr, memchr2};
use std::borrow::Cow;
use std::ops::Range;

/// How deep objects and lists may lie in one another.
pub const DEPTH: usize = 96;

/// What is not JSON, or ends too early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The byte at which it shows.
    pub at: usize,
    /// What is wrong there.
    pub what: Cow<'static, str>,
}

impl Malformed {
    /// What is wrong at a byte.
    pub fn new(at: usize, what: impl Into<Cow<'static, str>>) -> Self {
        Self {
            at,
            what: what.into(),
        }
    }
}

/// A place in a text.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    /// The text.
    pub text: &'a str,
    /// The byte that comes next.
    pub at: usize,
}

/// What stands between quotes.
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'a> {
    raw: &'a str,
    escaped: bool,
}

impl<'a> Cursor<'a> {
    /// The place at a byte of a text.
    pub fn new(text: &'a str, at: usize) -> Self {
        Self { text, at }
    }

    /// The next byte that is not white space, without passing it.
    #[inline]
    pub fn peek(&mut self) -> Result<u8, Malformed> {
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.at) {
            match byte {
                b' ' | b'\n' | b'\r' | b'\t' => self.at += 1,
                _ => return Ok(*byte),
            }
        }
        Err(Malformed::new(self.at, "it ends too early"))
    }

    /// Passes that byte.
    #[inline]
    pub fn expect(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.peek()? == byte {
            self.at += 1;
            return Ok(());
        }
        let what = format!("`{}` is missing", char::from(byte));
        Err(Malformed::new(self.at, what))
    }

    /// Passes a text.
    #[inline]
    pub fn quoted(&mut self) -> Result<Quoted<'a>, Malformed> {
        self.expect(b'"')?;
        let start = self.at;
        let bytes = self.text.as_bytes();
        let mut escaped = false;
        loop {
            match memchr2(b'"', b'\\', &bytes[self.at..]) {
                Some(found) if bytes[self.at + found] == b'"' => {
                    let end = self.at + found;
                    self.at = end + 1;
                    let raw = &self.text[start..end];
                    return Ok(Quoted { raw, escaped });
                }
                Some(found) if self.at + found + 1 < bytes.len() => {
                    escaped = true;
                    self.at += found + 2;
                }
                _ => return Err(Malformed::new(bytes.len(), "it ends within a text")),
            }
        }
    }

    /// Passes a number; says its text and whether it is a whole one.
    #[inline]
    pub fn number(&mut self) -> Result<(&'a str, bool), Malformed> {
        let bytes = self.text.as_bytes();
        let start = self.at;
        let digits = |mut at: usize| {
            while bytes.get(at).is_some_and(u8::is_ascii_digit) {
                at += 1;
            }
            at
        };
        let first = start + usize::from(bytes.get(start) == Some(&b'-'));
        let mut end = digits(first);
        let mut well = end > first && (bytes[first] != b'0' || end == first + 1);
        let mut whole = true;
        if bytes.get(end) == Some(&b'.') {
            let fraction = end + 1;
            end = digits(fraction);
            well &= end > fraction;
            whole = false;
        }
        if matches!(bytes.get(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
            let exponent = end + 1 + sign;
            end = digits(exponent);
            well &= end > exponent;
            whole = false;
        }
        self.at = end;
        if well {
            Ok((&self.text[start..end], whole))
        } else {
            Err(Malformed::new(start, "that is not a value"))
        }
    }

    /// Passes `true`, `false` or `null`.
    #[inline]
    pub fn word(&mut self, word: &str) -> Result<(), Malformed> {
        if self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            Ok(())
        } else {
            Err(Malformed::new(self.at, "that is not a value"))
        }
    }

    /// Behind an element of a list or an object: whether another one comes, or `close` was passed.
    #[inline]
    pub fn another(&mut self, close: u8) -> Result<bool, Malformed> {
        match self.peek()? {
            b',' => {
                self.at += 1;
                Ok(true)
            }
            byte if byte == close => {
                self.at += 1;
                Ok(false)
            }
            _ => {
                let what = format!("`,` or `{}` is missing", char::from(close));
                Err(Malformed::new(self.at, what))
            }
        }
    }

    /// Passes any value, looking no closer than it takes to find its end.
    pub fn skip(&mut self) -> Result<Range<usize>, Malformed> {
        let first = self.peek()?;
        let start = self.at;
        match first {
            b'"' => {
                self.quoted()?;
            }
            b'{' | b'[' => self.skip_nested()?,
            b't' => self.word("true")?,
            b'f' => self.word("false")?,
            b'n' => self.word("null")?,
            _ => {
                self.number()?;
            }
        }
        Ok(start..self.at)
    }

    fn skip_nested(&mut self) -> Result<(), Malformed> {
        let bytes = self.text.as_bytes();
        let mut depth = 0_usize;
        while let Some(byte) = bytes.get(self.at) {
            match byte {
                b'"' => {
                    self.quoted()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Ok(());
            }
        }
        Err(Malformed::new(self.at, "it ends too early"))
    }
}

impl<'a> Quoted<'a> {
    /// The text that is meant.
    #[inline]
    pub fn text(self) -> Cow<'a, str> {
        if self.escaped {
            Cow::Owned(unescape(self.raw))
        } else {
            Cow::Borrowed(self.raw)
        }
    }

    /// The text as it is written, where that is the one that is meant.
    #[inline]
    pub fn plain(self) -> Option<&'a str> {
        (!self.escaped).then_some(self.raw)
    }
}

/// A half of a surrogate pair without the other is no character, and becomes U+FFFD; so does an unknown escape.
fn unescape(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(found) = memchr(b'\\', rest.as_bytes()) {
        text.push_str(&rest[..found]);
        rest = &rest[found + 1..];
        let mut letters = rest.chars();
        let letter = letters.next();
        rest = letters.as_str();
        text.push(match letter {
            Some('n') => '\n',
            Some('t') => '\t',
            Some('r') => '\r',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('u') => {
                let (unit, behind) = code_unit(rest);
                rest = behind;
                character(unit, &mut rest)
            }
            Some(letter @ ('"' | '\\' | '/')) => letter,
            _ => char::REPLACEMENT_CHARACTER,
        });
    }
    text.push_str(rest);
    text
}

fn character(unit: Option<u32>, rest: &mut &str) -> char {
    let Some(high @ 0xD800..=0xDBFF) = unit else {
        return unit
            .and_then(char::from_u32)
            .unwrap_or(char::REPLACEMENT_CHARACTER);
    };
    let Some(behind) = rest.strip_prefix("\\u") else {
        return char::REPLACEMENT_CHARACTER;
    };
    match code_unit(behind) {
        (Some(low @ 0xDC00..=0xDFFF), behind) => {
            *rest = behind;
            let point = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
            char::from_u32(point).unwrap_or(char::REPLACEMENT_CHARACTER)
        }
        _ => char::REPLACEMENT_CHARACTER,
    }
}

fn code_unit(text: &str) -> (Option<u32>, &str) {
    match text.get(..4) {
        Some(digits) => (u32::from_str_radix(digits, 16).ok(), &text[4..]),
        None => (None, text),
    }
}

/// The step of a path that leads to every member of an object, and to every element of a list.
pub const EACH: &str = "*";

/// Where the records of a body lie: the elements of the list at that path, or the one object there. A step `*` leads to
/// every member of an object and every element of a list; what is neither of them there is no record. A body that ends
/// too early is malformed even where all its records could be found.
pub fn records(body: &str, path: &[&str]) -> Result<Vec<Range<usize>>, Malformed> {
    let start = if body.starts_with('\u{feff}') { 3 } else { 0 };
    let mut cursor = Cursor::new(body, start);
    if cursor.peek().is_err() {
        return Ok(Vec::new());
    }
    let mut finder = Finder {
        found: None,
        has_each: path.contains(&EACH),
    };
    finder.find(&mut cursor, path)?;
    if cursor.peek().is_ok() {
        return Err(Malformed::new(cursor.at, "something stands behind its end"));
    }
    finder
        .found
        .ok_or_else(|| Malformed::new(start, format!("there is no `{}`", path.join("."))))
}

struct Finder {
    /// None until the path has led anywhere.
    found: Option<Vec<Range<usize>>>,
    has_each: bool,
}

impl Finder {
    fn find(&mut self, cursor: &mut Cursor<'_>, path: &[&str]) -> Result<(), Malformed> {
        let Some((segment, rest)) = path.split_first() else {
            return self.take(cursor);
        };
        let leads_to_each = *segment == EACH;
        match cursor.peek()? {
            b'{' => {
                self.found = self.found.take().or(leads_to_each.then(Vec::new));
                each_member(cursor, |cursor, name| {
                    if leads_to_each || name == *segment {
                        self.find(cursor, rest)
                    } else {
                        cursor.skip().map(drop)
                    }
                })
            }
            b'[' if leads_to_each => {
                self.found.get_or_insert_default();
                each_element(cursor, |cursor| self.find(cursor, rest))
            }
            first => {
                if leads_to_each && first == b'n' {
                    self.found.get_or_insert_default();
                }
                cursor.skip().map(drop)
            }
        }
    }

    /// Takes the records at the path's end.
    fn take(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Malformed> {
        let first = cursor.peek()?;
        let found = self.found.get_or_insert_default();
        if first == b'[' {
            return each_element(cursor, |cursor| {
                found.push(cursor.skip()?);
                Ok(())
            });
        }
        let span = cursor.skip()?;
        if first == b'{' || (first != b'n' && !self.has_each) {
            found.push(span);
        }
        Ok(())
    }
}

fn each_member(
    cursor: &mut Cursor<'_>,
    mut take: impl FnMut(&mut Cursor<'_>, &str) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    cursor.expect(b'{')?;
    if cursor.peek()? == b'}' {
        return cursor.expect(b'}');
    }
    loop {
        cursor.peek()?;
        let name = cursor.quoted()?.text();
        cursor.expect(b':')?;
        take(cursor, &name)?;
        if !cursor.another(b'}')? {
            return Ok(());
        }
    }
}

fn each_element(
    cursor: &mut Cursor<'_>,
    mut take: impl FnMut(&mut Cursor<'_>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    cursor.expect(b'[')?;
    if cursor.peek()? == b']' {
        return cursor.expect(b']');
    }
    loop {
        take(cursor)?;
        if !cursor.another(b']')? {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(body: &str, path: &[&str]) -> Vec<String> {
        let spans = records(body, path).expect("well-formed");
        spans
            .into_iter()
            .map(|span| body[span].to_owned())
            .collect()
    }

    #[test]
    fn records_are_found_at_their_path() {
        assert_eq!(
            found(r#"[{"a":1}, {"a":"]"}]"#, &[]),
            [r#"{"a":1}"#, r#"{"a":"]"}"#]
        );
        assert_eq!(
            found(
                r#"{"x":[1],"data":{"rows":[1,[2],"3"]},"y":{}}"#,
                &["data", "rows"]
            ),
            ["1", "[2]", "\"3\""]
        );
        assert_eq!(found(r#"{"id":1}"#, &[]), [r#"{"id":1}"#]);
        assert_eq!(found("", &["features"]), [""; 0]);
        assert_eq!(found(r#"{"features":null}"#, &["features"]), [""; 0]);
    }

    #[test]
    fn a_star_leads_to_every_member_and_element() {
        let body = r#"{"shops":[{"rows":[1,2]},{"rows":null},{},{"rows":{"a":3}},5]}"#;
        assert_eq!(
            found(body, &["shops", "*", "rows"]),
            ["1", "2", r#"{"a":3}"#]
        );
        let by_name = r#"{"eur":{"rate":1},"usd":{"rate":2},"at":"today","none":null}"#;
        assert_eq!(found(by_name, &["*"]), [r#"{"rate":1}"#, r#"{"rate":2}"#]);
        assert_eq!(found("[[1],[2,3]]", &["*"]), ["1", "2", "3"]);
        for empty in [r#"{"a":{}}"#, r#"{"a":[]}"#, r#"{"a":null}"#] {
            assert_eq!(found(empty, &["a", "*", "rows"]), [""; 0]);
        }
        assert!(records(r#"{"b":{}}"#, &["a", "*"]).is_err());
    }

    #[test]
    fn a_body_that_was_cut_is_malformed_wherever_the_cut_is() {
        let body = r#"{"meta":{"n":2},"features":[{"id":"a","v":[1,2]},{"id":"b\"","v":null}],"bbox":[1.5,-2e3]}"#;
        assert_eq!(found(body, &["features"]).len(), 2);
        for cut in 1..body.len() {
            assert!(
                records(&body[..cut], &["features"]).is_err(),
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn escapes_are_read() {
        let quoted = Cursor::new(r#""a\"b\\c\/\n\u00e9\ud83d\ude00\ud800x""#, 0)
            .quoted()
            .expect("a text");
        assert_eq!(quoted.text(), "a\"b\\c/\né😀\u{fffd}x");
    }

    proptest! {
        #[test]
        fn any_text_survives(text in ".*") {
            let written = serde_json::to_string(&text).expect("JSON");
            let read = Cursor::new(&written, 0).quoted().expect("a text");
            prop_assert_eq!(read.text(), text);
        }

        #[test]
        fn any_bytes_are_refused_or_read_without_a_panic(text in "[\\[\\]{}\",:0-9.eE+\\-tfn \\\\u]*") {
            let _ = records(&text, &["a"]);
            let _ = records(&text, &["*", "a", "*"]);
            let _ = records(&text, &[]);
        }
    }
}
