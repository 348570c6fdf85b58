//! Lookups by key, several on one connection.

#![allow(clippy::unwrap_used, reason = "a test's way to fail")]

mod support;

use bytes::Bytes;
use http::Request;
use millrace_serve::Serve;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};
use support::Place;

const CONNECTIONS: usize = 2;
/// More than there are connections, fewer than are turned away.
const CALLERS: i64 = 48;

async fn place() -> (Place, Arc<Serve>) {
    let place = Place::new().await;
    let rows = "CREATE TABLE s.people (id bigint PRIMARY KEY, name text);
                INSERT INTO s.people SELECT n, 'name ' || n FROM generate_series(1, 10000) AS n";
    place.client.batch_execute(rows).await.unwrap();
    let one = "SELECT id, name FROM s.people WHERE id = :id";
    let id = "    params: [{ name: id, type: int }]\n";
    place.route("one", "/one/{id}", one, id).await;
    let slow = "SELECT count(*) AS n FROM s.people, generate_series(1, 100000) AS a";
    place.route("slow", "/slow", slow, "").await;
    let some = "SELECT count(*) AS n FROM s.people WHERE id < :id";
    place.route("some", "/some/{id}", some, id).await;
    let serve = Arc::new(place.another(CONNECTIONS));
    (place, serve)
}

async fn get(serve: &Serve, uri: &str) -> Value {
    let request = Request::get(uri).body(Bytes::new()).unwrap();
    let response = serve.handle(request).await;
    let body: Value = serde_json::from_slice(response.body()).unwrap();
    assert_eq!(response.status(), 200, "{uri}: {body}");
    body["data"].clone()
}

async fn look_up(serve: &Serve, id: i64) {
    let row = json!([{ "id": id, "name": format!("name {id}") }]);
    assert_eq!(get(serve, &format!("/one/{id}")).await, row);
}

async fn connections(place: &Place) -> i64 {
    let admin = millrace_postgres::Credentials {
        dbname: place.owner.dbname.clone(),
        ..place.server.admin()
    };
    let admin = millrace_postgres::connect(&admin, "test").await.unwrap();
    let count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'millrace serve'
                 AND datname = current_database()";
    admin.query_one(count, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn each_caller_has_its_own_row_whoever_leaves() {
    let (place, serve) = place().await;
    look_up(&serve, 1).await;
    let callers = (0..CALLERS).map(|caller| {
        let serve = serve.clone();
        tokio::spawn(async move {
            for round in 0..60 {
                let id = (caller * 60 + round) % 10_000 + 1;
                let patience = match (caller + round) % 5 {
                    0 => Duration::from_micros((id % 7) as u64 * 100),
                    _ => Duration::from_secs(30),
                };
                // Some leave while they wait.
                tokio::time::timeout(patience, look_up(&serve, id))
                    .await
                    .ok();
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
    assert!(connections(&place).await <= CONNECTIONS as i64);
    assert_eq!(get(&serve, "/some/11").await, json!([{ "n": 10 }]));
}

#[tokio::test]
async fn a_slow_query_is_in_no_lookups_way_and_lookups_in_nobodys() {
    let (_place, serve) = place().await;
    look_up(&serve, 1).await;
    let slow_one = tokio::spawn({
        let serve = serve.clone();
        async move { get(&serve, "/slow").await }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let stop = Arc::new(AtomicBool::new(false));
    let callers = (1..=CALLERS / 2).map(|caller| {
        let (serve, stop) = (serve.clone(), stop.clone());
        tokio::spawn(async move {
            let mut looked_up = 0;
            while !stop.load(Relaxed) {
                look_up(&serve, caller).await;
                looked_up += 1;
            }
            looked_up
        })
    });
    let callers: Vec<_> = callers.collect();
    // All lookups are on the one connection that is left; it is given to who waits for it all the same.
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let asked = Instant::now();
        assert_eq!(get(&serve, "/some/101").await, json!([{ "n": 100 }]));
        assert!(asked.elapsed() < Duration::from_secs(2));
    }
    assert!(
        !slow_one.is_finished(),
        "the slow query was too quick to tell"
    );
    stop.store(true, Relaxed);
    let mut looked_up = 0;
    for caller in callers {
        looked_up += caller.await.unwrap();
    }
    assert!(looked_up > CALLERS, "{looked_up}");
    slow_one.abort();
}
