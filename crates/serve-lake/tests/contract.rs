//! The contract of a deployment of several functions: the one that answers for it asks the others what their routes answer.

#![allow(clippy::unwrap_used, reason = "a test's way to fail")]

mod support;

use bytes::Bytes;
use http::Request;
use millrace_serve::Serve;
use millrace_serve_lake::Room;
use serde_json::{Value, json};
use std::time::Duration;
use support::{MIB, Place};

const NOTICE: &str = "contract/lake.todo";

/// What a 200 of `/numbers` is, in that function's contract.
async fn answer(serve: &Serve) -> Value {
    let request = Request::get("/openapi.json").body(Bytes::new()).unwrap();
    let answer = serve.handle(request).await;
    let contract: Value = serde_json::from_slice(answer.body()).unwrap();
    let answers = &contract["paths"]["/numbers"]["get"]["responses"]["200"];
    answers["content"]["application/json"].clone()
}

fn row(answer: &Value) -> &Value {
    &answer["schema"]["properties"]["data"]["items"]
}

#[tokio::test]
async fn another_function_has_the_types_of_the_lakes_columns() {
    let place = Place::new(&[10], &Room::halves(64 * MIB)).await;
    let query = "SELECT id, text FROM s.numbers ORDER BY id";
    place.route("numbers", query, "").await;
    let another = place.of_the_store();
    let told = tokio::spawn(async move { answer(&another).await });
    while !place.has(NOTICE).await {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    place.serve.do_noticed(NOTICE).await.unwrap();
    let told = told.await.unwrap();
    assert_eq!(told, answer(&place.serve).await);
    let columns = &row(&told)["properties"];
    assert_eq!(columns["id"]["format"], "int64", "{told}");
    assert_eq!(columns["text"]["type"], json!(["string", "null"]), "{told}");
    assert!(told["example"]["data"][0]["id"].is_number(), "{told}");

    let query = "SELECT text AS id FROM s.numbers";
    place.route("numbers", query, "").await;
    let told = answer(&place.of_the_store()).await;
    let unknown = json!({ "type": "object" });
    assert_eq!(row(&told), &unknown, "a note of another query is no note");
}

#[tokio::test]
async fn where_nobody_is_notified_the_contract_does_without() {
    let place = Place::new(&[10], &Room::halves(64 * MIB)).await;
    place.route("numbers", "SELECT id FROM s.numbers", "").await;
    assert_eq!(answer(&place.serve).await["schema"]["type"], "object");
    assert!(!place.has(NOTICE).await);
    let notice = "contract/nobody.todo";
    place.serve.do_noticed(notice).await.unwrap();
    place.serve.do_noticed("contract/lake").await.unwrap_err();
}
