//! What callers of a lookup get: rows, headers, pages, masks, and problems where Redis is away.

use crate::support::Place;
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use bytes::Bytes;
use http::{Request, Response};
use millrace_redis::cmd;
use serde_json::{Value, json};
use std::sync::Arc;

const PUBLISH: &str =
    "  - { table: orders, to: redis, as: sales.orders, key: 'order:{tenant}:{id}', ttl: 1h }\n";

const ENDPOINT: &str = "metadata: { name: same, description: Orders }
routes:
  /orders/{id}:
    datasource: redis
    key: 'order:{tenant}:{id}'
    columns: [id, email, name]
    params: [{ name: id, type: string }, { name: tenant, type: string, claim: tenant }]
    mask: { email: pii }
    fields: [id, name]
    auth: { secret_path: aws::secret/consumers }
  /open/{tenant}/{id}:
    datasource: redis
    key: 'order:{tenant}:{id}'
    params: [{ name: id, type: string }, { name: tenant, type: string }]
    mask: { email: pii }
    auth: { secret_path: aws::secret/consumers }
    timeout: 1s
  /some:
    datasource: redis
    key: 'order:{tenant}:{id}'
    columns: [id]
    methods: [GET, POST]
    params: [{ name: id, type: int, list: true, required: true }, { name: tenant, type: string, default: a }]
    caching: { enabled: true, ttl: 30s }
";

async fn published() -> Place {
    let mut place = Place::new("tenant, id", PUBLISH, ENDPOINT, false).await;
    place.put(&orders(300, "x")).await;
    place.publish("redis:sales.orders").await.unwrap();
    place
}

/// So many orders of the tenant `a`, and as many of `b`.
fn orders(count: i64, name: &str) -> RecordBatch {
    let ids = || (0..count).chain(0..count);
    let ids_array: ArrayRef = Arc::new(Int64Array::from_iter_values(ids()));
    let tenants = (0..2 * count).map(|at| if at < count { "a" } else { "b" });
    let tenants: ArrayRef = Arc::new(StringArray::from_iter_values(tenants));
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(ids().map(|_| name)));
    let emails: ArrayRef = Arc::new(StringArray::from_iter_values(
        ids().map(|id| format!("{id}@x")),
    ));
    let columns = [
        ("id", ids_array),
        ("tenant", tenants),
        ("name", names),
        ("email", emails),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn body(answer: &Response<Bytes>) -> Value {
    serde_json::from_slice(answer.body()).unwrap()
}

fn data(answer: &Response<Bytes>) -> Value {
    assert_eq!(answer.status(), 200, "{:?}", answer.body());
    body(answer)["data"].clone()
}

#[tokio::test]
async fn a_row_comes_with_its_version_and_without_what_is_masked() {
    let place = published().await;
    let all = [("x-api-key", "k-all")];
    let answer = place.get("/orders/7", &all).await;
    assert_eq!(
        data(&answer),
        json!([{ "id": 7, "email": "7@x", "name": "x" }])
    );
    assert_eq!(body(&answer)["page"]["next"], Value::Null);
    assert!(answer.headers().contains_key("x-millrace-as-of"));
    assert!(
        answer.headers()["x-millrace-run"]
            .to_str()
            .unwrap()
            .starts_with("shop-")
    );
    let etag = answer.headers()["etag"].to_str().unwrap();
    let again = place
        .get("/orders/7", &[all[0], ("if-none-match", etag)])
        .await;
    assert_eq!(again.status(), 304);
    let other = place
        .get("/orders/8", &[all[0], ("if-none-match", etag)])
        .await;
    assert_eq!(other.status(), 200);

    let fewer = place.get("/orders/7?fields=name", &all).await;
    assert_eq!(data(&fewer), json!([{ "name": "x" }]));
    let masked = place.get("/open/a/7", &[("x-api-key", "k-few")]).await;
    assert_eq!(
        data(&masked),
        json!([{ "id": 7, "tenant": "a", "name": "x", "email": null }])
    );
    assert_eq!(place.get("/orders/7", &[]).await.status(), 401);
    let without_claim = place.get("/orders/7", &[("x-api-key", "k-few")]).await;
    assert_eq!(without_claim.status(), 403);
    assert_eq!(data(&place.get("/orders/no-such", &all).await), json!([]));
    let csv = place.ask("/some?id=3", "text/csv").await;
    assert_eq!(String::from_utf8(csv.1).unwrap(), "id\r\n3\r\n");
}

#[tokio::test]
async fn no_parameter_reaches_another_pattern() {
    let mut place = published().await;
    let headers = [("x-api-key", "k-all")];
    let secret = "order:a:7:secret";
    place
        .admin
        .ask::<()>(cmd("SET").arg(secret).arg("{\"id\":1}"))
        .await
        .unwrap();
    for id in [
        "7:secret",
        "7%3Asecret",
        "*",
        "7%0D%0AGET%20x",
        "%7Bid%7D",
        "7%253Asecret",
        "..%2F7",
    ] {
        let answer = place.get(&format!("/orders/{id}"), &headers).await;
        assert_eq!(data(&answer), json!([]), "{id}");
        let answer = place.get(&format!("/open/a%3A7/{id}"), &headers).await;
        assert_eq!(data(&answer), json!([]), "{id}");
    }
    let answer = place.get("/orders/7%00", &headers).await;
    assert_eq!(answer.status(), 400);
    let long = "7".repeat(1000);
    assert_eq!(
        data(&place.get(&format!("/orders/{long}"), &headers).await),
        json!([])
    );
}

#[tokio::test]
async fn a_list_comes_in_pages_in_its_order() {
    let place = published().await;
    // Some of them are nowhere, and some are there twice.
    let wanted: Vec<i64> = (0..250).map(|at| (at * 7) % 400).chain([7, 14]).collect();
    let mut expected: Vec<i64> = Vec::new();
    for id in wanted.iter().filter(|id| **id < 300) {
        if !expected.contains(id) {
            expected.push(*id);
        }
    }
    let (mut found, mut cursor) = (Vec::new(), Value::Null);
    loop {
        let mut sent = json!({ "id": wanted, "limit": 40 });
        if !cursor.is_null() {
            sent["cursor"] = cursor;
        }
        let request = Request::post("/some").header("content-type", "application/json");
        let answer = place
            .serve
            .handle(request.body(Bytes::from(sent.to_string())).unwrap())
            .await;
        let rows = data(&answer);
        assert!(rows.as_array().unwrap().len() <= 40);
        found.extend(
            rows.as_array()
                .unwrap()
                .iter()
                .map(|row| row["id"].as_i64().unwrap()),
        );
        cursor = body(&answer)["page"]["next"].clone();
        if cursor.is_null() {
            break;
        }
        // It is good for this list alone.
        let forged = place
            .get(
                &format!("/some?id=1,2&cursor={}", cursor.as_str().unwrap()),
                &[],
            )
            .await;
        assert_eq!(forged.status(), 400);
    }
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_new_version_is_seen_and_its_tag_is_another() {
    let mut place = published().await;
    let first = place.get("/some?id=1,250", &[]).await;
    assert_eq!(data(&first), json!([{ "id": 1 }, { "id": 250 }]));
    place.put(&orders(200, "y")).await;
    place.publish("redis:sales.orders").await.unwrap();
    place.new_version_is_seen().await;
    let second = place.get("/some?id=1,250", &[]).await;
    assert_eq!(data(&second), json!([{ "id": 1 }]));
    assert_ne!(first.headers()["etag"], second.headers()["etag"]);
}

#[tokio::test]
async fn what_is_not_published_is_told_so() {
    let place = Place::new("tenant, id", PUBLISH, ENDPOINT, false).await;
    let answer = place.get("/some?id=1", &[]).await;
    assert_eq!(answer.status(), 503);
    assert_eq!(body(&answer)["error"][0]["type"], "/problems/not-published");
    assert!(answer.headers().contains_key("retry-after"));
}

#[tokio::test]
async fn redis_goes_and_comes_back() {
    let mut place = published().await;
    assert_eq!(place.get("/some?id=1", &[]).await.status(), 200);
    place.server.kill().unwrap();
    let answer = place.get("/some?id=2", &[]).await;
    assert_eq!(answer.status(), 503, "{:?}", answer.body());
    assert!(answer.headers().contains_key("retry-after"));
    place.server.start_again().await.unwrap();
    place.new_version_is_seen().await;
    place.publish("redis:sales.orders").await.unwrap();
    place.new_version_is_seen().await;
    assert_eq!(
        data(&place.get("/some?id=2", &[]).await),
        json!([{ "id": 2 }])
    );
    // One that stands still is given up in time.
    place.admin = {
        let secrets = millrace_store::secrets::LocalSecrets::new(
            None,
            [(
                millrace_store::secrets::LocalSecrets::variable("a"),
                place.server.admin().to_secret(),
            )],
        );
        millrace_redis::login(&secrets, "a", std::time::Duration::from_secs(9))
            .await
            .unwrap()
    };
    place
        .admin
        .ask::<()>(cmd("CLIENT").arg("PAUSE").arg(2500))
        .await
        .unwrap();
    let answer = place.get("/open/a/3", &[("x-api-key", "k-all")]).await;
    assert!(
        [503, 504].contains(&answer.status().as_u16()),
        "{:?}",
        answer.body()
    );
}

#[tokio::test]
async fn a_rotated_password_is_read_again() {
    let mut place = published().await;
    assert_eq!(place.get("/some?id=1", &[]).await.status(), 200);
    let mut rotated = place.server.reader();
    rotated.password = "another".to_owned();
    place.set_secret("redis/reader", &rotated.to_secret());
    let rotate = ["SETUSER", "reader", "resetpass", ">another"];
    place
        .admin
        .ask::<()>(cmd("ACL").arg(&rotate))
        .await
        .unwrap();
    let kill = ["KILL", "USER", "reader"];
    place
        .admin
        .ask::<()>(cmd("CLIENT").arg(&kill))
        .await
        .unwrap();
    assert_eq!(place.get("/some?id=2", &[]).await.status(), 200);
}

#[tokio::test]
async fn rows_of_another_form_are_no_defect() {
    let mut place = published().await;
    assert_eq!(place.get("/some?id=1", &[]).await.status(), 200);
    // As if they were being written anew, as hashes.
    for command in [&["DEL", "order:a:5"][..], &["HSET", "order:a:5", "id", "5"]] {
        place
            .admin
            .ask::<()>(cmd(command[0]).arg(&command[1..]))
            .await
            .unwrap();
    }
    assert_eq!(place.get("/some?id=5", &[]).await.status(), 503);
    place
        .admin
        .ask::<()>(cmd("SET").arg("order:a:6").arg("{\"id\":\"six\"}"))
        .await
        .unwrap();
    assert_eq!(place.get("/some?id=6", &[]).await.status(), 503);
}

#[tokio::test]
async fn the_contract_knows_the_types() {
    let place = published().await;
    let contract = body(&place.get("/openapi.json", &[]).await);
    let text = contract["paths"]["/orders/{id}"].to_string();
    for column in ["email", "name", "int64"] {
        assert!(text.contains(column), "{text}");
    }
}
