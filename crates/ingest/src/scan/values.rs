//! Keys and values without parts: read over, and kept where they are looked for.

use super::{
    Expect, Keep, LISTED_KEYS, LONGEST_TEXT, META, META_TEXT, Scalar, ScanError, Scanner, Within,
};
use crate::cursor::Reader;
use crate::targets::Trail;
use memchr::memchr2;
use serde_json::Value;

impl Scanner<'_> {
    #[inline]
    pub(super) fn keep(&mut self, bytes: &[u8]) -> Result<(), ScanError> {
        if self.keep == Keep::Welcome && self.kept.len() + bytes.len() > META_TEXT {
            self.keep = Keep::No;
        }
        if self.keep != Keep::No {
            if self.kept.len() + bytes.len() > LONGEST_TEXT {
                return Err(self.not_json("a text that is needed is longer than 64 KiB"));
            }
            self.kept.extend_from_slice(bytes);
        }
        Ok(())
    }

    #[inline]
    pub(super) fn text(&mut self, piece: &[u8]) -> Result<usize, ScanError> {
        let Some(stop) = memchr2(b'"', b'\\', piece) else {
            self.keep(piece)?;
            return Ok(piece.len());
        };
        if piece[stop] == b'\\' {
            self.keep(&piece[..=stop])?;
            self.within = Within::Escape;
            return Ok(stop + 1);
        }
        self.keep(&piece[..stop])?;
        self.within = Within::Between;
        if self.is_key {
            self.end_key()?;
        } else {
            self.end_text()?;
        }
        Ok(stop + 1)
    }

    /// The kept text without its escapes.
    pub(super) fn kept_text(&self) -> Result<String, ScanError> {
        let plain = if self.kept.contains(&b'\\') {
            let quoted = [b"\"", self.kept.as_slice(), b"\""].concat();
            serde_json::from_slice(&quoted).ok()
        } else {
            String::from_utf8(self.kept.clone()).ok()
        };
        plain.ok_or_else(|| self.not_json("a text is not valid"))
    }

    #[inline]
    pub(super) fn end_key(&mut self) -> Result<(), ScanError> {
        self.expect = Expect::Colon;
        self.trail = Trail::NOWHERE;
        if self.keep == Keep::No {
            return Ok(());
        }
        let from = self.open.last().map_or(Trail::NOWHERE, |open| open.trail);
        let escaped;
        let key = match std::str::from_utf8(&self.kept) {
            Ok(key) if !key.contains('\\') => key,
            _ => {
                escaped = self.kept_text()?;
                &escaped
            }
        };
        if from.is_meta() {
            let length = self.open.last().map_or(0, |open| open.path);
            self.path.truncate(length);
            if length > 0 {
                self.path.push('.');
            }
            self.path.push_str(key);
        }
        self.trail = self.targets.value(from, key, &self.path);
        if self.open.len() == 1 && self.keys.len() < LISTED_KEYS && !self.has_records {
            self.keys.push(key.chars().take(40).collect());
        }
        Ok(())
    }

    #[inline]
    pub(super) fn end_text(&mut self) -> Result<(), ScanError> {
        if self.keep != Keep::No {
            let text = self.kept_text()?;
            self.take(&Scalar::Text(&text))?;
        }
        self.end_value();
        Ok(())
    }

    #[inline]
    pub(super) fn plain(&mut self, piece: &[u8]) -> Result<usize, ScanError> {
        let is_end = |byte: &u8| {
            matches!(
                byte,
                b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t' | b':' | b'"'
            )
        };
        let length = piece.iter().position(is_end).unwrap_or(piece.len());
        self.keep(&piece[..length])?;
        if length < piece.len() {
            self.end_plain()?;
        }
        Ok(length)
    }

    #[inline]
    pub(super) fn end_plain(&mut self) -> Result<(), ScanError> {
        self.within = Within::Between;
        let kept = std::mem::take(&mut self.kept);
        let text = std::str::from_utf8(&kept).unwrap_or_default();
        let scalar = match text {
            "null" => Scalar::Null,
            "true" => Scalar::Bool(true),
            "false" => Scalar::Bool(false),
            number if is_number(number.as_bytes()) => Scalar::Number(number),
            _ => {
                let start: String = String::from_utf8_lossy(&kept).chars().take(20).collect();
                return Err(ScanError::NotJson {
                    what: format!("`{start}` is no value"),
                    at: self.plain_at,
                });
            }
        };
        if self.trail.leads_on() {
            self.take(&scalar)?;
        }
        self.kept = kept;
        self.end_value();
        Ok(())
    }

    /// Takes a value without parts, if it is one of those that are looked for.
    #[inline]
    pub(super) fn take(&mut self, scalar: &Scalar<'_>) -> Result<(), ScanError> {
        if let Some(kind) = self.targets.field(self.trail)
            && *scalar != Scalar::Null
        {
            let Some(value) = kind.read(scalar) else {
                return Err(self.unexpected_field(kind, &describe(scalar)));
            };
            if self
                .found
                .cursor
                .as_ref()
                .is_none_or(|largest| *largest < value)
            {
                self.found.cursor = Some(value);
            }
        }
        if self.targets.is_next(self.trail) {
            self.found.next = match scalar {
                Scalar::Text("") | Scalar::Null | Scalar::Bool(false) => None,
                Scalar::Text(text) | Scalar::Number(text) => Some((*text).to_owned()),
                Scalar::Bool(true) => return Err(self.unexpected_next("`true`")),
            };
        }
        if self.targets.is_last(self.trail) {
            self.found.last = match scalar {
                Scalar::Text(text) | Scalar::Number(text) => Some((*text).to_owned()),
                Scalar::Bool(_) | Scalar::Null => None,
            };
        }
        let has_room =
            self.found.meta.len() < META || self.targets.needs_meta(self.trail, &self.path);
        if self.trail.is_meta() && !self.path.is_empty() && has_room {
            let value = match scalar {
                Scalar::Text(text) => Value::from(*text),
                Scalar::Number(text) => serde_json::from_str(text).unwrap_or(Value::from(*text)),
                Scalar::Bool(value) => Value::Bool(*value),
                Scalar::Null => Value::Null,
            };
            self.found.meta.insert(self.path.clone(), value);
        }
        Ok(())
    }

    pub(super) fn unexpected_records(&self, what: &str) -> ScanError {
        let path = self.targets.records_path();
        let place = if path.is_empty() {
            "is".to_owned()
        } else {
            format!("has at `{path}`")
        };
        ScanError::Unexpected(format!(
            "{place} {what}, where the definition's `records` says the records are: a list is expected"
        ))
    }

    pub(super) fn unexpected_field(&self, kind: &Reader, what: &str) -> ScanError {
        ScanError::Unexpected(format!(
            "has a record whose incremental field `{}` holds {what}, where {} is expected",
            self.targets.field_path(),
            kind.expectation()
        ))
    }

    pub(super) fn unexpected_next(&self, what: &str) -> ScanError {
        ScanError::Unexpected(format!(
            "has {what} at `{}`, where the definition's `paginate` says the next page is named: text is expected",
            self.targets.next_path()
        ))
    }
}

fn describe(scalar: &Scalar<'_>) -> String {
    match scalar {
        Scalar::Text(text) => format!("the text `{}`", text.chars().take(40).collect::<String>()),
        Scalar::Number(text) => format!("the number {text}"),
        Scalar::Bool(value) => format!("`{value}`"),
        Scalar::Null => "`null`".to_owned(),
    }
}

/// Whether this is a number as JSON writes it.
fn is_number(text: &[u8]) -> bool {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let whole = digits(text);
    if whole == 0 || (whole > 1 && text[0] == b'0') {
        return false;
    }
    let mut rest = &text[whole..];
    if let Some(fraction) = rest.strip_prefix(b".") {
        let count = digits(fraction);
        if count == 0 {
            return false;
        }
        rest = &fraction[count..];
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let exponent = exponent
            .strip_prefix(b"+")
            .or_else(|| exponent.strip_prefix(b"-"))
            .unwrap_or(exponent);
        let count = digits(exponent);
        return count > 0 && count == exponent.len();
    }
    rest.is_empty()
}
