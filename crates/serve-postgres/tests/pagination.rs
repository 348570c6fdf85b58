//! Pages add up to the whole answer, whatever its order leaves equal.

#![allow(clippy::unwrap_used, reason = "a test's way to fail")]

mod support;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use support::Place;

/// Ways to order, each with what the answer's rows are.
const QUERIES: [(&str, &str); 12] = [
    ("keyed", "SELECT id, a, b FROM s.rows ORDER BY a DESC"),
    ("keyed_up", "SELECT id, a, b FROM s.rows ORDER BY a, b DESC"),
    (
        "nulls_last",
        "SELECT id, a, b FROM s.rows ORDER BY a DESC NULLS LAST, b NULLS FIRST",
    ),
    ("unordered", "SELECT id, b FROM s.rows"),
    ("no_key", "SELECT a, b FROM s.rows ORDER BY b"),
    ("one_column", "SELECT a FROM s.rows ORDER BY a"),
    (
        "hidden",
        "SELECT a, b FROM s.rows ORDER BY lower(b) DESC, n",
    ),
    (
        "numbers",
        "SELECT n, f, j FROM s.rows ORDER BY n NULLS FIRST",
    ),
    ("doubles", "SELECT f FROM s.rows ORDER BY f DESC"),
    (
        "grouped",
        "SELECT a, count(*) AS many, max(n) AS most FROM s.rows GROUP BY a ORDER BY many DESC",
    ),
    (
        "union",
        "SELECT a, b FROM s.rows UNION ALL SELECT a, b FROM s.rows ORDER BY b",
    ),
    (
        "joined",
        "SELECT l.a, r.b FROM s.rows AS l LEFT JOIN s.rows AS r ON l.a = r.id AND r.a = 1 ORDER BY r.b",
    ),
];

type Row = (Option<i32>, Option<String>, Option<i32>, Option<u8>);

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let row = (
        prop::option::of(0..3),
        prop::option::of("[aAb]{0,1}"),
        prop::option::of(0..3),
        prop::option::of(0u8..5),
    );
    prop::collection::vec(row, 0..25)
}

fn sorted(mut rows: Vec<Value>) -> Vec<String> {
    let mut texts: Vec<String> = rows.drain(..).map(|row| row.to_string()).collect();
    texts.sort();
    texts
}

#[test]
fn pages_add_up_to_the_whole() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let place = runtime.block_on(async {
        let place = Place::new().await;
        place
            .client
            .batch_execute(
                "CREATE TABLE s.rows (id bigint PRIMARY KEY, a bigint, b text, n numeric, f double precision, j json);
                 CREATE INDEX ON s.rows (a, id);",
            )
            .await
            .unwrap();
        for (name, query) in QUERIES {
            place.route(name, &format!("/{name}"), query, "").await;
        }
        place
    });
    let mut runner = TestRunner::new(Config {
        cases: 24,
        failure_persistence: None,
        ..Config::default()
    });
    runner
        .run(&(rows(), 1usize..9), |(rows, limit)| {
            runtime.block_on(async {
                place.client.execute("TRUNCATE s.rows", &[]).await.unwrap();
                for (id, (a, b, n, f)) in rows.iter().enumerate() {
                    // Numbers that are equal and written otherwise, and doubles that are no numbers.
                    let number = n.map(|n| if id % 2 == 0 { format!("{n}.0") } else { format!("{n}.00") });
                    let double = f.map(|f| ["NaN", "Infinity", "-0", "0", "1.5"][usize::from(f)]);
                    let json = b.as_ref().map(|b| json!([b]).to_string());
                    let insert = "INSERT INTO s.rows VALUES ($1, $2, $3, $4::text::numeric, $5::text::float8, $6::text::json)";
                    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
                        [&(id as i64), &a.map(i64::from), b, &number, &double, &json];
                    place.client.execute(insert, &values).await.unwrap();
                }
                for (name, query) in QUERIES {
                    let whole = place.pages(&format!("/{name}"), 1000).await;
                    let paged = place.pages(&format!("/{name}"), limit).await;
                    prop_assert_eq!(&paged, &whole, "{} by {}", name, limit);
                    // The whole is what PostgreSQL itself answers: as many rows, and the same ones.
                    let (columns, _) = query.split_once(" FROM ").unwrap();
                    let count = format!("SELECT count(*) FROM ({query}) AS q");
                    let count: i64 = place.client.query_one(&count, &[]).await.unwrap().get(0);
                    prop_assert_eq!(whole.len() as i64, count, "{}", columns);
                    if name == "keyed" {
                        let ids = |rows: &[Value]| sorted(rows.iter().map(|row| row["id"].clone()).collect());
                        prop_assert_eq!(ids(&whole), sorted((0..rows.len()).map(|id| json!(id)).collect()));
                    }
                }
                Ok(())
            })
        })
        .unwrap();
}

#[tokio::test]
async fn rows_that_go_away_between_pages_cost_no_other() {
    let place = Place::new().await;
    let table = "CREATE TABLE s.rows (id bigint PRIMARY KEY, a bigint)";
    place.client.batch_execute(table).await.unwrap();
    let queries = [
        ("keyed", "SELECT id, a FROM s.rows ORDER BY a"),
        ("no_key", "SELECT a FROM s.rows ORDER BY a"),
        (
            "joined",
            "SELECT l.a FROM s.rows AS l JOIN s.rows AS r ON l.id = r.id ORDER BY l.a",
        ),
        (
            "grouped",
            "SELECT a, count(*) > 0 AS there FROM s.rows GROUP BY a ORDER BY a",
        ),
    ];
    for (name, query) in queries {
        place.route(name, &format!("/{name}"), query, "").await;
    }
    for (name, _) in queries {
        for limit in [1, 2, 3, 5] {
            let fill = "TRUNCATE s.rows; INSERT INTO s.rows SELECT id, id / 3 FROM generate_series(0, 29) AS id";
            place.client.batch_execute(fill).await.unwrap();
            let (mut had, mut cursor) = (Vec::new(), String::new());
            loop {
                let uri = format!("/{name}?limit={limit}{cursor}");
                let (status, body) = place.get(&uri).await;
                assert_eq!(status, 200, "{body}");
                let rows = body["data"].as_array().unwrap();
                had.extend(rows.iter().map(|row| row["a"].as_i64().unwrap()));
                let Some(next) = body["page"]["next"].as_str() else {
                    break;
                };
                cursor = format!("&cursor={next}");
                // The page's last row goes, and others before it.
                let gone = "DELETE FROM s.rows WHERE a < $1 OR id = (SELECT min(id) FROM s.rows WHERE a = $1)";
                place
                    .client
                    .execute(gone, &[had.last().unwrap()])
                    .await
                    .unwrap();
            }
            let once: std::collections::BTreeSet<i64> = had.iter().copied().collect();
            assert!(once.into_iter().eq(0..10), "{name} by {limit}: {had:?}");
            assert!(had.is_sorted(), "{name} by {limit}: {had:?}");
        }
    }
}

#[tokio::test]
async fn the_order_is_the_querys() {
    let place = Place::new().await;
    place
        .client
        .batch_execute("CREATE TABLE s.t AS SELECT x, CASE WHEN x % 3 > 0 THEN x % 5 END AS k FROM generate_series(1, 40) AS x")
        .await
        .unwrap();
    let orders = [
        ("asc", "k, x DESC"),
        ("desc", "k DESC, x"),
        ("first", "k NULLS FIRST, x"),
        ("last", "k DESC NULLS LAST, x"),
    ];
    let query = |order: &str| format!("SELECT x, k FROM s.t ORDER BY {order}");
    // Before the first is asked for: definitions that come behind that are not there for ten seconds.
    for (name, order) in orders {
        let path = format!("/{name}");
        place.route(name, &path, &query(order), "").await;
    }
    for (name, order) in orders {
        let expected = place.client.query(&query(order), &[]).await.unwrap();
        let expected: Vec<i32> = expected.iter().map(|row| row.get(0)).collect();
        let paged = place.pages(&format!("/{name}"), 7).await;
        let x = |row: &Value| row["x"].as_i64().unwrap() as i32;
        let paged: Vec<i32> = paged.iter().map(x).collect();
        assert_eq!(paged, expected, "{name}");
    }
}

#[tokio::test]
async fn a_cursor_of_another_request_is_refused() {
    let place = Place::new().await;
    place
        .client
        .batch_execute("CREATE TABLE s.t AS SELECT generate_series(1, 9)::bigint AS x")
        .await
        .unwrap();
    let params = "    params: [{ name: least, type: int, default: 0 }]\n";
    place
        .route(
            "one",
            "/one",
            "SELECT x FROM s.t WHERE x >= :least ORDER BY x",
            params,
        )
        .await;
    place
        .route(
            "two",
            "/two",
            "SELECT x FROM s.t WHERE x >= :least ORDER BY x DESC",
            params,
        )
        .await;
    let (_, body) = place.get("/one?limit=2").await;
    let next = body["page"]["next"].as_str().unwrap();
    assert_eq!(
        place.get(&format!("/one?limit=3&cursor={next}")).await.1["data"],
        json!([{"x": 3}, {"x": 4}, {"x": 5}])
    );
    for uri in ["/two?", "/one?least=1&", "/one?cursorr=1&"] {
        let (status, body) = place.get(&format!("{uri}cursor={next}")).await;
        assert_eq!(status, 400, "{body}");
    }
    // Any change to its text, too.
    for at in 0..next.len() {
        let mut changed = next.to_owned().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        let (status, body) = place.get(&format!("/one?cursor={changed}")).await;
        assert!(status == 400 || status == 200, "{status}: {body}");
    }
}

#[tokio::test]
async fn long_keys_fall_back_to_counting() {
    let place = Place::new().await;
    let rows = "CREATE TABLE s.t AS SELECT repeat(chr(97 + x % 3), 3000) AS t, x FROM generate_series(1, 20) AS x";
    place.client.batch_execute(rows).await.unwrap();
    place
        .route("t", "/t", "SELECT t, x FROM s.t ORDER BY t", "")
        .await;
    let paged = place.pages("/t", 3).await;
    assert_eq!(paged, place.pages("/t", 1000).await);
    let (_, body) = place.get("/t?limit=3").await;
    assert!(body["page"]["next"].as_str().unwrap().len() < 100);
}
