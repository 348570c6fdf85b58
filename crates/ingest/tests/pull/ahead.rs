//! Several requests at once: what is stored and remembered is what one after the other would have brought.

use crate::plant::Plant;
use crate::support::serve;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use millrace_model::step::{Deadline, Next, Unobserved};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A source with lists of numbers, which counts how many requests are under way.
#[derive(Debug)]
struct Mill {
    /// How many numbers each list has; `/lists/3` is the list of that index.
    lists: Vec<usize>,
    /// The most that it gives at once, whatever it is asked for.
    most: usize,
    /// How long an answer takes at least, and how much longer some take.
    latency: Duration,
    jitter: Duration,
    /// What goes wrong with the requests, over and over.
    faults: Vec<Fault>,
    requests: AtomicUsize,
    under_way: AtomicUsize,
    most_under_way: AtomicUsize,
    /// How often each request came.
    asked: Mutex<HashMap<String, usize>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    Broken,
    Busy,
    Cut,
}

impl Mill {
    fn new(lists: Vec<usize>) -> Self {
        Self {
            lists,
            most: 10,
            latency: Duration::ZERO,
            jitter: Duration::ZERO,
            faults: vec![Fault::None],
            requests: AtomicUsize::new(0),
            under_way: AtomicUsize::new(0),
            most_under_way: AtomicUsize::new(0),
            asked: Mutex::default(),
        }
    }

    async fn start(self) -> (Arc<Self>, String) {
        let mill = Arc::new(self);
        let router = Router::new().fallback(answer).with_state(mill.clone());
        let url = serve(router).await;
        (mill, url)
    }

    fn most_under_way(&self) -> usize {
        self.most_under_way.load(Ordering::SeqCst)
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

async fn answer(State(mill): State<Arc<Mill>>, request: Request<Body>) -> Response {
    let number = mill.requests.fetch_add(1, Ordering::SeqCst);
    let _under_way = UnderWay::new(&mill);
    let asked = request.uri().to_string();
    *mill.asked.lock().unwrap().entry(asked).or_default() += 1;
    // Later requests are often answered earlier.
    tokio::time::sleep(mill.latency + mill.jitter * u32::from(number.is_multiple_of(3))).await;
    mill.answer(request.uri(), mill.faults[number % mill.faults.len()])
}

/// One request under way, until it is answered or nobody waits for the answer any more.
struct UnderWay<'a>(&'a Mill);

impl<'a> UnderWay<'a> {
    fn new(mill: &'a Mill) -> Self {
        let now = mill.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        mill.most_under_way.fetch_max(now, Ordering::SeqCst);
        Self(mill)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Mill {
    fn answer(&self, uri: &axum::http::Uri, fault: Fault) -> Response {
        let query = uri.query().unwrap_or_default();
        let number = |name: &str, default: usize| {
            url::form_urlencoded::parse(query.as_bytes())
                .find(|(key, _)| key == name)
                .map_or(default, |(_, value)| value.parse().unwrap())
        };
        let list: usize = uri.path().rsplit('/').next().unwrap().parse().unwrap();
        let all = self.lists[list];
        let limit = number("limit", self.most).min(self.most);
        let from = number("offset", (number("page", 1) - 1) * self.most).min(all);
        let rows: Vec<Value> = (from..all.min(from + limit))
            .map(|id| json!({ "id": id, "list": list }))
            .collect();
        let pages = all.div_ceil(self.most);
        let body = json!({ "rows": rows, "total": all, "pages": pages }).to_string();
        match fault {
            Fault::None => body.into_response(),
            Fault::Broken => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            Fault::Busy => (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "0")]).into_response(),
            Fault::Cut => body[..body.len() / 2].to_owned().into_response(),
        }
    }
}

const OFFSETS: &str = "
  - name: rows
    connection: source
    path: /lists/0
    records: rows
    paginate: { offset: { limit: 10, end: { total: total } } }
";

const PAGES: &str = "
  - name: rows
    connection: source
    path: /lists/0
    records: rows
    paginate: { page: { end: { pages: pages } } }
";

/// All pages that a run has stored, as one after the other would have brought them.
async fn essence(plant: &Plant) -> Vec<(String, u64, Option<u64>, String)> {
    let mut pages = Vec::new();
    for manifest in plant.manifests("rows").await {
        for page in manifest.pages {
            let url = page.url.split_once("/lists/").unwrap().1.to_owned();
            pages.push((url, page.records, page.origin.slice, page.sha256));
        }
    }
    pages
}

fn partitioned(lists: usize, paginate: &str) -> String {
    let lists: Vec<String> = (0..lists).map(|list| list.to_string()).collect();
    format!(
        "
  - name: rows
    connection: source
    path: /lists/{{{{ partition.list }}}}
    partitions: {{ list: [{}] }}
    carry: {{ of: partition.list }}
    records: rows
    paginate: {paginate}
",
        lists.join(", ")
    )
}

/// A pull of the same by one request after the other.
async fn sequential(lists: &[usize], most: usize, resources: &str) -> (Plant, usize) {
    let mill = Mill {
        most,
        ..Mill::new(lists.to_vec())
    };
    let (mill, url) = mill.start().await;
    let plant = Plant::new(&url, resources);
    plant.pull("rows").await;
    assert_eq!(mill.most_under_way(), 1);
    (plant, mill.requests())
}

#[tokio::test]
async fn pages_whose_total_is_known_are_asked_for_together() {
    for resources in [OFFSETS, PAGES] {
        let (expected, requests) = sequential(&[400], 10, resources).await;
        let mill = Mill {
            latency: Duration::from_millis(50),
            jitter: Duration::from_millis(10),
            ..Mill::new(vec![400])
        };
        let (mill, url) = mill.start().await;
        let mut plant = Plant::new(&url, resources);
        plant.at_once(8);
        let began = Instant::now();
        let records = plant.pull("rows").await;
        let took = began.elapsed();
        assert_eq!(records.len(), 400);
        assert_eq!(essence(&plant).await, essence(&expected).await);
        assert_eq!(plant.state("rows").await, expected.state("rows").await);
        assert_eq!(mill.requests(), requests, "none was asked for in vain");
        assert_eq!(mill.most_under_way(), 8);
        let alone = Duration::from_millis(50) * requests as u32;
        assert!(took < alone * 3 / 4, "{took:?} of {alone:?}");
    }
}

#[tokio::test]
async fn slices_of_one_page_are_asked_for_together() {
    let resources = partitioned(40, "{ page: { end: { pages: pages } } }");
    // One has more pages than the others, two have no records.
    let mut lists = vec![7; 40];
    (lists[11], lists[12], lists[30]) = (35, 0, 0);
    let (expected, requests) = sequential(&lists, 10, &resources).await;
    let mill = Mill {
        latency: Duration::from_millis(50),
        ..Mill::new(lists)
    };
    let (mill, url) = mill.start().await;
    let mut plant = Plant::new(&url, &resources);
    plant.at_once(6);
    let began = Instant::now();
    let records = plant.pull("rows").await;
    let took = began.elapsed();
    assert_eq!(records, expected.records("rows").await);
    assert_eq!(essence(&plant).await, essence(&expected).await);
    assert_eq!(mill.requests(), requests);
    assert_eq!(mill.most_under_way(), 6);
    let alone = Duration::from_millis(50) * requests as u32;
    assert!(took < alone * 3 / 4, "{took:?} of {alone:?}");
}

#[tokio::test]
async fn a_source_that_gives_less_than_it_is_asked_for_is_pulled_whole() {
    // It gives four at a time, so that what was foreseen is wrong.
    let (expected, requests) = sequential(&[50], 4, OFFSETS).await;
    let mill = Mill {
        most: 4,
        ..Mill::new(vec![50])
    };
    let (mill, url) = mill.start().await;
    let mut plant = Plant::new(&url, OFFSETS);
    plant.at_once(4);
    assert_eq!(plant.pull("rows").await.len(), 50);
    assert_eq!(essence(&plant).await, essence(&expected).await);
    assert!(
        mill.requests() <= requests + 3,
        "it is asked in vain once: {}",
        mill.requests()
    );
}

#[tokio::test]
async fn two_pulls_of_one_process_share_what_is_allowed() {
    let mill = Mill {
        latency: Duration::from_millis(5),
        ..Mill::new(vec![200, 200])
    };
    let (mill, url) = mill.start().await;
    let other = OFFSETS
        .replace("name: rows", "name: others")
        .replace("/lists/0", "/lists/1");
    let mut plant = Plant::new(&url, &format!("{OFFSETS}{other}"));
    plant.at_once(2);
    let ingest = plant.ingest();
    let (one, two) = (plant.input(1, "rows").await, plant.input(1, "others").await);
    let (one, two) = tokio::join!(
        ingest.run(&one, Deadline::NONE, &Unobserved),
        ingest.run(&two, Deadline::NONE, &Unobserved),
    );
    assert_eq!(
        (one.unwrap().next, two.unwrap().next),
        (Next::Done, Next::Done)
    );
    assert_eq!(plant.records("rows").await.len(), 200);
    assert_eq!(plant.records("others").await.len(), 200);
    assert!(mill.most_under_way() <= 2, "{}", mill.most_under_way());
}

fn faults() -> impl Strategy<Value = Vec<Fault>> {
    let fault = prop_oneof![
        6 => Just(Fault::None),
        1 => Just(Fault::Broken),
        1 => Just(Fault::Busy),
        1 => Just(Fault::Cut),
    ];
    prop::collection::vec(fault, 1..20).prop_filter("something must work", |faults| {
        faults.contains(&Fault::None)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    /// Whatever the lists are, whatever goes wrong, however many are allowed at once, and wherever it is killed.
    #[test]
    fn what_is_stored_is_what_one_after_the_other_would_have_brought(
        lists in prop::collection::vec(0_usize..45, 1..9),
        most in 3_usize..11,
        at_once in 2_u32..7,
        paginate in prop::sample::select(vec![
            "{ offset: { limit: 10, end: { total: total } } }",
            "{ page: { end: { pages: pages } } }",
            "{ offset: { limit: 3 } }",
        ]),
        faults in faults(),
        kills in prop::collection::vec(4_usize..30, 0..4),
    ) {
        let resources = partitioned(lists.len(), paginate);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let (expected, _) = sequential(&lists, most, &resources).await;
            let mill = Mill { most, faults, jitter: Duration::from_millis(2), ..Mill::new(lists) };
            let (mill, url) = mill.start().await;
            let mut plant = Plant::new(&url, &resources);
            plant.at_once(at_once);
            let input = plant.input(1, "rows").await;
            for calls in kills {
                // It may be complete before it is killed.
                let _ = plant.ingest_until(calls).run(&input, Deadline::NONE, &Unobserved).await;
                while mill.under_way.load(Ordering::SeqCst) > 0 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                // Who was killed gives nothing back, and nobody waits for that here.
                plant.let_waits_pass().await;
            }
            plant.pull("rows").await;
            assert_eq!(essence(&plant).await, essence(&expected).await);
            assert_eq!(plant.records("rows").await, expected.records("rows").await);
            assert!(mill.most_under_way() <= at_once as usize, "{}", mill.most_under_way());
        });
    }
}

/// How many random pulls are tried.
fn cases() -> u32 {
    if std::env::var("MILLRACE_TEST_LENGTH").as_deref() == Ok("long") {
        1_000
    } else {
        25
    }
}
