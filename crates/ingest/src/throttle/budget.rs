//! What all that use a credential know of its limits: one small document, changed by compare-and-swap alone.
//!
//! Permits are *leased* in batches, so that the document is asked rarely. A lease says how many requests its holder may
//! still send, and by when; what of it was sent comes back with the holder's next change as spent. A holder that is
//! killed gives nothing back, and the whole lease counts as spent at its end: the limit is kept, and what is lost is a
//! batch.
//!
//! Times are milliseconds since 1970 by the writers' clocks, which AWS keeps together to the millisecond.

use millrace_model::definition::connection::RateLimit;
use serde::{Deserialize, Serialize};

/// How long a lease holds.
pub(super) const LEASE_MS: i64 = 5_000;

/// How many requests one lease may hold at most.
const LARGEST_BATCH: u32 = 32;

/// In how many parts a window is looked at: requests that were spent in one part count as spent at its latest.
const PARTS: i64 = 32;

/// How long a sender that waits for its turn counts as one of the senders.
const WAITING_MS: i64 = 10_000;

/// The document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Budget {
    /// Who may send, or waits to.
    pub(super) holders: Vec<Holder>,
    /// What was sent, for each limit's window.
    pub(super) windows: Vec<Window>,
    /// Until when the source wants to be left alone; 0 where it does not.
    pub(super) paused_until: i64,
    /// Whether the source is up.
    pub(super) breaker: Breaker,
}

/// A process that sends requests with the credential.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Holder {
    /// Its name, unique to it.
    pub(super) name: String,
    /// How many requests it may send until `until`.
    pub(super) permits: u32,
    /// The end of its lease.
    pub(super) until: i64,
    /// How many requests it may have under way until `places_until`.
    pub(super) places: u32,
    /// The end of these.
    pub(super) places_until: i64,
}

/// What was sent in the time over which a limit counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Window {
    /// The limit's time, in milliseconds.
    pub(super) per: i64,
    /// How many requests at which moments, oldest first.
    pub(super) spent: Vec<(i64, u32)>,
}

/// What is known of a source that fails: the circuit breaker's state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Breaker {
    /// How often it was found down since it was last up; 0 while it is up.
    pub(super) trips: u32,
    /// Until when nothing is sent; from then on one request tries.
    pub(super) until: i64,
}

/// What is asked of the document.
#[derive(Clone, Debug)]
pub(super) struct Claim<'a> {
    pub(super) name: &'a str,
    pub(super) rates: &'a [RateLimit],
    /// The moments at which requests of the last lease were counted.
    pub(super) spent: &'a [i64],
    /// How many requests may be under way at once, of all; none where there is no such limit.
    pub(super) concurrency: Option<u32>,
    /// How many this process has under way now, and how many it would have.
    pub(super) under_way: u32,
    pub(super) wanted_places: u32,
    /// How long places are to be held.
    pub(super) places_ms: i64,
}

/// What the document grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    /// How many requests may be sent until `until`.
    pub(super) permits: u32,
    pub(super) until: i64,
    /// How many may be under way until `places_until`.
    pub(super) places: u32,
    pub(super) places_until: i64,
    /// Where there are no permits or places: when to ask again.
    pub(super) again_at: i64,
    /// How many processes send.
    pub(super) senders: u32,
}

impl Budget {
    /// Settles the last lease and makes another one, as large as may be.
    pub(super) fn claim(&mut self, claim: &Claim<'_>, now: i64) -> Grant {
        self.settle(claim, now);
        let (permits, free_at) = self.permits(claim.rates, now);
        let senders = self.holders.len() as u32 + 1;
        let (places, place_at) = self.places(claim, now);
        let permits = if places == 0 { 0 } else { permits };
        let grant = Grant {
            permits,
            until: now + LEASE_MS,
            places,
            places_until: now + claim.places_ms,
            again_at: if places == 0 { place_at } else { free_at },
            senders,
        };
        let waits = permits == 0 || places == 0;
        self.holders.push(Holder {
            name: claim.name.to_owned(),
            permits,
            until: if waits { now + WAITING_MS } else { grant.until },
            places,
            places_until: grant.places_until,
        });
        grant
    }

    /// Gives back all that a process holds.
    pub(super) fn leave(&mut self, claim: &Claim<'_>, now: i64) {
        self.settle(claim, now);
    }

    /// Takes the claimer's old lease away, counts what it sent, and what those sent whose leases ran out.
    fn settle(&mut self, claim: &Claim<'_>, now: i64) {
        let mut sent: Vec<(i64, u32)> = claim.spent.iter().map(|at| (*at, 1)).collect();
        self.holders.retain_mut(|holder| {
            if holder.name == claim.name {
                return false;
            }
            if holder.until <= now && holder.permits > 0 {
                sent.push((holder.until, holder.permits));
                holder.permits = 0;
            }
            holder.until > now || (holder.places > 0 && holder.places_until > now)
        });
        for rate in claim.rates {
            let per = per_ms(rate);
            if !self.windows.iter().any(|window| window.per == per) {
                self.windows.push(Window {
                    per,
                    spent: Vec::new(),
                });
            }
        }
        for window in &mut self.windows {
            window.add(&sent, now);
        }
        self.windows.retain(|window| {
            !window.spent.is_empty() || claim.rates.iter().any(|rate| per_ms(rate) == window.per)
        });
    }

    /// How many permits there are to lease, and when there will be one where there is none.
    fn permits(&self, rates: &[RateLimit], now: i64) -> (u32, i64) {
        let leased: u32 = self.holders.iter().map(|holder| holder.permits).sum();
        let mut most = u32::MAX;
        let mut free_at = now;
        for rate in rates {
            let per = per_ms(rate);
            let mut counted: Vec<(i64, u32)> = self
                .windows
                .iter()
                .filter(|window| window.per == per)
                .flat_map(|window| window.spent.iter().copied())
                .collect();
            let taken = counted.iter().map(|(_, count)| *count).sum::<u32>() + leased;
            let batch = (rate.requests / 4).clamp(1, LARGEST_BATCH);
            most = most.min(rate.requests.saturating_sub(taken).min(batch));
            if taken >= rate.requests {
                counted.extend(
                    self.holders
                        .iter()
                        .map(|holder| (holder.until, holder.permits)),
                );
                free_at = free_at.max(first_free(&mut counted, taken - rate.requests, per));
            }
        }
        (most, free_at)
    }

    /// How many requests the claimer may have under way: its share of what is allowed.
    fn places(&self, claim: &Claim<'_>, now: i64) -> (u32, i64) {
        let Some(concurrency) = claim.concurrency else {
            return (claim.wanted_places, now);
        };
        let held = |holder: &Holder| {
            if holder.places_until > now {
                holder.places
            } else {
                0
            }
        };
        let taken: u32 = self.holders.iter().map(held).sum();
        let share = (concurrency / (self.holders.len() as u32 + 1)).max(1);
        let wanted = claim.wanted_places.min(share).max(claim.under_way);
        let first = self
            .holders
            .iter()
            .filter(|holder| held(holder) > 0)
            .map(|holder| holder.places_until)
            .min();
        (
            wanted.min(concurrency.saturating_sub(taken)),
            first.unwrap_or(now),
        )
    }
}

/// When more than `surplus` of the counted requests are older than `per`.
fn first_free(counted: &mut [(i64, u32)], surplus: u32, per: i64) -> i64 {
    counted.sort_unstable();
    let mut freed = 0;
    for (at, count) in counted.iter() {
        freed += count;
        if freed > surplus {
            return at + per;
        }
    }
    i64::MAX
}

impl Window {
    /// Adds what was sent, and forgets what is older than the window.
    fn add(&mut self, sent: &[(i64, u32)], now: i64) {
        let part = (self.per / PARTS).max(1);
        let per = self.per;
        self.spent.extend_from_slice(sent);
        self.spent.retain(|(at, _)| at + per > now);
        self.spent.sort_unstable();
        self.spent =
            self.spent
                .iter()
                .fold(Vec::new(), |mut merged: Vec<(i64, u32)>, (at, count)| {
                    match merged.last_mut() {
                        Some((last, sum)) if last.div_euclid(part) == at.div_euclid(part) => {
                            *last = *at;
                            *sum += count;
                        }
                        _ => merged.push((*at, *count)),
                    }
                    merged
                });
    }
}

fn per_ms(rate: &RateLimit) -> i64 {
    i64::try_from(rate.per.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "budget_tests.rs"]
mod tests;
