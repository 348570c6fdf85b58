//! Cursors: where a page ended, in a form that callers need not understand.
//!
//! A cursor holds the values of the page's last row by which the answer is ordered, in PostgreSQL's binary form, and how
//! many rows up to there had the same values: these are passed over, as far as they are still there. So pages add up to
//! the whole, whatever is there twice, and a row that goes away between two pages costs no other. Where the values would
//! be too long for a URL, it holds the number of rows before instead.
//!
//! It is sealed: only who knows the store's login can make one, and it opens only for the route, the parameters and the
//! caller that it was made for.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use sha2::{Digest as _, Sha256};

/// How long a cursor may become before it counts rows instead, in bytes of base64url. API Gateway takes URLs of about
/// 8 kB.
const LONGEST: usize = 1500;

/// What seals a cursor for what it belongs to: the route, the parameters, the columns by which the answer is ordered, and
/// the caller.
#[derive(Debug)]
pub struct Seal {
    /// Known to all who serve from one store, and to nobody else.
    pub key: hmac::Key,
    /// What the cursor belongs to.
    pub scope: [u8; 32],
}

/// The key of the seals of all who know that secret. What else the secret opens, the key does not tell.
pub fn seal_key(secret: &[u8]) -> hmac::Key {
    let mut digest = Sha256::new();
    digest.update("the seal of Millrace's cursors");
    digest.update(secret);
    hmac::Key::new(hmac::HMAC_SHA256, &digest.finalize())
}

/// How many bytes a seal has.
const SEAL: usize = 16;

impl Seal {
    fn close(&self, mut bytes: Vec<u8>) -> String {
        let tag = self.sign(&bytes);
        bytes.extend_from_slice(&tag.as_ref()[..SEAL]);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn open(&self, text: &str) -> Option<Vec<u8>> {
        let mut bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let at = bytes.len().checked_sub(SEAL)?;
        let tag = bytes.split_off(at);
        let same = subtle::ConstantTimeEq::ct_eq(&self.sign(&bytes).as_ref()[..SEAL], &tag[..]);
        bool::from(same).then_some(bytes)
    }

    fn sign(&self, bytes: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&self.scope);
        context.update(bytes);
        context.sign()
    }
}

/// How many rows with the same values are looked at one by one, to pass over those alone that a cursor counts. Where there
/// are more, the store passes over as many as it counts: reading them all for each page would take too long.
const MOST_ALIKE: u64 = 1000;

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

/// Where a page that is being written has come to.
#[derive(Debug)]
pub struct Mark {
    /// The last row's values by which rows are ordered.
    key: Vec<Option<Vec<u8>>>,
    /// How many rows up to it have these.
    seen: u64,
    /// How many rows may still come that the page before had.
    alike: u64,
    /// How many rows there were before the page.
    before: u64,
}

impl Mark {
    /// Behind that cursor; without one, at the beginning.
    pub fn behind(cursor: Option<&Cursor>) -> Self {
        let (key, seen) = match cursor {
            Some(Cursor::Behind { key, seen, .. }) => (key.clone(), *seen),
            _ => (Vec::new(), 0),
        };
        let alike = Cursor::start(cursor).alike;
        Self {
            key,
            // Those that are looked at are counted anew.
            seen: seen - alike,
            alike,
            before: cursor.map_or(0, Cursor::rows),
        }
    }

    /// Whether the page before had a row with these values, which is then passed over.
    pub fn has_passed<'v, E>(
        &mut self,
        mut values: impl Iterator<Item = Result<Option<&'v [u8]>, E>>,
    ) -> Result<bool, E> {
        if self.alike == 0 {
            return Ok(false);
        }
        for last in &self.key {
            if values.next().transpose()? != Some(last.as_deref()) {
                self.alike = 0;
                return Ok(false);
            }
        }
        self.alike -= 1;
        self.seen += 1;
        Ok(true)
    }

    /// Goes on to a row with these values, by which rows are ordered.
    pub fn pass<'v, E>(
        &mut self,
        values: impl ExactSizeIterator<Item = Result<Option<&'v [u8]>, E>>,
    ) -> Result<(), E> {
        let mut same = self.key.len() == values.len();
        self.key.resize(values.len(), None);
        for (last, value) in self.key.iter_mut().zip(values) {
            let value = value?;
            if last.as_deref() == value {
                continue;
            }
            same = false;
            match (last.as_mut(), value) {
                (Some(last), Some(value)) => {
                    last.clear();
                    last.extend_from_slice(value);
                }
                _ => *last = value.map(<[u8]>::to_vec),
            }
        }
        self.seen = if same { self.seen + 1 } else { 1 };
        Ok(())
    }

    /// The cursor behind a page of so many rows. It counts rows where there are no values that it may hold: what a caller
    /// does not see must not stand in its cursor either.
    pub fn cursor(self, rows: usize, is_hidden: bool) -> Cursor {
        let rows = self.before + rows as u64;
        if self.key.is_empty() || is_hidden {
            return Cursor::Rows(rows);
        }
        Cursor::Behind {
            key: self.key,
            seen: self.seen,
            rows,
        }
    }
}

/// Where a page behind a cursor begins.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// Which of the cursor's values are NULL, where it has any.
    pub null: Option<Vec<bool>>,
    /// How many rows are passed over, whatever they are.
    pub offset: u64,
    /// How many rows come first that may be the page before's: [`Mark::has_passed`] tells.
    pub alike: u64,
}

impl Cursor {
    /// Where a page behind it begins.
    pub fn start(cursor: Option<&Self>) -> Start {
        match cursor {
            None => Start::default(),
            Some(Self::Rows(rows)) => Start {
                offset: *rows,
                ..Start::default()
            },
            Some(Self::Behind { key, seen, .. }) => {
                let alike = if *seen > MOST_ALIKE { 0 } else { *seen };
                Start {
                    null: Some(key.iter().map(Option::is_none).collect()),
                    offset: seen - alike,
                    alike,
                }
            }
        }
    }

    /// How many rows there were up to there.
    pub fn rows(&self) -> u64 {
        match self {
            Self::Behind { rows, .. } | Self::Rows(rows) => *rows,
        }
    }

    /// The cursor as it is sent.
    pub fn encode(&self, seal: &Seal) -> String {
        let counted = || seal.close([&[2][..], &self.rows().to_be_bytes()].concat());
        self.encode_values(seal, LONGEST).unwrap_or_else(counted)
    }

    /// The same with the row's values; none where it has none, or becomes longer than so many bytes of base64url.
    pub(crate) fn encode_values(&self, seal: &Seal, longest: usize) -> Option<String> {
        let Self::Behind { key, seen, rows } = self else {
            return None;
        };
        let mut bytes = [&[1][..], &seen.to_be_bytes(), &rows.to_be_bytes()].concat();
        for value in key {
            match value {
                None => bytes.extend_from_slice(&u32::MAX.to_be_bytes()),
                Some(value) => {
                    bytes.extend_from_slice(&(value.len() as u32).to_be_bytes());
                    bytes.extend_from_slice(value);
                }
            }
            if bytes.len() > longest * 3 / 4 {
                return None;
            }
        }
        Some(seal.close(bytes))
    }

    /// Reads what was sent; none where it is no cursor under that seal with so many values.
    pub fn decode(text: &str, seal: &Seal, values: usize) -> Option<Self> {
        let bytes = seal.open(text)?;
        let (kind, mut rest) = bytes.split_first()?;
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

    fn seal(key: u8, scope: u8) -> Seal {
        Seal {
            key: hmac::Key::new(hmac::HMAC_SHA256, &[key; 32]),
            scope: [scope; 32],
        }
    }

    #[test]
    fn a_long_cursor_counts_rows() {
        let cursor = Cursor::Behind {
            key: vec![Some(vec![7; 2000])],
            seen: 1,
            rows: 300,
        };
        assert_eq!(
            Cursor::decode(&cursor.encode(&seal(1, 1)), &seal(1, 1), 1),
            Some(Cursor::Rows(300))
        );
    }

    /// The cursor behind a page that had a limit of two rows, of those that come from another cursor on.
    fn behind(cursor: Option<&Cursor>, rows: &[u8]) -> (Vec<u8>, Option<Cursor>) {
        let mut mark = Mark::behind(cursor);
        let start = Cursor::start(cursor);
        let mut page = Vec::new();
        for row in &rows[start.offset as usize..] {
            let value = || [Ok::<_, ()>(Some(std::slice::from_ref(row)))].into_iter();
            if mark.has_passed(value()).unwrap() {
                continue;
            }
            if page.len() == 2 {
                let next = mark.cursor(page.len(), false);
                return (page, Some(next));
            }
            page.push(*row);
            mark.pass(value()).unwrap();
        }
        (page, None)
    }

    #[test]
    fn a_row_that_went_away_costs_no_other() {
        let (page, next) = behind(None, &[1, 2, 3, 4]);
        assert_eq!(page, [1, 2]);
        assert_eq!(behind(next.as_ref(), &[2, 3, 4]), (vec![3, 4], None));
        assert_eq!(behind(next.as_ref(), &[3, 4]), (vec![3, 4], None));
    }

    #[test]
    fn rows_that_are_alike_are_all_had() {
        let (page, next) = behind(None, &[2, 2, 2, 2, 2, 3]);
        assert_eq!(page, [2, 2]);
        let (page, next) = behind(next.as_ref(), &[2, 2, 2, 2, 2, 3]);
        assert_eq!(page, [2, 2]);
        assert_eq!(behind(next.as_ref(), &[2, 2, 2, 2, 2, 3]).0, [2, 3]);
        // One of them went away: which one, nobody can tell.
        let (page, next) = behind(next.as_ref(), &[2, 2, 2, 3, 4, 5]);
        assert_eq!(page, [3, 4]);
        assert_eq!(behind(next.as_ref(), &[4, 5]).0, [5]);
    }

    #[test]
    fn very_many_that_are_alike_are_counted() {
        let of = |seen| Cursor::Behind {
            key: vec![Some(vec![7])],
            seen,
            rows: seen,
        };
        let few = Cursor::start(Some(&of(MOST_ALIKE)));
        assert_eq!((few.offset, few.alike), (0, MOST_ALIKE));
        let many = Cursor::start(Some(&of(MOST_ALIKE + 1)));
        assert_eq!((many.offset, many.alike), (MOST_ALIKE + 1, 0));
    }

    #[test]
    fn another_scope_another_key_and_a_changed_text_are_refused() {
        let own = seal(1, 1);
        let text = Cursor::Rows(3).encode(&own);
        assert_eq!(Cursor::decode(&text, &own, 1), Some(Cursor::Rows(3)));
        assert!(Cursor::decode(&text, &seal(1, 2), 1).is_none());
        assert!(Cursor::decode(&text, &seal(2, 1), 1).is_none());
        assert!(Cursor::decode(&text[1..], &own, 1).is_none());
        assert!(Cursor::decode(&format!("{text}AAAA"), &own, 1).is_none());
        assert!(Cursor::decode("'; drop table", &own, 1).is_none());
        assert!(Cursor::decode(&Cursor::Rows(u64::MAX).encode(&own), &own, 1).is_none());
        let mut forged = URL_SAFE_NO_PAD.decode(&text).unwrap();
        forged[8] ^= 1;
        assert!(Cursor::decode(&URL_SAFE_NO_PAD.encode(forged), &own, 1).is_none());
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
            prop_assert_eq!(Cursor::decode(&cursor.encode(&seal(1, 1)), &seal(1, 1), values), Some(cursor));
        }

        #[test]
        fn no_text_panics(text in "[A-Za-z0-9_-]{0,60}", values in 0usize..4) {
            let own = seal(1, 1);
            let _ = Cursor::decode(&text, &own, values);
            // What lies under a seal is read with the same care.
            let _ = Cursor::decode(&own.close(text.into_bytes()), &own, values);
        }
    }
}
