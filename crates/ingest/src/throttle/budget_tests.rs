use super::*;
use proptest::prelude::*;
use std::time::Duration;

fn rate(requests: u32, seconds: u64) -> RateLimit {
    RateLimit {
        requests,
        per: Duration::from_secs(seconds),
    }
}

fn claim<'a>(name: &'a str, rates: &'a [RateLimit], spent: &'a [i64]) -> Claim<'a> {
    Claim {
        name,
        rates,
        spent,
        concurrency: None,
        under_way: 0,
        wanted_places: 4,
        places_ms: 60_000,
    }
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// A process of the simulation.
#[derive(Clone, Default)]
struct Sender {
    /// Tells it from the processes that were killed before it.
    life: u32,
    permits: u32,
    until: i64,
    spent: Vec<i64>,
}

proptest! {
    /// Four processes claim, send when they like, and are killed; whatever they do, no span has more requests than are
    /// allowed.
    #[test]
    fn no_span_has_more_requests_than_allowed(
        requests in 1_u32..60,
        seconds in 1_u64..20,
        acts in proptest::collection::vec((0_usize..4, 0_i64..700, 0_u32..20, any::<bool>()), 1..400),
    ) {
        let rates = [rate(requests, seconds), rate(requests * 3, seconds * 10)];
        let mut budget = Budget::default();
        let mut senders = vec![Sender::default(); 4];
        let mut kills = 0;
        let mut counted: Vec<i64> = Vec::new();
        let mut now = 1_000_000;
        for (who, pause, wanted, claims) in acts {
            now += pause;
            let sender = &mut senders[who];
            if wanted == 19 {
                kills += 1;
                *sender = Sender { life: kills, ..Sender::default() };
            } else if claims {
                let name = format!("{}{}", NAMES[who], sender.life);
                let grant = budget.claim(&claim(&name, &rates, &sender.spent), now);
                *sender = Sender { life: sender.life, permits: grant.permits, until: grant.until, spent: Vec::new() };
                prop_assert!(grant.permits > 0 || grant.again_at > now - 1);
            }
            while now < sender.until && sender.permits > 0 && (sender.spent.len() as u32) < wanted {
                sender.permits -= 1;
                sender.spent.push(now);
                counted.push(now);
            }
        }
        for rate in &rates {
            for span in counted.windows(rate.requests as usize + 1) {
                let length = span[rate.requests as usize] - span[0];
                prop_assert!(length >= rate.per.as_millis() as i64, "{length} ms");
            }
        }
        prop_assert!(budget.windows.iter().all(|window| window.spent.len() <= 2 * PARTS as usize + 4));
    }

    /// One process that sends as soon as it may comes close to what is allowed.
    #[test]
    fn little_of_what_is_allowed_is_lost(requests in 1_u32..200, seconds in 1_u64..10) {
        let rates = [rate(requests, seconds)];
        let per = seconds as i64 * 1_000;
        let (mut budget, mut now, mut sent, mut spent) = (Budget::default(), 0, 0, Vec::new());
        while now < 20 * per {
            let grant = budget.claim(&claim("a", &rates, &spent), now);
            spent = vec![now; grant.permits as usize];
            sent += grant.permits;
            now = if grant.permits > 0 { now + 1 } else { grant.again_at };
        }
        prop_assert!(sent >= requests * 19, "{sent} of {}", requests * 20);
    }
}

#[test]
fn a_lease_that_nobody_gives_back_counts_as_spent_at_its_end() {
    let rates = [rate(4, 10)];
    let mut budget = Budget::default();
    for name in NAMES {
        assert_eq!(budget.claim(&claim(name, &rates, &[]), 0).permits, 1);
    }
    let refused = budget.claim(&claim("e", &rates, &[]), 1_000);
    assert_eq!((refused.permits, refused.again_at), (0, LEASE_MS + 10_000));
    // One of them is alive and says that it sent its request at once.
    let after = budget.claim(&claim("a", &rates, &[10]), 2_000);
    assert_eq!((after.permits, after.again_at), (0, 10_010));
    assert_eq!(budget.claim(&claim("e", &rates, &[]), 10_010).permits, 1);
    budget.leave(&claim("e", &rates, &[]), 10_020);
    assert_eq!(budget.claim(&claim("f", &rates, &[]), 10_030).permits, 1);
}

#[test]
fn places_are_shared_and_come_back() {
    let mut budget = Budget::default();
    let mut claim = claim("a", &[], &[]);
    claim.concurrency = Some(4);
    let mut places = |name, under_way, now| {
        claim.name = name;
        claim.under_way = under_way;
        budget.claim(&claim, now).places
    };
    assert_eq!(places("a", 0, 0), 4);
    assert_eq!(places("b", 0, 1), 0);
    // Those under way are not broken off.
    assert_eq!(places("a", 3, 2), 3);
    assert_eq!(places("b", 0, 3), 1);
    assert_eq!(places("a", 1, 4), 2);
    assert_eq!(places("b", 1, 5), 2);
    // Whoever was killed holds its places until they run out.
    assert_eq!(places("b", 2, 60_006), 4);
}

#[test]
fn a_document_of_another_version_is_read() {
    let budget: Budget = serde_json::from_str("{\"paused_until\":7,\"news\":1}").unwrap();
    assert_eq!(
        budget,
        Budget {
            paused_until: 7,
            ..Budget::default()
        }
    );
}
