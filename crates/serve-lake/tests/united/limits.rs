//! How long answers may take, and how long they may be kept.

use crate::place::{Place, START};
use crate::rows::{MICROS, NAMES, Orders, orders};
use http::Response;
use serde_json::Value;
use std::time::{Duration, Instant};

/// How long a publish may stay unseen.
const SEEN: Duration = Duration::from_millis(1050);

/// So many rows before the boundary beside the others: to look at them all takes time.
fn many(count: i64) -> Orders {
    let mut all = orders();
    let old = (0..count).map(|id| {
        let at = (START - 40 * 86_400 - id) * MICROS;
        ((NAMES[0], 1000 + id), (Some(at), 1))
    });
    all.extend(old);
    all
}

async fn ended(place: &Place, path: &str) {
    let began = Instant::now();
    let (status, body) = place.get(path, "*/*").await;
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(status, 504, "{path}: {body}");
    assert_eq!(body["error"][0]["type"], "/problems/query-timeout");
    let took = began.elapsed();
    assert!(took < Duration::from_secs(3), "{path}: {took:?}");
}

#[tokio::test]
async fn either_half_is_ended_at_the_time_limit_and_leaves_its_connection_to_others() {
    let slow = "SELECT id, name FROM sales.orders \
                WHERE translate(repeat(name, 300), 'aBéz', 'bbbb') = 'none' ORDER BY at DESC";
    let soon = "    timeout: 300ms\n";
    let all = "SELECT id, name FROM sales.orders ORDER BY at DESC NULLS LAST";
    let place = Place::with(&[("slow", slow, soon), ("soon", all, soon)]).await;
    place.put(&many(100_000)).await;
    place.published_at(START).await;
    let owner = place.owner().await;
    for _ in 0..2 {
        // The store's rows are few, and looked at soon; the lake's are many.
        ended(&place, "/both/slow").await;
        assert_eq!(place.get("/both/soon?limit=7", "*/*").await.0, 200);
        // The store's rows cannot be read while somebody else has them all.
        let lock = "BEGIN; LOCK TABLE sales.orders IN ACCESS EXCLUSIVE MODE";
        owner.batch_execute(lock).await.unwrap();
        ended(&place, "/both/soon?limit=7").await;
        ended(&place, "/both/soon?limit=20").await;
        owner.batch_execute("ROLLBACK").await.unwrap();
        let (rows, _) = place.page("/both/soon?limit=20").await;
        assert_eq!(rows.len(), 20);
    }
    let still = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                 AND pid <> pg_backend_pid() AND state <> 'idle'";
    let still: i64 = owner.query_one(still, &[]).await.unwrap().get(0);
    assert_eq!(still, 0);
}

fn header<'a>(answer: &'a Response<bytes::Bytes>, name: &str) -> &'a str {
    answer.headers()[name].to_str().unwrap()
}

#[tokio::test]
async fn a_kept_answer_and_its_tag_are_good_until_the_next_publish() {
    let query = "SELECT id, name, at, weight FROM sales.orders ORDER BY at DESC NULLS LAST";
    let kept = "    caching: { enabled: true, ttl: 30s }\n";
    let place = Place::with(&[("kept", query, kept)]).await;
    let mut orders = orders();
    place.put(&orders).await;
    place.published_at(START).await;
    let owner = place.owner().await;
    // The first page is the store's, the second has rows of both, the third those of the lake alone.
    let (_, second) = place.page("/both/kept?limit=8").await;
    let second = second.unwrap();
    let (_, third) = place.page(&second).await;
    let pages = ["/both/kept?limit=8".to_owned(), second, third.unwrap()];
    let (mut run, mut now) = (String::new(), START);
    // A row that the store has not; one that it has; and none, while the boundary moves on.
    for changed in [Some(("é", 0)), Some(("é", 4)), None] {
        let mut before = Vec::new();
        for page in &pages {
            let answer = place.ask(page, &[], None).await;
            assert_eq!(answer.status(), 200);
            assert_ne!(header(&answer, "x-millrace-run"), run);
            before.push(answer);
        }
        header(&before[0], "x-millrace-run").clone_into(&mut run);
        // Whoever changes a row by hand does not change what is kept.
        let shift = async |by: i32| {
            let update = format!("UPDATE sales.orders SET weight = weight + {by}");
            owner.batch_execute(&update).await.unwrap();
        };
        shift(100).await;
        for (page, answer) in pages.iter().zip(&before) {
            let tag = [("if-none-match", header(answer, "etag"))];
            assert_eq!(place.ask(page, &tag, None).await.status(), 304);
            assert_eq!(place.ask(page, &[], None).await.body(), answer.body());
        }
        shift(-100).await;

        if let Some((name, id)) = changed {
            orders.get_mut(&(name, id)).unwrap().1 += 7;
            place.put(&orders).await;
        }
        now += 3600;
        place.published_at(now).await;
        tokio::time::sleep(SEEN).await;
        for (page, answer) in pages.iter().zip(&before) {
            let tag = [("if-none-match", header(answer, "etag"))];
            let anew = place.ask(page, &tag, None).await;
            assert_eq!(anew.status(), 200, "{page}");
            assert_ne!(header(&anew, "etag"), header(answer, "etag"));
        }
        let found = place.all("/both/kept?limit=8").await;
        assert_eq!(found, place.all("/lake/kept?limit=1000").await);
    }
}
