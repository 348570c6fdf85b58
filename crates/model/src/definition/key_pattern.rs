//! Under which keys the rows of a table lie in Redis: `quake:{id}`.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The longest key, in bytes.
const LONGEST: usize = 1024;
/// What Millrace's own keys begin with.
const OWN: &str = "millrace";
const FORM: &str = "a key pattern is names of letters, digits and `._-`, and columns in braces, with a colon between \
     each, a name first: `quake:{id}`";

/// A pattern of keys: literal parts, and columns in braces, with colons between.
///
/// A column's value takes the place of its name in braces, with everything but letters, digits and `-._~` escaped as in
/// URLs. So no value holds a colon: it never reaches into another part of the key, nor another pattern's keys.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyPattern(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Literal(String),
    Column(String),
}

impl KeyPattern {
    /// Reads a pattern.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts: Vec<Part> = Vec::new();
        for part in text.split(':') {
            let column = part
                .strip_prefix('{')
                .and_then(|rest| rest.strip_suffix('}'));
            let sign = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
            let part = match column {
                Some(name) if is_column(name) => Part::Column(name.to_owned()),
                None if !part.is_empty() && part.bytes().all(sign) => {
                    Part::Literal(part.to_owned())
                }
                _ => return Err(FORM.to_owned()),
            };
            if matches!(part, Part::Column(_)) && parts.contains(&part) {
                return Err(format!("a column is there once: not `{text}`"));
            }
            parts.push(part);
        }
        match parts.first() {
            Some(Part::Literal(name)) if name == OWN => Err(format!(
                "keys of `{OWN}:` are Millrace's own; take another name"
            )),
            Some(Part::Literal(_)) if parts.len() > 1 => Ok(Self(parts)),
            _ => Err(FORM.to_owned()),
        }
    }

    /// The pattern of a table that says nothing of it: its name, and the columns that name a row.
    pub(crate) fn of_table(name: &str, key: &[String]) -> Self {
        let columns = key.iter().cloned().map(Part::Column);
        let name = Part::Literal(name.to_owned());
        Self(std::iter::once(name).chain(columns).collect())
    }

    /// The columns, in the order of the key.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Column(name) => Some(name.as_str()),
            Part::Literal(_) => None,
        })
    }

    /// Whether there could be a key that is of both patterns.
    pub fn overlaps(&self, other: &Self) -> bool {
        let meet = |(left, right): (&Part, &Part)| match (left, right) {
            (Part::Literal(left), Part::Literal(right)) => left == right,
            _ => true,
        };
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(meet)
    }

    /// The key of these values, those of the columns in their order. None where it would be longer than 1,024 bytes, or
    /// a value is missing.
    pub fn key<'v>(&self, values: impl IntoIterator<Item = &'v str>) -> Option<String> {
        let mut values = values.into_iter();
        let mut key = String::new();
        for (place, part) in self.0.iter().enumerate() {
            if place > 0 {
                key.push(':');
            }
            match part {
                Part::Literal(text) => key.push_str(text),
                Part::Column(_) => escape(values.next()?, &mut key),
            }
            if key.len() > LONGEST {
                return None;
            }
        }
        Some(key)
    }
}

fn is_column(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// Appends a value as URLs have it.
fn escape(value: &str, out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte.into());
        } else {
            out.push('%');
            out.push(DIGITS[usize::from(byte >> 4)].into());
            out.push(DIGITS[usize::from(byte & 15)].into());
        }
        if out.len() > LONGEST {
            return;
        }
    }
}

impl fmt::Display for KeyPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, part) in self.0.iter().enumerate() {
            if place > 0 {
                formatter.write_str(":")?;
            }
            match part {
                Part::Literal(text) => formatter.write_str(text)?,
                Part::Column(name) => write!(formatter, "{{{name}}}")?,
            }
        }
        Ok(())
    }
}

impl TryFrom<String> for KeyPattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<KeyPattern> for String {
    fn from(pattern: KeyPattern) -> Self {
        pattern.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pattern(text: &str) -> KeyPattern {
        KeyPattern::parse(text).unwrap()
    }

    #[test]
    fn patterns_come_out_as_they_went_in() {
        for text in ["quake:{id}", "a:{x}:b:{y_2}", "sales.orders:{id}:{line}"] {
            assert_eq!(pattern(text).to_string(), text);
        }
        for text in [
            "",
            "quake",
            "{id}",
            "{id}:quake",
            "quake:",
            ":quake",
            "quake::{id}",
            "quake:{}",
            "quake:{Id}",
            "quake:{id",
            "quake:x{id}",
            "quake:{a}{b}",
            "quake:{a}:{a}",
            "qu*ke:{id}",
            "millrace:{id}",
            "quäke:{id}",
        ] {
            assert!(KeyPattern::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn patterns_that_share_a_key_overlap() {
        for (left, right, overlap) in [
            ("a:{x}", "a:{y}", true),
            ("a:{x}:c", "a:b:{y}", true),
            ("a:{x}", "b:{x}", false),
            ("a:{x}", "a:{x}:{y}", false),
            ("a:{x}:c", "a:{x}:d", false),
        ] {
            assert_eq!(
                pattern(left).overlaps(&pattern(right)),
                overlap,
                "{left} {right}"
            );
        }
    }

    #[test]
    fn what_a_caller_sends_stays_in_its_part() {
        let one = pattern("quake:{id}");
        for (value, key) in [
            ("us7000", "quake:us7000"),
            ("a:b", "quake:a%3Ab"),
            ("*", "quake:%2A"),
            ("\r\nDEL x", "quake:%0D%0ADEL%20x"),
            ("é", "quake:%C3%A9"),
            ("%3A", "quake:%253A"),
            ("", "quake:"),
        ] {
            assert_eq!(one.key([value]).as_deref(), Some(key));
        }
        assert_eq!(one.key(["x".repeat(1018).as_str()]).unwrap().len(), 1024);
        assert_eq!(one.key(["x".repeat(1019).as_str()]), None);
        assert_eq!(one.key(["\0".repeat(100_000_000).as_str()]), None);
        assert_eq!(one.key([]), None);
    }

    proptest! {
        #[test]
        fn different_values_have_different_keys(one in ".{0,9}", two in ".{0,9}", three in ".{0,9}", four in ".{0,9}") {
            let pattern = pattern("a:{x}:b:{y}");
            let left = pattern.key([one.as_str(), two.as_str()]).unwrap();
            let right = pattern.key([three.as_str(), four.as_str()]).unwrap();
            prop_assert_eq!(left == right, (one, two) == (three, four));
            prop_assert_eq!(left.split(':').count(), 4);
            let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"*?[]{}\\".contains(&byte);
            prop_assert!(left.bytes().all(is_plain));
        }
    }
}
