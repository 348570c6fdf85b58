//! What a query over the lake may take: time, memory, turns, rows and bytes; and that it ends where nobody waits for it.

#![allow(clippy::unwrap_used, reason = "a test's way to fail")]

mod support;

use futures::future::join_all;
use millrace_serve::server;
use millrace_serve_lake::Room;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use support::{MIB, Place};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, oneshot};

/// How many are answered at once.
const QUERIES: usize = 32;
/// Queries that end in no time that a test has: each makes half of all pairs of numbers at least.
const ENDLESS: [(&str, &str); 3] = [
    // No pair is found: the join answers with nothing for as long as it computes.
    (
        "endless",
        "SELECT count(*) AS n FROM s.numbers AS a JOIN s.numbers AS b ON a.id % 2 = b.id % 2 \
         WHERE a.id + b.id + :more < 0",
    ),
    (
        "nested",
        "SELECT count(*) AS n FROM s.numbers AS a JOIN s.numbers AS b ON a.id + b.id < :more",
    ),
    // All pairs are found, and added up.
    (
        "found",
        "SELECT sum(a.id + :more) AS n FROM s.numbers AS a JOIN s.numbers AS b ON a.id % 2 = b.id % 2",
    ),
];
/// One test at a time: they measure what the process does.
static ALONE: Mutex<()> = Mutex::const_new(());

/// So many numbers, and of them routes: `/one`, which is quick, and those that are endless, with that timeout.
async fn numbers(count: usize, timeout: &str) -> Place {
    let place = Place::new(&[count], &Room::halves(256 * MIB)).await;
    let one = "SELECT id FROM s.numbers WHERE id = :id";
    let id = "    params: [{ name: id, type: int, default: 7 }]\n";
    place.route("one", one, id).await;
    let more = "    params: [{ name: more, type: int, default: 0 }]\n";
    let more = format!("{more}    timeout: {timeout}\n");
    for (name, query) in ENDLESS {
        place.route(name, query, &more).await;
    }
    // The table's rows are held from here on.
    assert_eq!(place.get("/one").await.0, 200);
    place
}

/// How long this process has computed so far.
fn computed() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, behind_name) = stat.rsplit_once(')').unwrap();
    let fields = behind_name.split_whitespace().skip(11).take(2);
    let ticks: u64 = fields.map(|field| field.parse::<u64>().unwrap()).sum();
    // The kernel tells it to programs in hundredths of a second, whatever it counts in.
    Duration::from_millis(ticks * 10)
}

#[tokio::test]
async fn a_query_that_takes_too_long_is_ended() {
    let _alone = ALONE.lock().await;
    let place = numbers(400_000, "500ms").await;
    for (name, _) in ENDLESS {
        let began = Instant::now();
        let (status, body) = place.get(&format!("/{name}")).await;
        let took = began.elapsed();
        assert_eq!(status, 504, "{name}: {body}");
        assert_eq!(body["error"][0]["type"], "/problems/query-timeout");
        assert!(took < Duration::from_secs(2), "{name}: {took:?}");

        tokio::time::sleep(Duration::from_millis(100)).await;
        let before = computed();
        tokio::time::sleep(Duration::from_millis(500)).await;
        let since = computed().saturating_sub(before);
        assert!(
            since < Duration::from_millis(100),
            "{name}: {since:?} since"
        );
        assert_eq!(place.get("/one").await.0, 200);
    }
}

#[tokio::test]
async fn others_are_answered_while_a_query_computes() {
    let _alone = ALONE.lock().await;
    let place = numbers(400_000, "20s").await;
    let one = async {
        // The other one has begun by then.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let began = Instant::now();
        assert_eq!(place.get("/one").await.0, 200);
        began.elapsed()
    };
    tokio::select! {
        (status, body) = place.get("/nested") => panic!("{status}: {body}"),
        took = one => assert!(took < Duration::from_secs(2), "{took:?}"),
    }
}

#[tokio::test]
async fn a_query_without_enough_memory_is_refused_and_leaves_it_to_others() {
    let _alone = ALONE.lock().await;
    let room = Room {
        queries: 4 * MIB,
        rows: 64 * MIB,
    };
    let place = Place::new(&[300_000], &room).await;
    let grouped = "SELECT text, count(*) AS n FROM s.numbers GROUP BY text ORDER BY n DESC, text";
    place.route("grouped", grouped, "").await;
    place
        .route("all", "SELECT id FROM s.numbers ORDER BY id", "")
        .await;
    for _ in 0..3 {
        let answer = place.ask("/grouped").await;
        let text = String::from_utf8_lossy(answer.body()).into_owned();
        assert_eq!(answer.status(), 503, "{text}");
        assert!(text.contains("/problems/out-of-memory"), "{text}");
        assert_eq!(answer.headers()["retry-after"], "1");
        for inside in ["Hash", "Group", "pool", "s.numbers"] {
            assert!(!text.contains(inside), "{text}");
        }
        let (status, body) = place.get("/all?limit=1000").await;
        assert_eq!(status, 200, "{body}");
    }
}

#[tokio::test]
async fn the_one_for_whom_there_is_no_turn_waits_for_three_seconds() {
    let _alone = ALONE.lock().await;
    let place = numbers(50_000, "29s").await;
    let all = join_all((0..QUERIES).map(|_| place.get("/endless")));
    let last = async {
        loop {
            let began = Instant::now();
            let answer = place.ask("/one").await;
            // Until all turns are taken, it has one.
            if answer.status() != 200 {
                return (answer, began.elapsed());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let (answer, took) = tokio::select! {
        answers = all => panic!("{answers:?}"),
        last = last => last,
    };
    let text = String::from_utf8_lossy(answer.body()).into_owned();
    assert_eq!(answer.status(), 503, "{text}");
    assert!(text.contains("/problems/busy"), "{text}");
    assert_eq!(answer.headers()["retry-after"], "1");
    assert!(took >= Duration::from_secs(3), "{took:?}");
    // Where few cores have much to do, it is late; before the others would have ended, all the same.
    assert!(took < Duration::from_secs(25), "{took:?}");
    // Those before it were dropped, and their turns are free.
    assert_eq!(place.get("/one").await.0, 200);
}

#[tokio::test]
async fn a_turn_that_comes_free_in_time_is_taken() {
    let _alone = ALONE.lock().await;
    let place = numbers(50_000, "1s").await;
    let all = join_all((0..QUERIES).map(|_| place.get("/endless")));
    let last = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        place.get("/one").await
    };
    let (all, (status, body)) = tokio::join!(all, last);
    assert_eq!(status, 200, "{body}");
    assert!(all.iter().all(|(status, _)| *status == 504), "{all:?}");
}

#[tokio::test]
async fn rows_and_bytes_have_an_end() {
    let _alone = ALONE.lock().await;
    let place = Place::new(&[20_000], &Room::halves(256 * MIB)).await;
    place
        .route("all", "SELECT id FROM s.numbers ORDER BY id", "")
        .await;
    let wide = "SELECT id, repeat(text, 200) AS wide FROM s.numbers ORDER BY id";
    place.route("wide", wide, "").await;
    let single = "SELECT id, repeat(text, 200000) AS wide FROM s.numbers WHERE id = 5";
    place.route("single", single, "").await;

    let (_, page) = place.get("/all").await;
    assert_eq!(page["data"].as_array().unwrap().len(), 100);
    let (_, page) = place.get("/all?limit=1000").await;
    assert_eq!(page["data"].as_array().unwrap().len(), 1000);
    assert!(page["page"]["next"].is_string());
    for limit in ["1001", "0", "-1", "1e3"] {
        let (status, body) = place.get(&format!("/all?limit={limit}")).await;
        assert_eq!(status, 400, "{limit}: {body}");
    }
    let (status, page) = place.get("/wide?limit=500").await;
    assert_eq!(status, 200, "{page}");
    for (uri, parameter) in [("/wide?limit=1000", "limit"), ("/single", "limit")] {
        let (status, body) = place.get(uri).await;
        assert_eq!(status, 422, "{uri}");
        assert_eq!(body["error"][0]["type"], "/problems/answer-too-large");
        assert_eq!(body["error"][0]["parameter"], parameter);
    }
}

/// Asks over a connection of its own, which stays open until it is dropped.
async fn begin(address: SocketAddr, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// What `/one` answers.
async fn one(address: SocketAddr) -> String {
    let mut answer = String::new();
    let mut stream = begin(address, "/one").await;
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_caller_who_leaves_ends_the_query() {
    let _alone = ALONE.lock().await;
    let place = numbers(50_000, "29s").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, told) = oneshot::channel::<()>();
    let told = async move {
        told.await.ok();
    };
    let server = tokio::spawn(server::run(listener, place.serve.clone(), told));

    let callers = join_all((0..QUERIES).map(|_| begin(address, "/endless"))).await;
    let began = Instant::now();
    // Until all turns are taken, there is one for this.
    while !one(address).await.starts_with("HTTP/1.1 503") {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(callers);
    let answer = one(address).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    // Nothing is left to be finished: else it would take as long as the route allows.
    stop.send(()).unwrap();
    server.await.unwrap().unwrap();
    let took = began.elapsed();
    assert!(took < Duration::from_secs(25), "{took:?}");
}
