//! No more requests than a source allows, of all Lambdas, tasks and machines that use one credential.
//!
//! What they share is one document in the lake (`budget`): permits are leased from it in batches, a wait that the source
//! asks for is noted there for all, and so is a source that is down. What a single process sends is held to its lease
//! without asking.
//!
//! A request counts at the source some time between being sent and being answered. It is taken to count at the latest of
//! these, so that a slow network cannot bring two requests closer together than they are allowed to be.

mod budget;
mod headers;
mod local;
mod terms;

pub(crate) use headers::retry_after;
pub(crate) use local::Pass;
pub(crate) use terms::Terms;

/// What hostile headers are tried on.
#[cfg(test)]
pub(crate) mod hostile_headers {
    pub(crate) use super::headers::spacing;
}

use budget::{Breaker, Budget, Claim};
use http::HeaderMap;
use jiff::Timestamp;
use local::Local;
use millrace_model::Failure;
use millrace_store::json;
use millrace_store::objects::Objects;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a request may travel before it counts at the source.
const ARRIVAL_MS: i64 = 1_000;

/// How old what is known of the document may be where nothing has to be leased from it.
const REFRESH_MS: i64 = 5_000;

/// Shorter waits are not worth telling the others.
const LEAST_TOLD: Duration = Duration::from_secs(1);

/// How soon the document is read again where others hold what is missing, for each of them.
const POLL_MS: i64 = 100;

/// How many requests one process has under way at most where the definition sets no limit.
const UNLIMITED_PLACES: u32 = 16;

/// How many requests of a process fail one after the other before the source is taken to be down.
const TRIP: u32 = 8;

/// How long a source that is down is left alone; twice as long each time that it is found down again, up to the most.
const COOL_MS: i64 = 10_000;
const COOL_MOST_MS: i64 = 300_000;

/// Keeps the requests of this process, and of the others that use the credential, to its limits.
#[derive(Debug)]
pub(crate) struct Throttle {
    objects: Arc<dyn Objects>,
    key: String,
    terms: Terms,
    /// This process's name in the document.
    name: String,
    local: Mutex<Local>,
    /// One at a time asks the document.
    asking: tokio::sync::Mutex<()>,
}

/// Whether a request may be sent.
#[derive(Debug)]
pub(crate) enum Entry {
    /// It may; it is under way until the pass is dropped.
    Go(Pass),
    /// It may not before so long.
    Wait(Duration),
    /// The source is down; the next try is in so long.
    Down(Duration),
}

impl Entry {
    /// How long has to be waited.
    pub(crate) fn wait(&self) -> Duration {
        match self {
            Self::Go(_) => Duration::ZERO,
            Self::Wait(wait) | Self::Down(wait) => *wait,
        }
    }
}

/// What can be told without the document.
enum Known {
    Entry(Entry),
    MustAsk,
}

impl Throttle {
    pub(crate) fn new(objects: Arc<dyn Objects>, key: String, terms: Terms) -> Self {
        Self {
            objects,
            key,
            terms,
            name: format!("{:016x}", rand::random::<u64>()),
            local: Mutex::new(Local {
                senders: 1,
                ..Local::default()
            }),
            asking: tokio::sync::Mutex::default(),
        }
    }

    /// What it is held to.
    pub(crate) fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Leave to send a request, or how long that has to wait.
    pub(crate) async fn enter(self: &Arc<Self>) -> Result<Entry, Failure> {
        if let Known::Entry(entry) = self.known(now()) {
            if matches!(entry, Entry::Wait(_)) {
                self.local().awaited_until = now() + 2 * POLL_MS;
            }
            return Ok(entry);
        }
        let _turn = self.asking.lock().await;
        // Somebody else may have asked while this one waited for its turn.
        if let Known::Entry(entry) = self.known(now()) {
            return Ok(entry);
        }
        if let Some(wait) = self.ask().await? {
            return Ok(Entry::Wait(wait));
        }
        Ok(match self.known(now()) {
            Known::Entry(entry) => entry,
            // What was leased ran out on its way here.
            Known::MustAsk => Entry::Wait(Duration::from_millis(POLL_MS as u64)),
        })
    }

    /// Leave to send a request before it is its turn, as far as this process holds it already.
    /// Whose turn it is goes first.
    pub(crate) fn spare(self: &Arc<Self>) -> Option<Pass> {
        if self.local().awaited_until > now() {
            return None;
        }
        match self.known(now()) {
            Known::Entry(Entry::Go(pass)) => Some(pass),
            Known::Entry(Entry::Wait(_) | Entry::Down(_)) | Known::MustAsk => None,
        }
    }

    /// Whether as many requests are under way as this process may have.
    pub(crate) fn is_full(&self) -> bool {
        let local = self.local();
        local.under_way.len() >= self.places(&local) as usize
    }

    fn places(&self, local: &Local) -> u32 {
        if self.terms.lease() {
            local.places
        } else {
            UNLIMITED_PLACES
        }
    }

    fn known(self: &Arc<Self>, now: i64) -> Known {
        let mut local = self.local();
        let held_up = local.paused_until.max(local.next_at);
        if held_up > now {
            return Known::Entry(Entry::Wait(span(held_up - now)));
        }
        if local.breaker.until > now {
            return Known::Entry(Entry::Down(span(local.breaker.until - now)));
        }
        let is_stale = !self.terms.lease() && now - local.read_at > REFRESH_MS;
        if is_stale || local.breaker.trips > 0 {
            return Known::MustAsk;
        }
        if self.terms.lease() {
            let lacks_permit = !self.terms.rates.is_empty()
                && (local.permits == 0 || local.until - ARRIVAL_MS <= now);
            let lacks_place = self.terms.concurrency.is_some()
                && local.places_until - self.terms.longest_ms <= now;
            if lacks_permit || lacks_place {
                return Known::MustAsk;
            }
        }
        if local.under_way.len() >= self.places(&local) as usize {
            return Known::Entry(Entry::Wait(Duration::from_millis(POLL_MS as u64)));
        }
        Known::Entry(Entry::Go(self.pass(&mut local, now)))
    }

    fn pass(self: &Arc<Self>, local: &mut Local, now: i64) -> Pass {
        local.permits = local.permits.saturating_sub(1);
        local.next_at = now + local.spacing_ms;
        local.last_number += 1;
        let number = local.last_number;
        local.under_way.push((number, Some(now)));
        Pass {
            throttle: self.clone(),
            number,
        }
    }

    /// Reads the document, leases from it, and takes the one try of a source that is down. How long to wait where there
    /// is nothing to lease.
    async fn ask(&self) -> Result<Option<Duration>, Failure> {
        let tries = self.local().breaker.trips > 0;
        if !self.terms.lease() && !tries {
            let budget: Option<Budget> = json::get(&*self.objects, &self.key).await?;
            self.learn(&budget.unwrap_or_default(), now());
            return Ok(None);
        }
        let mut granted = None;
        let mut may_try = false;
        let (told, budget) = self
            .change(|budget, claim, now| {
                granted = self.terms.lease().then(|| budget.claim(claim, now));
                may_try = budget.breaker.trips > 0 && budget.breaker.until <= now;
                if may_try {
                    // The others wait for the outcome of this one's try.
                    budget.breaker.until = now + self.terms.longest_ms;
                }
            })
            .await?;
        let now = now();
        self.learn(&budget, now);
        let mut local = self.local();
        if may_try {
            // Its own try is not held up by itself, and is decisive.
            local.breaker = Breaker::default();
            local.failures = TRIP - 1;
        }
        let Some(grant) = granted else {
            return Ok(None);
        };
        local.take(&grant, told);
        if grant.permits > 0 && grant.places > 0 {
            return Ok(None);
        }
        let others_hold = budget
            .holders
            .iter()
            .any(|holder| holder.name != self.name && (holder.permits > 0 || holder.places > 0));
        let mut wait = (grant.again_at - now).max(1);
        if others_hold {
            // What they do not use comes back earlier than it runs out.
            wait = wait.min(POLL_MS * i64::from(grant.senders));
        }
        Ok(Some(span(wait).mul_f64(1.0 + rand::random::<f64>() / 5.0)))
    }

    /// Changes the document. Gives back how many of the spent requests it was told of, and the document.
    async fn change(
        &self,
        mut change: impl FnMut(&mut Budget, &Claim<'_>, i64),
    ) -> Result<(usize, Budget), Failure> {
        let (spent, under_way) = self.local().settle(!self.terms.rates.is_empty());
        let claim = Claim {
            name: &self.name,
            rates: &self.terms.rates,
            spent: &spent,
            concurrency: self.terms.concurrency,
            under_way,
            wanted_places: UNLIMITED_PLACES,
            places_ms: self.terms.longest_ms + 2 * LEASE_OF_PLACES_MS,
        };
        let budget = json::update(&*self.objects, &self.key, |budget: Option<Budget>| {
            let before = budget.unwrap_or_default();
            let mut after = before.clone();
            change(&mut after, &claim, now());
            Ok::<_, Failure>((after != before).then_some(after))
        })
        .await?;
        Ok((spent.len(), budget.unwrap_or_default()))
    }

    /// Notes what the document says to all.
    fn learn(&self, budget: &Budget, now: i64) {
        let mut local = self.local();
        local.read_at = now;
        local.senders = (budget.holders.len() as u32).max(1);
        if budget.paused_until > local.paused_until && budget.paused_until > now {
            // They do not all come back at the same moment.
            local.paused_until = budget.paused_until + (rand::random::<f64>() * 250.0) as i64;
        }
        local.breaker = budget.breaker.clone();
    }

    /// Notes what the source says of its limits in an answer.
    async fn told(&self, headers: &HeaderMap) -> Result<(), Failure> {
        let Some(left) = headers::left(headers, Timestamp::now()) else {
            self.local().spacing_ms = 0;
            return Ok(());
        };
        if left.requests == 0 {
            return self.pause(left.reset).await;
        }
        let mut local = self.local();
        local.spacing_ms = millis(left.spacing(local.senders));
        local.next_at = local.next_at.max(now() + local.spacing_ms);
        Ok(())
    }

    /// Leaves the source alone for so long, with all others that use the credential.
    pub(crate) async fn pause(&self, wait: Duration) -> Result<(), Failure> {
        let until = now().saturating_add(millis(wait));
        {
            let mut local = self.local();
            local.paused_until = local.paused_until.max(until);
        }
        if wait < LEAST_TOLD {
            return Ok(());
        }
        json::update(&*self.objects, &self.key, |budget: Option<Budget>| {
            let mut budget = budget.unwrap_or_default();
            let is_longer = budget.paused_until < until;
            budget.paused_until = budget.paused_until.max(until);
            Ok::<_, Failure>(is_longer.then_some(budget))
        })
        .await?;
        Ok(())
    }

    /// Notes that a request got no answer, or one that says that the source is in trouble.
    pub(crate) async fn failed(&self) -> Result<(), Failure> {
        let is_down = {
            let mut local = self.local();
            local.failures += 1;
            local.failures >= TRIP
        };
        if !is_down {
            return Ok(());
        }
        let began = now();
        let budget = json::update(&*self.objects, &self.key, |budget: Option<Budget>| {
            let mut budget = budget.unwrap_or_default();
            budget.breaker.trips = budget.breaker.trips.saturating_add(1);
            let doubled = COOL_MS << (budget.breaker.trips - 1).min(16);
            budget.breaker.until = began + doubled.min(COOL_MOST_MS);
            Ok::<_, Failure>(Some(budget))
        })
        .await?;
        let mut local = self.local();
        local.failures = 0;
        local.breaker = budget.unwrap_or_default().breaker;
        Ok(())
    }

    /// Notes that a request was answered well.
    pub(crate) async fn succeeded(&self) -> Result<(), Failure> {
        let was_down = {
            let mut local = self.local();
            let was_down = local.failures >= TRIP - 1 || local.breaker.trips > 0;
            local.failures = 0;
            local.breaker = Breaker::default();
            was_down
        };
        if was_down {
            json::update(&*self.objects, &self.key, |budget: Option<Budget>| {
                let mut budget = budget.unwrap_or_default();
                let was_down = budget.breaker != Breaker::default();
                budget.breaker = Breaker::default();
                Ok::<_, Failure>(was_down.then_some(budget))
            })
            .await?;
        }
        Ok(())
    }

    /// Gives back what this process holds, for others to use.
    pub(crate) async fn leave(&self) -> Result<(), Failure> {
        let holds = {
            let local = self.local();
            local.read_at > 0 && local.under_way.is_empty()
        };
        if !self.terms.lease() || !holds {
            return Ok(());
        }
        let _turn = self.asking.lock().await;
        let (told, _) = self.change(Budget::leave).await?;
        let mut local = self.local();
        local.forget(told);
        (local.permits, local.places, local.places_until) = (0, 0, 0);
        Ok(())
    }

    fn local(&self) -> MutexGuard<'_, Local> {
        self.local.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How much longer than the longest request places are held.
const LEASE_OF_PLACES_MS: i64 = 15_000;

fn now() -> i64 {
    Timestamp::now().as_millisecond()
}

fn span(millis: i64) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or_default())
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
