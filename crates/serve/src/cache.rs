//! Answers that may be given once more: in memory, bounded by bytes, shared by all threads of a process.
//!
//! The key holds everything that an answer depends on: the route's definition, the dataset's version, the parameters, the
//! form, and what the caller may see. So a publish makes the old answers unreachable, and they go when room is needed.

use bytes::Bytes;
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How many bytes of answers are kept.
const BUDGET: usize = 32 * 1024 * 1024;
/// The part of that which one answer may take.
const LARGEST_SHARE: usize = 16;
/// What an answer takes beside its body.
const OVERHEAD: usize = 256;

/// Everything that an answer depends on, in a digest.
pub type Key = [u8; 32];

/// A page that was written before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The whole body.
    pub body: Bytes,
    /// The next page's cursor.
    pub next: Option<String>,
}

/// The answers.
#[derive(Debug)]
pub struct Cache {
    kept: Mutex<Answers>,
    budget: usize,
}

#[derive(Debug, Default)]
struct Answers {
    by_key: HashMap<Key, (Instant, Kept)>,
    /// In the order in which they came.
    order: VecDeque<Key>,
    bytes: usize,
}

impl Default for Cache {
    fn default() -> Self {
        Self::of(BUDGET)
    }
}

impl Cache {
    fn of(budget: usize) -> Self {
        Self {
            kept: Mutex::default(),
            budget,
        }
    }

    /// The answer of that key, if it is younger than `ttl`.
    pub fn get(&self, key: &Key, ttl: Duration) -> Option<Kept> {
        let answers = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (made, kept) = answers.by_key.get(key)?;
        (made.elapsed() < ttl).then(|| kept.clone())
    }

    /// Keeps an answer, in place of those that came first where there is no room.
    pub fn put(&self, key: Key, kept: Kept) {
        let bytes = size(&kept);
        if bytes > self.budget / LARGEST_SHARE {
            return;
        }
        let mut answers = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        match answers.by_key.insert(key, (Instant::now(), kept)) {
            Some((_, old)) => answers.bytes -= size(&old),
            None => answers.order.push_back(key),
        }
        answers.bytes += bytes;
        while answers.bytes > self.budget {
            let Some(first) = answers.order.pop_front() else {
                break;
            };
            if let Some((_, old)) = answers.by_key.remove(&first) {
                answers.bytes -= size(&old);
            }
        }
    }
}

fn size(kept: &Kept) -> usize {
    kept.body.len() + kept.next.as_ref().map_or(0, String::len) + OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(bytes: usize) -> Kept {
        Kept {
            body: vec![0; bytes].into(),
            next: None,
        }
    }

    #[test]
    fn answers_are_found_while_they_are_fresh() {
        let cache = Cache::default();
        cache.put([1; 32], kept(10));
        assert_eq!(cache.get(&[1; 32], Duration::from_secs(9)), Some(kept(10)));
        assert_eq!(cache.get(&[1; 32], Duration::ZERO), None);
        assert_eq!(cache.get(&[2; 32], Duration::from_secs(9)), None);
    }

    #[test]
    fn memory_is_bounded() {
        let cache = Cache::of(100_000);
        for number in 0..200u8 {
            cache.put([number; 32], kept(1000));
            cache.put([number; 32], kept(1000));
            let answers = cache.kept.lock().unwrap();
            assert!(answers.bytes <= 100_000 && answers.order.len() == answers.by_key.len());
        }
        assert!(cache.get(&[199; 32], Duration::from_secs(9)).is_some());
        assert!(cache.get(&[0; 32], Duration::from_secs(9)).is_none());
        cache.put([7; 32], kept(50_000));
        assert_ne!(
            cache.get(&[7; 32], Duration::from_secs(9)),
            Some(kept(50_000))
        );
    }
}
