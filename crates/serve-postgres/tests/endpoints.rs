//! The endpoints' HTTP interface, against PostgreSQL itself.

#![allow(clippy::unwrap_used, reason = "a test's way to fail")]

mod support;

use bytes::Bytes;
use http::{Method, Request};
use serde_json::{Value, json};
use support::Place;

const QUAKES: &str = "
    CREATE TABLE s.quakes (
        id text PRIMARY KEY, magnitude double precision, occurred_at timestamptz, place text, depth numeric(10,3),
        felt bigint, day date, tsunami boolean, raw jsonb
    );
    INSERT INTO s.quakes VALUES
        ('a', 5.5, '2026-01-02T03:04:05.678Z', E'it''s \"here\"\\n', 10.125, 12345678901234, '2026-01-02', true, '{\"x\": 1}'),
        ('b', 6, '2026-01-03T00:00:00Z', NULL, NULL, NULL, NULL, false, NULL),
        ('c', 'NaN', '1969-12-31T23:59:59.999999Z', '', -0.001, -1, '1900-02-28', NULL, '[]');";

const PARAMS: &str = "    params: [{ name: min_magnitude, type: double, default: 5, max: 11 }, { name: place, type: string }]\n";

async fn quakes() -> Place {
    let place = Place::new().await;
    place.client.batch_execute(QUAKES).await.unwrap();
    let query = "SELECT id, magnitude, occurred_at, place, depth, felt, day, tsunami, raw FROM s.quakes \
                 WHERE magnitude >= :min_magnitude AND (:place IS NULL OR place = :place) ORDER BY occurred_at DESC";
    place.route("quakes", "/quakes", query, PARAMS).await;
    place
}

#[tokio::test]
async fn rows_come_by_their_types() {
    let place = quakes().await;
    let (status, body) = place.get("/quakes").await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(
        body,
        json!({
            "data": [
                { "id": "b", "magnitude": 6.0, "occurred_at": "2026-01-03T00:00:00Z", "place": null, "depth": null,
                  "felt": null, "day": null, "tsunami": false, "raw": null },
                { "id": "a", "magnitude": 5.5, "occurred_at": "2026-01-02T03:04:05.678Z", "place": "it's \"here\"\n",
                  "depth": 10.125, "felt": 12_345_678_901_234_i64, "day": "2026-01-02", "tsunami": true, "raw": { "x": 1 } },
                { "id": "c", "magnitude": null, "occurred_at": "1969-12-31T23:59:59.999999Z", "place": "", "depth": -0.001,
                  "felt": -1, "day": "1900-02-28", "tsunami": null, "raw": [] },
            ],
            "error": [],
            "page": { "next": null },
        })
    );
}

#[tokio::test]
async fn what_is_sent_is_data() {
    let place = quakes().await;
    for text in [
        "'; DROP TABLE s.quakes; --",
        "it's \"here\"\n",
        "\\",
        "$1",
        "%",
        "' OR '1'='1",
        "日本",
    ] {
        let encoded: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
        let (status, body) = place.get(&format!("/quakes?place={encoded}")).await;
        assert_eq!(status, 200, "{body}");
        let expected = usize::from(text.starts_with("it's"));
        assert_eq!(body["data"].as_array().unwrap().len(), expected, "{text}");
    }
    for uri in [
        "/quakes?min_magnitude=5;DROP",
        "/quakes?min_magnitude=%27;drop%20table",
    ] {
        let (status, body) = place.get(uri).await;
        assert_eq!(
            (status, &body["error"][0]["parameter"]),
            (400, &json!("min_magnitude"))
        );
    }
    assert_eq!(
        place.get("/quakes").await.1["data"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
}

#[tokio::test]
async fn errors_come_in_the_envelope() {
    let place = quakes().await;
    for (uri, status, kind, text) in [
        (
            "/quakes?min_magnitude=abc",
            400,
            "/problems/bad-parameter",
            "`min_magnitude` must be a number such as `4.5`, not `abc`",
        ),
        (
            "/quakes?min_magnitude=12",
            400,
            "/problems/bad-parameter",
            "at most 11",
        ),
        (
            "/quakes?min_magnitud=1",
            400,
            "/problems/bad-parameter",
            "did you mean `min_magnitude`",
        ),
        (
            "/quakes?limit=0",
            400,
            "/problems/bad-parameter",
            "from 1 to 1000",
        ),
        (
            "/quakes?cursor=abc",
            400,
            "/problems/bad-parameter",
            "does not belong to this request",
        ),
        ("/nowhere", 404, "/problems/not-found", "`/nowhere`"),
        ("/", 404, "/problems/not-found", "`/`"),
    ] {
        let (found, body) = place.get(uri).await;
        assert_eq!(found, status, "{uri}: {body}");
        assert_eq!(body["data"], json!([]));
        assert!(body.get("page").is_none());
        let problem = &body["error"][0];
        assert_eq!(
            (&problem["type"], &problem["status"]),
            (&json!(kind), &json!(status))
        );
        assert!(
            problem["detail"].as_str().unwrap().contains(text),
            "{problem}"
        );
    }
}

#[tokio::test]
async fn methods_are_told() {
    let place = quakes().await;
    let send = |method: Method| {
        place.send(
            Request::builder()
                .method(method)
                .uri("/quakes")
                .body(Bytes::new())
                .unwrap(),
        )
    };
    let response = send(Method::POST).await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["allow"]),
        (405, &"GET, HEAD, OPTIONS".parse().unwrap())
    );
    let response = send(Method::OPTIONS).await;
    assert_eq!(
        (response.status().as_u16(), response.body().len()),
        (204, 0)
    );
    assert!(response.headers().contains_key("allow"));
    let response = send(Method::HEAD).await;
    assert_eq!(
        (response.status().as_u16(), response.body().len()),
        (200, 0)
    );
    let length: usize = response.headers()["content-length"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(length, send(Method::GET).await.body().len());
    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
    assert_eq!(response.headers()["cache-control"], "no-store");
}

#[tokio::test]
async fn keys_open_routes() {
    let place = quakes().await;
    let more = "    auth: { secret_path: aws::secret/millrace/consumers }\n    caching: { enabled: true, ttl: 30s }\n";
    place
        .route(
            "locked",
            "/locked",
            "SELECT id FROM s.quakes ORDER BY id",
            more,
        )
        .await;
    let send = |header: Option<(&'static str, &'static str)>| {
        let mut request = Request::get("/locked");
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        place.send(request.body(Bytes::new()).unwrap())
    };
    let response = send(None).await;
    assert_eq!(response.status(), 401);
    assert!(response.headers().contains_key("www-authenticate"));
    assert_eq!(
        send(Some(("x-api-key", "key-of-dashboar"))).await.status(),
        403
    );
    assert_eq!(
        send(Some(("authorization", "Bearer another")))
            .await
            .status(),
        403
    );
    assert_eq!(
        send(Some(("authorization", "Bearer key-of-dashboard")))
            .await
            .status(),
        200
    );
    let response = send(Some(("x-api-key", "key-of-dashboard"))).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["cache-control"], "private, max-age=30");
}

#[tokio::test]
async fn a_slow_query_is_ended_and_leaves_the_connection() {
    let place = Place::new().await;
    place
        .client
        .batch_execute("CREATE TABLE s.one AS SELECT 1 AS x")
        .await
        .unwrap();
    let slow = "SELECT count(*) AS n FROM s.one, generate_series(1, 1000000000) AS a";
    place
        .route("slow", "/slow", slow, "    timeout: 200ms\n")
        .await;
    place
        .route(
            "quick",
            "/quick",
            "SELECT x FROM s.one",
            "    timeout: 5s\n",
        )
        .await;
    for _ in 0..3 {
        let started = std::time::Instant::now();
        let (status, body) = place.get("/slow").await;
        assert_eq!(status, 504, "{body}");
        assert!(started.elapsed() < std::time::Duration::from_secs(2));
        assert!(
            body["error"][0]["detail"]
                .as_str()
                .unwrap()
                .contains("200 ms"),
            "{body}"
        );
        assert_eq!(place.get("/quick").await.1["data"], json!([{ "x": 1 }]));
    }
    let connections = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'millrace serve' \
                       AND datname = current_database()";
    let admin = millrace_postgres::Credentials {
        dbname: place.owner.dbname.clone(),
        ..place.server.admin()
    };
    let admin = millrace_postgres::connect(&admin, "test").await.unwrap();
    assert_eq!(
        admin
            .query_one(connections, &[])
            .await
            .unwrap()
            .get::<_, i64>(0),
        1
    );
}

#[tokio::test]
async fn definitions_are_read_again() {
    let place = quakes().await;
    assert_eq!(place.get("/quakes").await.0, 200);
    place
        .route("other", "/other", "SELECT id FROM s.quakes ORDER BY id", "")
        .await;
    let key = millrace_model::keys::definition("endpoint", "quakes");
    place
        .objects
        .put(&key, Bytes::from("metadata: ["))
        .await
        .unwrap();
    assert_eq!(
        place.get("/other").await.0,
        404,
        "the last look was just now"
    );
    tokio::time::sleep(std::time::Duration::from_millis(10_100)).await;
    assert_eq!(place.get("/other").await.0, 200);
    assert_eq!(
        place.get("/quakes").await.0,
        200,
        "a broken definition leaves what was there"
    );
    place.objects.delete(&key).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(10_100)).await;
    assert_eq!(place.get("/quakes").await.0, 404);
}

#[tokio::test]
async fn a_table_that_was_replaced_is_read_anew() {
    let place = Place::new().await;
    place
        .route("t", "/t", "SELECT id FROM s.t ORDER BY id", "")
        .await;
    place
        .route("all", "/all", "SELECT * FROM s.t ORDER BY id", "")
        .await;
    let (status, body) = place.get("/t").await;
    assert_eq!(
        (status, &body["error"][0]["type"]),
        (503, &json!("/problems/not-published"))
    );
    place
        .client
        .batch_execute("CREATE TABLE s.t AS SELECT 1::bigint AS id")
        .await
        .unwrap();
    assert_eq!(place.get("/t").await.1["data"], json!([{ "id": 1 }]));
    assert_eq!(place.get("/all").await.1["data"], json!([{ "id": 1 }]));
    let swap = "BEGIN; DROP TABLE s.t; CREATE TABLE s.t AS SELECT '2' AS id, 'x' AS name; COMMIT";
    place.client.batch_execute(swap).await.unwrap();
    assert_eq!(place.get("/t").await.1["data"], json!([{ "id": "2" }]));
    assert_eq!(
        place.get("/all").await.1["data"],
        json!([{ "id": "2", "name": "x" }])
    );
    let more = "ALTER TABLE s.t ADD COLUMN more bigint";
    place.client.batch_execute(more).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(10_100)).await;
    assert_eq!(
        place.get("/all").await.1["data"],
        json!([{ "id": "2", "name": "x", "more": null }])
    );
}

#[tokio::test]
async fn a_rotated_password_is_read_again() {
    let place = quakes().await;
    assert_eq!(place.get("/quakes").await.0, 200);
    let admin = millrace_postgres::connect(&place.server.admin(), "test")
        .await
        .unwrap();
    let role = millrace_postgres::sql::identifier(&place.reader.username);
    admin
        .batch_execute(&format!("ALTER ROLE {role} PASSWORD 'another'"))
        .await
        .unwrap();
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1";
    admin.execute(end, &[&place.reader.username]).await.unwrap();
    assert_eq!(
        place.get("/quakes").await.0,
        503,
        "nobody told it the new one yet"
    );
    place.secrets(
        &place
            .reader
            .with_role(&place.reader.username, "another")
            .to_secret(),
    );
    assert_eq!(place.get("/quakes").await.0, 200);
}

#[tokio::test]
async fn a_store_that_is_down_is_told() {
    let place = quakes().await;
    let gone = millrace_postgres::Credentials {
        port: 1,
        ..place.reader.clone()
    };
    place.secrets(&gone.to_secret());
    let response = place
        .send(Request::get("/quakes").body(Bytes::new()).unwrap())
        .await;
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "5");
    assert!(!String::from_utf8_lossy(response.body()).contains("127.0.0.1"));
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_refused() {
    let place = Place::new().await;
    let rows = "CREATE TABLE s.big AS SELECT id, repeat('x', 20000) AS t FROM generate_series(1, 1000) AS id";
    place.client.batch_execute(rows).await.unwrap();
    place
        .route("big", "/big", "SELECT id, t FROM s.big ORDER BY id", "")
        .await;
    let (status, body) = place.get("/big?limit=1000").await;
    assert_eq!(status, 422, "{body}");
    assert_eq!(body["error"][0]["parameter"], "limit");
    assert_eq!(place.get("/big?limit=200").await.0, 200);
    assert_eq!(place.pages("/big", 200).await.len(), 1000);
}

#[tokio::test]
async fn the_contract_is_public_and_typed() {
    let place = quakes().await;
    place.route("locked", "/quakes/{id}", "SELECT id, felt FROM s.quakes WHERE id = :id",
        "    params: [{ name: id, type: string, required: true }]\n    auth: { secret_path: aws::secret/millrace/consumers }\n").await;
    let (status, api) = place.get("/openapi.json").await;
    assert_eq!(status, 200);
    assert_eq!(api["openapi"], "3.1.0");
    let get = &api["paths"]["/quakes"]["get"];
    let row = &get["responses"]["200"]["content"]["application/json"]["schema"]["properties"]["data"]
        ["items"]["properties"];
    assert_eq!(row["magnitude"]["type"], json!(["number", "null"]));
    assert_eq!(row["occurred_at"]["format"], "date-time");
    let names: Vec<&Value> = get["parameters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["name"])
        .collect();
    assert_eq!(names, ["min_magnitude", "place", "limit", "cursor"]);
    let locked = &api["paths"]["/quakes/{id}"]["get"];
    assert_eq!(locked["parameters"][0]["in"], "path");
    assert!(locked["security"][0]["key"].is_array());
    let docs = place
        .send(Request::get("/docs").body(Bytes::new()).unwrap())
        .await;
    assert_eq!(docs.status(), 200);
    let page = String::from_utf8_lossy(docs.body());
    assert!(page.contains("SwaggerUIBundle({"), "the viewer begins");
    // The page needs nobody else.
    let policy = docs.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'none'; connect-src 'self'; script-src 'sha256-"));
}
