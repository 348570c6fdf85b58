use std::hash::{BuildHasher, RandomState};

/// How many bits there are for each key: of the keys that are not there one in a hundred or so looks as if it were.
const BITS: usize = 16;

/// Tells most keys that are not in a set, in one look at a memory that is small enough to stay near: of a table's rows few
/// have a key that a run brings.
#[derive(Debug)]
pub(crate) struct Sieve {
    words: Vec<u64>,
    seed: u64,
}

impl Sieve {
    /// A sieve of those keys.
    pub(crate) fn of<'k>(keys: impl ExactSizeIterator<Item = &'k [u8]>) -> Self {
        let words = (keys.len() * BITS).div_ceil(64).max(1).next_power_of_two();
        let mut sieve = Self {
            words: vec![0; words],
            // Nobody can choose keys that all look alike.
            seed: RandomState::new().hash_one(0),
        };
        for key in keys {
            let (word, bits) = sieve.place(key);
            sieve.words[word] |= bits;
        }
        sieve
    }

    /// Whether that key may be among them.
    #[inline]
    pub(crate) fn may_hold(&self, key: &[u8]) -> bool {
        let (word, bits) = self.place(key);
        self.words[word] & bits == bits
    }

    #[inline]
    fn place(&self, key: &[u8]) -> (usize, u64) {
        let hash = self.hash(key);
        let bits = 1 << (hash & 63) | 1 << (hash >> 6 & 63) | 1 << (hash >> 12 & 63);
        ((hash >> 24) as usize & (self.words.len() - 1), bits)
    }

    #[inline]
    fn hash(&self, key: &[u8]) -> u64 {
        const MIX: u64 = 0x9E37_79B9_7F4A_7C15;
        let mix = |hash: u64, word: u64| (hash.rotate_left(5) ^ word).wrapping_mul(MIX);
        let (words, rest) = key.as_chunks::<8>();
        let hash = words
            .iter()
            .fold(self.seed ^ key.len() as u64, |hash, word| {
                mix(hash, u64::from_le_bytes(*word))
            });
        let last = rest
            .iter()
            .fold(0, |word, byte| word << 8 | u64::from(*byte));
        let hash = mix(hash, last);
        (hash ^ hash >> 32).wrapping_mul(MIX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_pass_and_most_others_do_not() {
        let keys: Vec<Vec<u8>> = (0..10_000_u64)
            .map(|key| key.to_be_bytes().to_vec())
            .collect();
        let sieve = Sieve::of(keys.iter().map(Vec::as_slice));
        assert!(keys.iter().all(|key| sieve.may_hold(key)));
        let others = (10_000..110_000_u64).filter(|key| sieve.may_hold(&key.to_be_bytes()));
        let passed = others.count();
        assert!(passed < 4_000, "{passed} of 100000");
        let none = Sieve::of(std::iter::empty::<&[u8]>());
        assert!(!none.may_hold(b"x"));
    }
}
