//! Cursors over the lake: in the hands of callers whose they are not, and over rows that go away.

#![allow(clippy::unwrap_used, reason = "a test's way to fail")]

mod support;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::Request;
use millrace_serve::Serve;
use millrace_serve_lake::Room;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;
use support::{MIB, Place};

const SECRET: &str = "    auth: { secret_path: aws::secret/consumers }\n    mask: { text: pii }\n";

async fn ask(serve: &Serve, uri: &str, key: &str) -> (u16, Value) {
    let request = Request::get(uri).header("x-api-key", key);
    let answer = serve.handle(request.body(Bytes::new()).unwrap()).await;
    let body = serde_json::from_slice(answer.body()).unwrap();
    (answer.status().as_u16(), body)
}

async fn place() -> Place {
    let place = Place::new(&[1000], &Room::halves(64 * MIB)).await;
    let query = "SELECT id, text FROM s.numbers WHERE id >= :least ORDER BY text DESC";
    let params = "    params: [{ name: least, type: int, default: 0 }]\n";
    for name in ["own", "other"] {
        place.route(name, query, &format!("{params}{SECRET}")).await;
    }
    let sorted = format!("{params}    sort: [id]\n{SECRET}");
    let query = "SELECT id, text FROM s.numbers WHERE id >= :least";
    place.route("sorted", query, &sorted).await;
    place
}

async fn next(place: &Place, uri: &str) -> String {
    let (status, page) = ask(&place.serve, uri, "key-of-ada").await;
    assert_eq!(status, 200, "{page}");
    page["page"]["next"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_cursor_goes_on_for_who_has_it_in_every_process() {
    let place = place().await;
    let cursor = next(&place, "/own?limit=3").await;
    let on = format!("/own?limit=2&cursor={cursor}");
    for serve in [&place.serve, &place.another("sealed")] {
        for key in ["key-of-ada", "second-of-ada"] {
            let (status, page) = ask(serve, &on, key).await;
            assert_eq!(status, 200, "{page}");
            assert_eq!(page["data"][0]["id"], 996, "{page}");
        }
    }
}

#[tokio::test]
async fn rows_that_go_away_between_pages_cost_no_other() {
    let place = Place::new(&[10], &Room::halves(64 * MIB)).await;
    let query = "SELECT id FROM s.numbers ORDER BY id";
    place.route("keyed", query, "").await;
    let query = "SELECT id / 2 AS half FROM s.numbers ORDER BY half";
    place.route("unkeyed", query, "").await;
    let keyed = next(&place, "/keyed?limit=2").await;
    let unkeyed = next(&place, "/unkeyed?limit=3").await;
    // What both pages had goes, and what comes behind them stays.
    place.rewrite(3, 7).await;
    // As long as a new version may stay unseen.
    tokio::time::sleep(Duration::from_millis(1050)).await;
    let on = format!("/keyed?limit=100&cursor={keyed}");
    let (_, page) = ask(&place.serve, &on, "").await;
    let ids: Vec<Value> = (3..10).map(|id| json!({ "id": id })).collect();
    assert_eq!(page["data"], json!(ids));
    let on = format!("/unkeyed?limit=100&cursor={unkeyed}");
    let (_, page) = ask(&place.serve, &on, "").await;
    let halves = page["data"].as_array().unwrap().iter();
    let halves: Vec<i64> = halves.map(|row| row["half"].as_i64().unwrap()).collect();
    assert_eq!(halves, [2, 2, 3, 3, 4, 4]);
}

#[tokio::test]
async fn cursors_are_nobody_elses() {
    let place = place().await;
    let cursor = next(&place, "/own?limit=3").await;
    let on = format!("/own?limit=3&cursor={cursor}");
    let by = next(&place, "/own?limit=3&least=2").await;
    let sorted = next(&place, "/sorted?limit=3&sort=-id").await;
    let of_others = [
        ("key-of-bob", on.clone()),
        ("key-of-eve", on.clone()),
        ("key-of-ada", format!("/other?limit=3&cursor={cursor}")),
        ("key-of-ada", format!("/own?limit=3&cursor={by}")),
        ("key-of-ada", format!("/own?limit=3&least=4&cursor={by}")),
        ("key-of-ada", format!("/sorted?limit=3&cursor={sorted}")),
        ("key-of-ada", format!("/sorted?sort=id&cursor={sorted}")),
    ];
    let bytes = URL_SAFE_NO_PAD.decode(&cursor).unwrap();
    let forged = (0..bytes.len()).map(|at| {
        let mut forged = bytes.clone();
        forged[at] ^= 1 << (at % 8);
        let forged = URL_SAFE_NO_PAD.encode(forged);
        ("key-of-ada", format!("/own?limit=3&cursor={forged}"))
    });
    let cut = (1..bytes.len()).map(|length| {
        let cut = URL_SAFE_NO_PAD.encode(&bytes[..length]);
        ("key-of-ada", format!("/own?limit=3&cursor={cut}"))
    });
    let made_up = ["AA", "%00", "..", "'%20OR%201=1--"];
    let made_up = made_up.map(|text| ("key-of-ada", format!("/own?cursor={text}")));
    let mut bodies = BTreeSet::new();
    for (key, uri) in of_others
        .into_iter()
        .chain(forged)
        .chain(cut)
        .chain(made_up)
    {
        let (status, body) = ask(&place.serve, &uri, key).await;
        assert_eq!(status, 400, "{key} {uri}: {body}");
        assert_eq!(body["error"][0]["parameter"], "cursor", "{uri}: {body}");
        bodies.insert(body.to_string());
    }
    assert_eq!(bodies.len(), 1, "why is not told: {bodies:?}");

    // Of a process with another seal: a secret that was replaced ends all walks, and answers like any forgery.
    let (status, body) = ask(&place.another("another"), &on, "key-of-ada").await;
    assert_eq!(status, 400, "{body}");
    assert!(bodies.contains(&body.to_string()), "{body}");
}

#[tokio::test]
async fn a_masked_column_is_in_no_answer_and_in_no_cursor() {
    let place = place().await;
    let (status, page) = ask(&place.serve, "/own?limit=3", "key-of-eve").await;
    assert_eq!(status, 200, "{page}");
    assert_eq!(page["data"][0]["text"], Value::Null);
    let cursor = page["page"]["next"].as_str().unwrap();
    let bytes = URL_SAFE_NO_PAD.decode(cursor).unwrap();
    let text = format!("{:032}", 997 * 7_919);
    let told = bytes.windows(7).any(|part| text.as_bytes().ends_with(part));
    assert!(!told, "the cursor holds what the caller may not see");
    let on = format!("/own?limit=3&cursor={cursor}");
    let (status, page) = ask(&place.serve, &on, "key-of-eve").await;
    assert_eq!((status, &page["data"][0]["id"]), (200, &Value::from(996)));
}
