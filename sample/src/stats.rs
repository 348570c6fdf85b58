//! What the source was asked and what it sent.

use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// How many of the bodies sent are remembered.
const REMEMBERED: usize = 10_000;

/// What the source was asked since its start; requests to the routes that begin with an underscore do not count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Requests.
    pub requests: u64,
    /// Requests by the status of the answer; those cut short or stalled count by the status that they began with.
    pub statuses: BTreeMap<u16, u64>,
    /// Bodies cut short or stalled.
    pub broken: u64,
    /// Records in complete bodies.
    pub records: u64,
    /// The most requests that were under way at once.
    pub max_in_flight: u64,
    /// The most requests in one second, counted from the source's start.
    pub max_per_second: u64,
}

/// A body that was handed over in full.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sent {
    /// The request's path and query.
    pub url: String,
    /// The answer's status.
    pub status: u16,
    /// The body's SHA-256 in hexadecimal, before any compression for the transfer.
    pub sha256: String,
    /// The body's length, likewise.
    pub length: u64,
    /// How many records it has.
    pub records: u64,
}

/// The book in which all that is kept.
#[derive(Debug)]
pub(crate) struct Book {
    started: Instant,
    pages: Mutex<Pages>,
}

#[derive(Debug, Default)]
struct Pages {
    stats: Stats,
    in_flight: u64,
    second: u64,
    in_second: u64,
    sent: VecDeque<Sent>,
}

/// A request's place in the order of all requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket {
    /// From 1.
    pub(crate) number: u64,
    /// Its place among those of the same second, from 1.
    pub(crate) in_second: u64,
}

impl Book {
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            pages: Mutex::default(),
        }
    }

    /// Notes that a request came.
    pub(crate) fn arrive(&self) -> Ticket {
        let second = self.started.elapsed().as_secs();
        let mut pages = self.pages();
        if pages.second != second {
            pages.second = second;
            pages.in_second = 0;
        }
        pages.in_second += 1;
        pages.in_flight += 1;
        pages.stats.requests += 1;
        pages.stats.max_per_second = pages.stats.max_per_second.max(pages.in_second);
        pages.stats.max_in_flight = pages.stats.max_in_flight.max(pages.in_flight);
        Ticket {
            number: pages.stats.requests,
            in_second: pages.in_second,
        }
    }

    /// Notes that a request was answered or given up.
    pub(crate) fn leave(&self) {
        self.pages().in_flight -= 1;
    }

    /// Notes an answer, its body included unless that is broken off.
    pub(crate) fn note(&self, url: &str, status: u16, body: &[u8], records: u64, broken: bool) {
        let sha256 = if broken {
            String::new()
        } else {
            hex::encode(Sha256::digest(body))
        };
        let mut pages = self.pages();
        *pages.stats.statuses.entry(status).or_default() += 1;
        if broken {
            pages.stats.broken += 1;
            return;
        }
        pages.stats.records += records;
        if pages.sent.len() == REMEMBERED {
            pages.sent.pop_front();
        }
        pages.sent.push_back(Sent {
            url: url.to_owned(),
            status,
            sha256,
            length: body.len() as u64,
            records,
        });
    }

    pub(crate) fn stats(&self) -> Stats {
        self.pages().stats.clone()
    }

    pub(crate) fn sent(&self) -> Vec<Sent> {
        self.pages().sent.iter().cloned().collect()
    }

    fn pages(&self) -> std::sync::MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
