//! How many requests a caller has left in a longer while, over all processes. What is left lies in the lake; a process
//! takes some of it at a time, so that most requests ask nobody. Never more are answered than the quota says. Fewer may
//! be: what a process has taken and does not use is nobody else's, a twentieth of what is left at most.

use super::rate::Count;
use millrace_model::definition::endpoint::Rate;
use millrace_model::digest::Digest;
use millrace_model::keys;
use millrace_store::json;
use millrace_store::objects::{Error, Objects};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::timeout;

/// Which part of what is left a process takes at once.
const PART: u32 = 20;
/// How long a request waits for the lake; then this process counts by itself.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many callers are kept count of; beyond that, those whose window is over are forgotten.
const CALLERS: usize = 10_000;

/// What callers have left.
#[derive(Debug)]
pub struct Quotas {
    objects: Arc<dyn Objects>,
    shares: Mutex<HashMap<Holder, Arc<tokio::sync::Mutex<Share>>>>,
}

/// A route, a caller, and the length of the window in seconds.
type Holder = (String, String, u64);

/// What this process has of a quota.
#[derive(Debug, Default)]
struct Share {
    /// When the window begins, in seconds from 1970 on.
    begins: u64,
    /// What it has taken, and not used yet.
    held: u32,
    /// What all processes had taken when it looked last.
    taken: u32,
}

/// What is written of a quota in the lake.
#[derive(Debug, Serialize, Deserialize)]
struct Taken {
    begins: u64,
    taken: u32,
}

impl Quotas {
    /// Counted among these objects.
    pub fn new(objects: Arc<dyn Objects>) -> Self {
        Self {
            objects,
            shares: Mutex::default(),
        }
    }

    /// Counts a request of a caller's on a route.
    pub async fn count(&self, route: &str, caller: &str, rate: Rate) -> Count {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        self.count_at(route, caller, rate, now.unwrap_or_default())
            .await
    }

    async fn count_at(&self, route: &str, caller: &str, rate: Rate, now: Duration) -> Count {
        let length = rate.window.as_secs().max(1);
        // Windows begin at whole multiples of their length, so that all processes agree on them.
        let begins = now.as_secs() / length * length;
        let holder = (route.to_owned(), caller.to_owned(), length);
        let key = keys::quota(&digest(&holder));
        let share = self.share(holder, now);
        let mut share = share.lock().await;
        if share.begins != begins {
            *share = Share {
                begins,
                ..Share::default()
            };
        }
        if share.held == 0 && share.taken < rate.requests {
            match timeout(PATIENCE, take(&*self.objects, &key, begins, rate.requests)).await {
                Ok(Ok((held, taken))) => (share.held, share.taken) = (held, taken),
                failed => {
                    let error = failed.map_or_else(
                        |_| "it took too long".to_owned(),
                        |failed| {
                            failed
                                .err()
                                .map_or_else(String::new, |error| error.to_string())
                        },
                    );
                    tracing::error!(error, "a quota is counted in this process alone");
                    (share.held, share.taken) = (1, share.taken + 1);
                }
            }
        }
        let over = share.held == 0;
        share.held = share.held.saturating_sub(1);
        let left = Duration::from_secs(begins + length).saturating_sub(now);
        let remaining = rate.requests.saturating_sub(share.taken) + share.held;
        Count::new(rate.requests, remaining, left, over)
    }

    fn share(&self, holder: Holder, now: Duration) -> Arc<tokio::sync::Mutex<Share>> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        if shares.len() >= CALLERS {
            let is_current = |length: u64, share: &Arc<tokio::sync::Mutex<Share>>| {
                let share = share.try_lock();
                share.is_ok_and(|share| share.begins + length > now.as_secs())
            };
            shares.retain(|(_, _, length), share| is_current(*length, share));
        }
        shares.entry(holder).or_default().clone()
    }
}

/// Takes a part of what is left: how much, and how much all have taken then.
async fn take(
    objects: &dyn Objects,
    key: &str,
    begins: u64,
    limit: u32,
) -> Result<(u32, u32), Error> {
    let mut part = 0;
    let taken = json::update(objects, key, |there: Option<Taken>| {
        // Of a window that has not begun by this clock another process knows; it is as good.
        let taken = there.filter(|there| there.begins >= begins);
        let (begins, taken) = taken.map_or((begins, 0), |there| (there.begins, there.taken));
        let left = limit.saturating_sub(taken);
        part = (left / PART).max(left.min(1));
        Ok::<_, Error>((part > 0).then_some(Taken {
            begins,
            taken: taken + part,
        }))
    })
    .await?;
    Ok((part, taken.map_or(limit, |there| there.taken)))
}

/// What names a quota's object: callers and routes may have names that no key has.
fn digest((route, caller, length): &Holder) -> String {
    let mut digest = Digest::of([route, caller]);
    digest.fixed(length.to_be_bytes());
    digest.hex()
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_store::objects::Folder;

    const DAY: u64 = 86_400;

    fn daily(requests: u32) -> Rate {
        Rate {
            requests,
            window: Duration::from_secs(DAY),
        }
    }

    async fn ask(quotas: &Quotas, caller: &str, requests: u32, seconds: u64) -> Count {
        let now = Duration::from_secs(seconds);
        quotas.count_at("/a", caller, daily(requests), now).await
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn several_processes_answer_as_many_as_the_quota_says_together() {
        let place = tempfile::tempdir().unwrap();
        let process = || Arc::new(Quotas::new(Arc::new(Folder::new(place.path()))));
        let mut asking = tokio::task::JoinSet::new();
        for process in [process(), process(), process()] {
            for _ in 0..2 {
                let process = process.clone();
                asking.spawn(async move {
                    let mut answered = 0;
                    while ask(&process, "ada", 500, 5).await.refusal().is_none() {
                        answered += 1;
                    }
                    answered
                });
            }
        }
        let answered = asking.join_all().await;
        assert_eq!(answered.iter().sum::<u32>(), 500, "{answered:?}");
        // Nobody else has used any, and the next day is another one.
        let process = process();
        assert_eq!(ask(&process, "bob", 500, 5).await.remaining(), 499);
        assert!(ask(&process, "ada", 500, 6).await.refusal().is_some());
        assert_eq!(ask(&process, "ada", 500, DAY).await.remaining(), 499);
    }

    #[tokio::test]
    async fn most_requests_ask_nobody() {
        let place = tempfile::tempdir().unwrap();
        let quotas = Quotas::new(Arc::new(Folder::new(place.path())));
        let key = keys::quota(&digest(&("/a".to_owned(), "ada".to_owned(), DAY)));
        ask(&quotas, "ada", 10_000, 5).await;
        let before = quotas.objects.get(&key).await.unwrap().unwrap().version;
        for _ in 0..499 {
            ask(&quotas, "ada", 10_000, 5).await;
        }
        let object = quotas.objects.get(&key).await.unwrap().unwrap();
        assert_eq!(object.version, before);
        ask(&quotas, "ada", 10_000, 5).await;
        let object = quotas.objects.get(&key).await.unwrap().unwrap();
        assert_ne!(object.version, before);
    }

    #[tokio::test]
    async fn without_the_lake_a_process_counts_by_itself() {
        let place = tempfile::tempdir().unwrap();
        // A file where the folder would be: nothing can be read or written.
        let file = place.path().join("quotas");
        std::fs::write(&file, "").unwrap();
        let quotas = Quotas::new(Arc::new(Folder::new(place.path())));
        for _ in 0..3 {
            assert!(ask(&quotas, "ada", 3, 5).await.refusal().is_none());
        }
        let refusal = ask(&quotas, "ada", 3, 86_390).await.refusal().unwrap();
        assert_eq!(refusal.retry_after, Some(10));
    }
}
