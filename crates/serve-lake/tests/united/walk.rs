//! Walks from page to page while the table changes and its rows grow old.

use crate::place::{Place, ROUTES, START};
use crate::rows::{Id, MICROS, NAMES, Order, Orders};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use std::cell::{Cell, RefCell};

/// What happens between two pages.
#[derive(Clone, Debug)]
struct Step {
    /// Rows that are written: a name and a number, how many hours before the run, and a weight.
    written: Vec<(usize, i64, Option<i64>, i64)>,
    /// Rows that go.
    deleted: Vec<(usize, i64)>,
    /// How many hours later the next run starts.
    hours: i64,
    /// Whether it publishes.
    publishes: bool,
}

fn step() -> impl Strategy<Value = Step> {
    let row = (
        0..NAMES.len(),
        0i64..9,
        prop::option::weighted(0.85, -60i64..2),
        0i64..9,
    );
    let gone = (0..NAMES.len(), 0i64..9);
    (
        prop::collection::vec(row, 0..4),
        prop::collection::vec(gone, 0..2),
        0i64..12,
        any::<bool>(),
    )
        .prop_map(|(written, deleted, hours, publishes)| Step {
            written,
            deleted,
            hours,
            publishes,
        })
}

#[derive(Clone, Debug)]
struct Case {
    first: Vec<(usize, i64, Option<i64>, i64)>,
    steps: Vec<Step>,
    limit: usize,
    route: usize,
}

fn case() -> impl Strategy<Value = Case> {
    let row = (
        0..NAMES.len(),
        0i64..9,
        prop::option::weighted(0.85, -60i64..2),
        0i64..9,
    );
    (
        prop::collection::vec(row, 1..40),
        prop::collection::vec(step(), 0..8),
        1usize..8,
        0usize..5,
    )
        .prop_map(|(first, steps, limit, route)| Case {
            first,
            steps,
            limit,
            route,
        })
}

#[test]
fn a_walk_finds_what_was_there_throughout_once_and_in_order() {
    let long = std::env::var("MILLRACE_TEST_LENGTH").is_ok_and(|length| length == "long");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let place = RefCell::new(runtime.block_on(Place::new()));
    let hours = Cell::new(0);
    let config = ProptestConfig {
        failure_persistence: None,
        max_shrink_iters: 60,
        ..ProptestConfig::with_cases(if long { 400 } else { 25 })
    };
    TestRunner::new(config)
        .run(&case(), |case| {
            let mut place = place.borrow_mut();
            place.begin_anew();
            runtime.block_on(walk(&place, &case, &hours));
            Ok(())
        })
        .unwrap();
}

/// Walks all pages while the table changes and its rows grow old.
async fn walk(place: &Place, case: &Case, hours: &Cell<i64>) {
    hours.set(hours.get() + 1);
    let now = || START + hours.get() * 3600;
    let write = |orders: &mut Orders, rows: &[(usize, i64, Option<i64>, i64)]| {
        for (name, id, hours, weight) in rows {
            let at = hours.map(|hours| (now() + hours * 3600) * MICROS);
            orders.insert((NAMES[*name], *id), (at, *weight));
        }
    };
    let mut orders = Orders::new();
    write(&mut orders, &case.first);
    place.put(&orders).await;
    place.published_at(now()).await;
    let mut throughout = orders.clone();
    // What was published last, and what is in the lake.
    let (route, _, _) = ROUTES[case.route];
    let (mut rows, mut next) = place
        .page(&format!("/both/{route}?limit={}", case.limit))
        .await;
    let mut steps = case.steps.iter();
    while let Some(path) = next {
        if let Some(step) = steps.next() {
            hours.set(hours.get() + step.hours);
            for (name, id) in &step.deleted {
                orders.remove(&(NAMES[*name], *id));
            }
            write(&mut orders, &step.written);
            place.put(&orders).await;
            if step.publishes {
                place.published_at(now()).await;
            }
            throughout.retain(|id, order| orders.get(id) == Some(order));
        }
        let (more, behind) = place.page(&path).await;
        rows.extend(more);
        next = behind;
    }
    let seen: Vec<Id> = rows
        .iter()
        .map(|row| {
            let name = row["name"].as_str().unwrap();
            let name = NAMES.into_iter().find(|known| *known == name).unwrap();
            (name, row["id"].as_i64().unwrap())
        })
        .filter(|id| throughout.contains_key(id))
        .collect();
    let mut expected: Vec<Id> = throughout.keys().copied().collect();
    expected.sort_by_key(|id| rank(route, *id, throughout[id]));
    assert_eq!(seen, expected, "{route}");
}

/// What comes first in the order of a route: whether it has no moment, the moment, and what tells it from others.
type Rank = (i8, i64, Vec<u8>, i64);

fn rank(route: &str, (name, id): Id, (at, _): Order) -> Rank {
    let up = |name: &str| name.as_bytes().to_vec();
    let down = |name: &str| {
        let bytes = name.bytes().map(|byte| !byte);
        bytes.chain([255]).collect::<Vec<u8>>()
    };
    let moment = at.unwrap_or_default();
    let undated = i8::from(at.is_none());
    match route {
        "down" | "since" => (-undated, -moment, down(name), -id),
        "last" => (undated, -moment, down(name), -id),
        "up" => (undated, moment, down(name), -id),
        // By the number before the name.
        _ => (
            -undated,
            moment,
            [&id.to_be_bytes()[..], &up(name)].concat(),
            0,
        ),
    }
}
