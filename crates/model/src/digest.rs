//! Digests of several parts, none of which can be taken for another: each is told from the next one by its length.

use sha2::{Digest as _, Sha256};

/// A SHA-256 of parts.
#[derive(Clone, Debug, Default)]
pub struct Digest(Sha256);

impl Digest {
    /// Of these parts.
    pub fn of<P: AsRef<[u8]>>(parts: impl IntoIterator<Item = P>) -> Self {
        let mut digest = Self::default();
        for part in parts {
            digest.part(part);
        }
        digest
    }

    /// Goes on with a part of any length.
    pub fn part(&mut self, part: impl AsRef<[u8]>) {
        let part = part.as_ref();
        self.0.update((part.len() as u64).to_be_bytes());
        self.0.update(part);
    }

    /// Goes on with a part that has the same length always.
    pub fn fixed<const LENGTH: usize>(&mut self, part: [u8; LENGTH]) {
        self.0.update(part);
    }

    /// The digest.
    pub fn bytes(self) -> [u8; 32] {
        self.0.finalize().into()
    }

    /// The digest, in hexadecimal.
    pub fn hex(self) -> String {
        hex::encode(self.bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_told_apart() {
        let digest = |parts: &[&str]| Digest::of(parts).hex();
        assert_ne!(digest(&["ab", "c"]), digest(&["a", "bc"]));
        assert_ne!(digest(&["a", ""]), digest(&["a"]));
        assert_eq!(digest(&["a", "b"]), digest(&["a", "b"]));
    }

    #[test]
    fn what_was_digested_once_is_found_again() {
        // Publish compares with what earlier versions of it noted.
        assert_eq!(
            &Digest::of(["a", "bc"]).hex()[..16],
            &hex::encode(Sha256::digest(b"\0\0\0\0\0\0\0\x01a\0\0\0\0\0\0\0\x02bc"))[..16]
        );
    }
}
