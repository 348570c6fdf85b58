//! What an answer says about itself, in which forms it comes, and who gets it.

#![allow(clippy::unwrap_used, reason = "a test's way to fail")]

mod support;

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Decimal128Type, Int64Type, TimestampMicrosecondType};
use arrow_ipc::reader::StreamReader;
use bytes::Bytes;
use http::{Request, Response};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};
use std::time::Duration;
use support::Place;

/// A published table, as publish leaves it.
async fn published() -> Place {
    let place = Place::new().await;
    let rows = "
        CREATE TABLE s.people (id bigint PRIMARY KEY, name text, email text, tenant text);
        INSERT INTO s.people SELECT n, 'name ' || n, n || '@example.org', CASE WHEN n % 2 = 0 THEN 'even' ELSE 'odd' END
        FROM generate_series(1, 6) AS n;";
    place.client.batch_execute(rows).await.unwrap();
    publish(&place, 1).await;
    place
}

async fn publish(place: &Place, version: i64) {
    place
        .client
        .execute(
            "INSERT INTO millrace.published (schema, relation, source, version, files, layout, run)
             VALUES ('s', 'people', 'tables/p/people', $1, 'f', 'l', 'people-1')
             ON CONFLICT (schema, relation) DO UPDATE SET version = EXCLUDED.version, published_at = now()",
            &[&version],
        )
        .await
        .unwrap();
}

async fn get(place: &Place, uri: &str, headers: &[(&str, &str)]) -> Response<Bytes> {
    let mut request = Request::get(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    place.send(request.body(Bytes::new()).unwrap()).await
}

fn header<'a>(response: &'a Response<Bytes>, name: &str) -> &'a str {
    response
        .headers()
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

fn rows(response: &Response<Bytes>) -> Vec<Value> {
    let body: Value = serde_json::from_slice(response.body()).unwrap();
    body["data"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_caller_who_has_the_answer_is_told_so_until_it_is_published_anew() {
    let place = published().await;
    let more = "    params: [{ name: least, type: int, default: 5 }]\n    caching: { enabled: true, ttl: 30s, stale: 60s }\n";
    let query = "SELECT id, name FROM s.people WHERE id >= :least ORDER BY id";
    place.route("people", "/people", query, more).await;
    let unsteady = "SELECT id FROM s.people WHERE now() > '2000-01-01' ORDER BY id";
    place.route("unsteady", "/unsteady", unsteady, "").await;

    let first = get(&place, "/people", &[]).await;
    let etag = header(&first, "etag").to_owned();
    assert!(etag.starts_with("W/\""), "{etag}");
    assert_eq!(
        header(&first, "cache-control"),
        "private, max-age=30, stale-while-revalidate=60"
    );
    assert_eq!(header(&first, "x-millrace-run"), "people-1");
    assert!(header(&first, "x-millrace-as-of").ends_with('Z'));
    let again = get(&place, "/people", &[("if-none-match", &etag)]).await;
    assert_eq!((again.status().as_u16(), again.body().len()), (304, 0));
    assert_eq!(header(&again, "etag"), etag);
    for other in ["/people?least=4", "/people?limit=1"] {
        assert_ne!(
            header(&get(&place, other, &[]).await, "etag"),
            etag,
            "{other}"
        );
    }
    assert_eq!(header(&get(&place, "/unsteady", &[]).await, "etag"), "");

    // Rows that change without a publish are not seen while the answer may be kept; with one, they are within a second.
    place
        .client
        .batch_execute("DELETE FROM s.people WHERE id = 6")
        .await
        .unwrap();
    assert_eq!(rows(&get(&place, "/people", &[]).await).len(), 2);
    publish(&place, 2).await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let fresh = get(&place, "/people", &[("if-none-match", &etag)]).await;
    assert_eq!((fresh.status().as_u16(), rows(&fresh).len()), (200, 1));
    assert_ne!(header(&fresh, "etag"), etag);
}

#[tokio::test]
async fn rows_come_in_the_form_that_is_asked_for() {
    let place = published().await;
    let query = "SELECT id, name || ', \"' || id || '\"' AS name, NULL::text AS none FROM s.people ORDER BY id";
    place.route("people", "/people", query, "").await;
    let csv = get(&place, "/people?limit=2", &[("accept", "text/csv")]).await;
    assert_eq!(
        header(&csv, "content-type"),
        "text/csv; charset=utf-8; header=present"
    );
    let text = String::from_utf8(csv.body().to_vec()).unwrap();
    assert_eq!(
        text,
        "id,name,none\r\n1,\"name 1, \"\"1\"\"\",\r\n2,\"name 2, \"\"2\"\"\",\r\n"
    );
    let next = header(&csv, "x-millrace-next");
    let uri = format!("/people?limit=5&cursor={next}");
    let lines = get(&place, &uri, &[("accept", "application/x-ndjson")]).await;
    let text = String::from_utf8(lines.body().to_vec()).unwrap();
    let ids: Vec<i64> = text
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["id"]
                .as_i64()
                .unwrap()
        })
        .collect();
    assert_eq!(ids, [3, 4, 5, 6]);
    assert_eq!(header(&lines, "x-millrace-next"), "");
    let refused = get(&place, "/people", &[("accept", "application/xml")]).await;
    assert_eq!(
        (refused.status().as_u16(), header(&refused, "content-type")),
        (406, "application/json")
    );
}

const ARROW: &str = "application/vnd.apache.arrow.stream";
const PARQUET: &str = "application/vnd.apache.parquet";

#[tokio::test]
async fn columns_keep_their_types_where_the_form_has_them() {
    let place = Place::new().await;
    let orders = "
        CREATE TABLE s.orders (id bigint PRIMARY KEY, amount numeric(12, 2), ratio numeric, at timestamptz, day date,
            tags text[], raw jsonb, \"of\" uuid, grid int[]);
        INSERT INTO s.orders VALUES
            (1, -12.5, 0.333333333333333333333, '2026-11-21T08:00:00.000001Z', '1969-12-31', '{a,NULL}', '{\"a\": 1}',
             '67e55044-10b1-426f-9247-bb680e5fe0c8', '{1,2}'),
            (2, NULL, 'NaN', 'infinity', '-infinity', NULL, NULL, NULL, NULL),
            (3, 0, 1, now(), now(), '{}', 'null', NULL, '{{1,2},{3,4}}');";
    place.client.batch_execute(orders).await.unwrap();
    let all = "SELECT id, amount, ratio, at, day, tags, raw, \"of\" FROM s.orders ORDER BY id";
    place.route("orders", "/orders", all, "").await;
    let grid = "SELECT id, grid FROM s.orders ORDER BY id";
    place.route("grids", "/grids", grid, "").await;

    let stream = get(&place, "/orders?limit=2", &[("accept", ARROW)]).await;
    assert_eq!(header(&stream, "content-type"), ARROW);
    let mut stream_reader = StreamReader::try_new(stream.body().as_ref(), None).unwrap();
    let batch = stream_reader.next().unwrap().unwrap();
    let types: Vec<String> = batch
        .schema()
        .fields()
        .iter()
        .map(|field| field.data_type().to_string())
        .collect();
    assert_eq!(
        types,
        [
            "Int64",
            "Decimal128(12, 2)",
            "Utf8",
            "Timestamp(µs, \"UTC\")",
            "Date32",
            "List(Utf8)",
            "Utf8",
            "Utf8"
        ]
    );
    let nulls: Vec<usize> = batch.columns().iter().map(Array::null_count).collect();
    assert_eq!(nulls, [0, 1, 1, 1, 1, 1, 1, 1]);
    let amounts = batch.column(1).as_primitive::<Decimal128Type>();
    assert_eq!(amounts.value_as_string(0), "-12.50");
    assert_eq!(
        batch.column(2).as_string::<i32>().value(0),
        "0.333333333333333333333"
    );
    let moments = batch.column(3).as_primitive::<TimestampMicrosecondType>();
    assert_eq!(moments.value(0), 1_795_248_000_000_001);
    assert_eq!(batch.column(4).as_primitive::<Date32Type>().value(0), -1);

    let next = header(&stream, "x-millrace-next");
    let uri = format!("/orders?cursor={next}");
    let rest = get(&place, &uri, &[("accept", PARQUET)]).await;
    let file = ParquetRecordBatchReaderBuilder::try_new(rest.body().clone()).unwrap();
    let batch = file.build().unwrap().next().unwrap().unwrap();
    assert_eq!(batch.column(0).as_primitive::<Int64Type>().values(), &[3]);
    assert_eq!(batch.num_columns(), 8);

    // A list of lists has no column; where there is none, its column is there all the same.
    let first = get(&place, "/grids?limit=1", &[("accept", ARROW)]).await;
    assert_eq!(first.status().as_u16(), 200);
    let nested = get(&place, "/grids", &[("accept", ARROW)]).await;
    assert_eq!(nested.status().as_u16(), 500);
    assert_eq!(rows(&get(&place, "/grids", &[]).await).len(), 3);
}

const SECRETS: &str = r#"{ "ada": { "keys": ["key-of-ada", { "key": "old-key-of-ada", "expires": "2020-01-01" }],
      "scopes": ["people:read", "pii"], "claims": { "tenant": "even" } },
    "bob": { "keys": "key-of-bob", "scopes": ["people:read"], "claims": { "tenant": "odd" } },
    "eve": { "keys": "key-of-eve", "claims": { "tenant": "odd" } },
    "joe": { "keys": "key-of-joe", "scopes": ["people:read"] } }"#;

const OWN: &str = "    auth: { secret_path: aws::secret/millrace/tenants }
    scopes: [people:read]
    mask: { email: pii }
    params: [{ name: tenant, type: string, claim: tenant }]
    caching: { enabled: true, ttl: 30s }
";

#[tokio::test]
async fn callers_see_their_own_rows_and_columns_and_nobody_elses() {
    let place = published().await;
    place.secret("millrace/tenants", &serde_json::from_str(SECRETS).unwrap());
    let query = "SELECT id, email FROM s.people WHERE tenant = :tenant ORDER BY email";
    place.route("own", "/own", query, OWN).await;
    let of = async |uri: &str, key: &str| get(&place, uri, &[("x-api-key", key)]).await;

    let ada = of("/own", "key-of-ada").await;
    assert_eq!(rows(&ada)[0], json!({ "id": 2, "email": "2@example.org" }));
    let bob = of("/own", "key-of-bob").await;
    assert_eq!(
        rows(&bob),
        [1, 3, 5].map(|id| json!({ "id": id, "email": null }))
    );
    assert_ne!(header(&ada, "etag"), header(&bob, "etag"));
    for (key, status) in [
        ("key-of-eve", 403),     // no scope
        ("key-of-joe", 403),     // no claim
        ("old-key-of-ada", 403), // expired
        ("key-of-ad", 403),
        ("", 401),
    ] {
        let refused = of("/own", key).await;
        assert_eq!(refused.status().as_u16(), status, "{key}");
        let text = String::from_utf8(refused.body().to_vec()).unwrap();
        assert!(
            !text.contains("example.org") && !text.contains("key-of-ada"),
            "{text}"
        );
    }
    // Nobody says whose rows: not in the query, not by another's cursor, not by another's tag, not by two keys.
    assert_eq!(of("/own?tenant=even", "key-of-bob").await.status(), 400);
    let page: Value =
        serde_json::from_slice(of("/own?limit=1", "key-of-ada").await.body()).unwrap();
    let cursor = format!(
        "/own?limit=1&cursor={}",
        page["page"]["next"].as_str().unwrap()
    );
    assert_eq!(of(&cursor, "key-of-ada").await.status(), 200);
    assert_eq!(of(&cursor, "key-of-bob").await.status(), 400);
    let headers = [
        ("x-api-key", "key-of-bob"),
        ("if-none-match", header(&ada, "etag")),
    ];
    assert_eq!(get(&place, "/own", &headers).await.status(), 200);
    let headers = [("x-api-key", "key-of-bob"), ("x-api-key", "key-of-ada")];
    assert_eq!(get(&place, "/own", &headers).await.status(), 400);
    // A masked column is not in the cursor either, though the rows are ordered by it.
    let page: Value =
        serde_json::from_slice(of("/own?limit=1", "key-of-bob").await.body()).unwrap();
    let cursor = page["page"]["next"].as_str().unwrap();
    assert!(cursor.len() < 60, "{cursor}");
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_back() {
    let place = published().await;
    place.secret("millrace/tenants", &serde_json::from_str(SECRETS).unwrap());
    let more = "    auth: { secret_path: aws::secret/millrace/tenants }\n    rate_limit: 3/h\n    quota: 100/m\n";
    place
        .route("few", "/few", "SELECT id FROM s.people ORDER BY id", more)
        .await;
    let of = async |key: &str| get(&place, "/few", &[("x-api-key", key)]).await;
    for left in ["2", "1", "0"] {
        let response = of("key-of-ada").await;
        assert_eq!(response.status(), 200);
        assert_eq!(header(&response, "ratelimit-remaining"), left);
        assert_eq!(header(&response, "ratelimit-limit"), "3");
    }
    let refused = of("key-of-ada").await;
    assert_eq!(refused.status(), 429);
    assert_eq!(
        header(&refused, "retry-after"),
        header(&refused, "ratelimit-reset")
    );
    assert_eq!(
        of("key-of-bob").await.status(),
        200,
        "another caller's count"
    );
}

#[tokio::test]
async fn lists_and_tables_without_sql_are_answered() {
    let place = published().await;
    let more = "    params: [{ name: ids, type: int, list: true, required: true }]\n";
    let query = "SELECT id FROM s.people WHERE id = ANY(:ids) ORDER BY id";
    place.route("some", "/some", query, more).await;
    let (status, body) = place.get("/some?ids=5,2,99").await;
    assert_eq!(
        (status, &body["data"]),
        (200, &json!([{ "id": 2 }, { "id": 5 }])),
        "{body}"
    );
    assert_eq!(place.get("/some?ids=5,x").await.0, 400);
    let file = "metadata: { name: one, version: 1.2.0, deprecated: 2026-01-01, sunset: 2030-01-01 }
routes:
  /one/{id}:
    datasource: operational_store
    table: s.people
    key: [id]
    columns: [id, name]
    params: [{ name: id, type: int }]
";
    let key = millrace_model::keys::definition("endpoint", "one");
    place.objects.put(&key, Bytes::from(file)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(10_100)).await;
    let response = get(&place, "/one/3", &[]).await;
    assert_eq!(rows(&response), [json!({ "id": 3, "name": "name 3" })]);
    assert_eq!(header(&response, "deprecation"), "@1767225600");
    assert_eq!(header(&response, "sunset"), "Tue, 01 Jan 2030 00:00:00 GMT");
}

#[tokio::test]
async fn a_caller_who_leaves_ends_the_query() {
    let place = published().await;
    let slow = "SELECT count(*) AS n FROM s.people, generate_series(1, 1000000000) AS a";
    place.route("slow", "/slow", slow, "").await;
    let left = tokio::time::timeout(Duration::from_millis(500), place.get("/slow")).await;
    assert!(left.is_err());
    let admin = millrace_postgres::Credentials {
        dbname: place.owner.dbname.clone(),
        ..place.server.admin()
    };
    let admin = millrace_postgres::connect(&admin, "test").await.unwrap();
    let running = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                   AND application_name = 'millrace serve' AND state = 'active'";
    for _ in 0..100 {
        let running: i64 = admin.query_one(running, &[]).await.unwrap().get(0);
        if running == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the query goes on");
}

#[tokio::test]
async fn callers_choose_order_and_columns_from_what_the_route_allows() {
    let place = published().await;
    let more = "    sort: [name, tenant]\n    fields: [id, name]\n    params: [{ name: most, type: int, default: 9 }]\n";
    let query = "SELECT id, name, tenant FROM s.people WHERE id <= :most ORDER BY id";
    place.route("people", "/people", query, more).await;
    let ids = |rows: &[Value]| -> Vec<i64> {
        rows.iter().map(|row| row["id"].as_i64().unwrap()).collect()
    };
    let all = |uri: &'static str| place.pages(uri, 2);

    assert_eq!(ids(&all("/people").await), [1, 2, 3, 4, 5, 6]);
    assert_eq!(ids(&all("/people?sort=-name").await), [6, 5, 4, 3, 2, 1]);
    assert_eq!(
        ids(&all("/people?sort=tenant&most=5").await),
        [2, 4, 1, 3, 5]
    );
    let chosen = all("/people?fields=name,id&sort=-tenant").await;
    assert_eq!(chosen[0], json!({ "name": "name 5", "id": 5 }));
    assert_eq!(chosen.len(), 6);
    let csv = get(
        &place,
        "/people?fields=name&limit=1",
        &[("accept", "text/csv")],
    )
    .await;
    assert_eq!(csv.body(), "name\r\nname 1\r\n");
    for (refused, name) in [
        ("sort=email", "sort"),
        ("sort=", "sort"),
        ("sort=name;drop", "sort"),
        ("fields=tenant", "fields"),
        ("fields=id,id", "fields"),
        ("fields=", "fields"),
    ] {
        let (status, body) = place.get(&format!("/people?{refused}")).await;
        assert_eq!(
            (status, &body["error"][0]["parameter"]),
            (400, &json!(name)),
            "{refused}"
        );
    }
    // A cursor goes on in its own order alone.
    let (_, page) = place.get("/people?sort=name&limit=2").await;
    let cursor = page["page"]["next"].as_str().unwrap();
    assert_eq!(
        place
            .get(&format!("/people?sort=-name&cursor={cursor}"))
            .await
            .0,
        400
    );
    let (_, api) = place.get("/openapi.json").await;
    let parameters = api["paths"]["/people"]["get"]["parameters"]
        .as_array()
        .unwrap();
    let sort = parameters
        .iter()
        .find(|parameter| parameter["name"] == "sort")
        .unwrap();
    assert_eq!(
        sort["schema"]["enum"],
        json!(["name", "-name", "tenant", "-tenant"])
    );
}

#[tokio::test]
async fn a_long_list_comes_in_a_body() {
    let place = published().await;
    let more = "    methods: [POST]\n    params: [{ name: ids, type: int, list: true, required: true }, { name: tenant, type: string }]\n    \
                caching: { enabled: true, ttl: 30s }\n";
    let query = "SELECT id FROM s.people WHERE id = ANY(:ids) AND (:tenant IS NULL OR tenant = :tenant) ORDER BY id";
    place.route("some", "/some", query, more).await;
    let post = async |uri: &str, kind: &str, body: Value| {
        let request = Request::post(uri)
            .header("content-type", kind)
            .body(Bytes::from(body.to_string()));
        place.send(request.unwrap()).await
    };
    let kind = "application/json; charset=utf-8";
    let many: Vec<i64> = (2..5_000).collect();
    let answer = post(
        "/some",
        kind,
        json!({ "ids": many, "tenant": "even", "limit": 2 }),
    )
    .await;
    assert_eq!(rows(&answer), [json!({ "id": 2 }), json!({ "id": 4 })]);
    assert_eq!(
        (header(&answer, "etag"), header(&answer, "cache-control")),
        ("", "no-store")
    );
    let body: Value = serde_json::from_slice(answer.body()).unwrap();
    let next = json!({ "ids": many, "tenant": "even", "limit": 2, "cursor": body["page"]["next"] });
    assert_eq!(rows(&post("/some", kind, next).await), [json!({ "id": 6 })]);
    for (uri, kind, body, status) in [
        ("/some", "text/plain", json!({ "ids": [1] }), 415),
        ("/some?tenant=odd", kind, json!({ "ids": [1] }), 400),
        ("/some", kind, json!([1]), 400),
        ("/some", kind, json!({}), 400),
        ("/some", kind, json!({ "ids": [1, "x"] }), 400),
        ("/some", kind, json!({ "ids": [1], "tenant": ["odd"] }), 400),
        ("/some", kind, json!({ "ids": [1], "other": 1 }), 400),
        (
            "/some",
            kind,
            json!({ "ids": (0..10_001).collect::<Vec<_>>() }),
            400,
        ),
    ] {
        let refused = post(uri, kind, body).await;
        assert_eq!(refused.status(), status, "{uri}: {:?}", refused.body());
    }
    let asked = get(&place, "/some?ids=1", &[]).await;
    assert_eq!(
        (asked.status().as_u16(), header(&asked, "allow")),
        (405, "POST, OPTIONS")
    );
}
