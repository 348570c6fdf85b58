//! Cursors: where a page ended, in a form that callers need not understand.
//!
//! A cursor holds the values of the page's last row by which the answer is ordered, in PostgreSQL's binary form, and how
//! many rows up to there had the same values: these are passed over. So pages add up to the whole, whatever is there
//! twice. Where the values would be too long for a URL, it holds the number of rows before instead.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// How long a cursor may become before it counts rows instead, in bytes of base64url. API Gateway takes URLs of about
/// 8 kB.
const LONGEST: usize = 1500;

/// What a cursor belongs to: the route, the parameters, and the columns by which the answer is ordered.
pub type Scope = [u8; 8];

/// Where a page ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cursor {
    /// Behind a row.
    Behind {
        /// Its values, by which the answer is ordered.
        key: Vec<Option<Vec<u8>>>,
        /// How many rows with the same values there were up to there.
        seen: u64,
        /// How many rows there were up to there at all.
        rows: u64,
    },
    /// Behind so many rows.
    Rows(u64),
}

impl Cursor {
    /// How many rows there were up to there.
    pub fn rows(&self) -> u64 {
        match self {
            Self::Behind { rows, .. } | Self::Rows(rows) => *rows,
        }
    }

    /// The cursor as it is sent.
    pub fn encode(&self, scope: Scope) -> String {
        let Self::Behind { key, seen, rows } = self else {
            let bytes = [&[2], &scope[..], &self.rows().to_be_bytes()].concat();
            return URL_SAFE_NO_PAD.encode(bytes);
        };
        let mut bytes = [&[1], &scope[..], &seen.to_be_bytes(), &rows.to_be_bytes()].concat();
        for value in key {
            match value {
                None => bytes.extend_from_slice(&u32::MAX.to_be_bytes()),
                Some(value) => {
                    bytes.extend_from_slice(&(value.len() as u32).to_be_bytes());
                    bytes.extend_from_slice(value);
                }
            }
            if bytes.len() > LONGEST * 3 / 4 {
                return Self::Rows(*rows).encode(scope);
            }
        }
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads what was sent; none where it is no cursor of that scope with so many values.
    pub fn decode(text: &str, scope: Scope, values: usize) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (kind, rest) = bytes.split_first()?;
        let mut rest = rest.strip_prefix(&scope)?;
        let mut number = || {
            let (number, after) = rest.split_first_chunk::<8>()?;
            rest = after;
            // What PostgreSQL takes behind OFFSET.
            Some(u64::from_be_bytes(*number)).filter(|number| i64::try_from(*number).is_ok())
        };
        match kind {
            1 => {
                let (seen, rows) = (number()?, number()?);
                let mut key = Vec::with_capacity(values);
                for _ in 0..values {
                    let (length, after) = rest.split_first_chunk::<4>()?;
                    rest = after;
                    let length = u32::from_be_bytes(*length);
                    if length == u32::MAX {
                        key.push(None);
                        continue;
                    }
                    let (value, after) = rest.split_at_checked(length as usize)?;
                    rest = after;
                    key.push(Some(value.to_vec()));
                }
                rest.is_empty().then_some(Self::Behind { key, seen, rows })
            }
            2 => {
                let rows = number()?;
                rest.is_empty().then_some(Self::Rows(rows))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SCOPE: Scope = *b"a scope ";

    #[test]
    fn a_long_cursor_counts_rows() {
        let cursor = Cursor::Behind {
            key: vec![Some(vec![7; 2000])],
            seen: 1,
            rows: 300,
        };
        assert_eq!(
            Cursor::decode(&cursor.encode(SCOPE), SCOPE, 1),
            Some(Cursor::Rows(300))
        );
    }

    #[test]
    fn another_scope_and_a_changed_text_are_refused() {
        let text = Cursor::Rows(3).encode(SCOPE);
        assert!(Cursor::decode(&text, *b"another.", 1).is_none());
        assert!(Cursor::decode(&text[1..], SCOPE, 1).is_none());
        assert!(Cursor::decode(&format!("{text}AAAA"), SCOPE, 1).is_none());
        assert!(Cursor::decode("'; drop table", SCOPE, 1).is_none());
        assert!(Cursor::decode(&Cursor::Rows(u64::MAX).encode(SCOPE), SCOPE, 1).is_none());
    }

    proptest! {
        #[test]
        fn cursors_come_back(
            key in prop::collection::vec(prop::option::of(prop::collection::vec(any::<u8>(), 0..40)), 0..6),
            seen in 0..u64::MAX / 2,
            rows in 0..u64::MAX / 2,
        ) {
            let values = key.len();
            let cursor = Cursor::Behind { key, seen, rows };
            prop_assert_eq!(Cursor::decode(&cursor.encode(SCOPE), SCOPE, values), Some(cursor));
        }

        #[test]
        fn no_text_panics(text in "[A-Za-z0-9_-]{0,60}", values in 0usize..4) {
            let scope = [0; 8];
            let _ = Cursor::decode(&text, scope, values);
        }
    }
}
