//! Whole answers as files.

#![allow(clippy::unwrap_used, reason = "a test's way to fail")]

mod support;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use bytes::Bytes;
use http::{Request, Response};
use millrace_model::keys;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use support::Place;

const ROWS: usize = 2_345;
const CSV: &str = "text/csv";
const PARQUET: &str = "application/vnd.apache.parquet";

/// A published table of more rows than a page has, and two callers of its route.
async fn published() -> Place {
    let place = Place::new().await;
    let rows = format!(
        "CREATE TABLE s.numbers (id bigint PRIMARY KEY, square bigint);
         INSERT INTO s.numbers SELECT n, n * n FROM generate_series(1, {ROWS}) AS n;"
    );
    place.client.batch_execute(&rows).await.unwrap();
    let published = "
        INSERT INTO millrace.published (schema, relation, source, version, files, layout, run)
        VALUES ('s', 'numbers', 'tables/p/numbers', 1, 'f', 'l', 'numbers-1')";
    place.client.batch_execute(published).await.unwrap();
    let consumers = json!({ "ada": "key-of-ada", "bob": "key-of-bob" });
    place.secret("millrace/numbers", &consumers);
    let query = "SELECT id, square FROM s.numbers WHERE id >= :least ORDER BY id";
    let more = "    params: [{ name: least, type: int, default: 1 }]\n    \
                auth: { secret_path: aws::secret/millrace/numbers }\n";
    let exported = format!("{more}    export: true\n");
    place.route("numbers", "/numbers", query, &exported).await;
    place.route("pages", "/pages", query, more).await;
    place
}

async fn get(place: &Place, uri: &str, key: &str, headers: &[(&str, &str)]) -> Response<Bytes> {
    let mut request = Request::get(uri).header("x-api-key", key);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    place.send(request.body(Bytes::new()).unwrap()).await
}

fn header<'a>(response: &'a Response<Bytes>, name: &str) -> &'a str {
    let value = response.headers().get(name);
    value.map_or("", |value| value.to_str().unwrap())
}

fn told(response: &Response<Bytes>) -> Value {
    let body: Value = serde_json::from_slice(response.body()).unwrap();
    body["data"][0].clone()
}

/// Asks for files of that form, and says under which path they will be.
async fn ask(place: &Place, uri: &str, accept: &str) -> String {
    let headers = [("accept", accept), ("prefer", "respond-async")];
    let response = get(place, uri, "key-of-ada", &headers).await;
    assert_eq!(response.status().as_u16(), 202, "{response:?}");
    assert_eq!(header(&response, "preference-applied"), "respond-async");
    assert_eq!(told(&response)["status"], "queued");
    header(&response, "location").to_owned()
}

/// What is told of an export when it is over.
async fn over(place: &Place, location: &str) -> Value {
    let begun = Instant::now();
    loop {
        let told = told(&get(place, location, "key-of-ada", &[]).await);
        if told["status"] == "done" || told["status"] == "failed" {
            return told;
        }
        assert!(begun.elapsed() < Duration::from_mins(1), "{told}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The one file of an export.
async fn file(place: &Place, uri: &str, accept: &str) -> Bytes {
    let location = ask(place, uri, accept).await;
    let told = over(place, &location).await;
    assert_eq!(told["status"], "done", "{told}");
    assert_eq!(told["format"], accept);
    let files = told["files"].as_array().unwrap();
    assert_eq!((files.len(), &files[0]["rows"]), (1, &told["rows"]));
    let file = get(place, files[0]["url"].as_str().unwrap(), "key-of-ada", &[]).await;
    assert_eq!(file.status().as_u16(), 200);
    assert!(header(&file, "content-type").starts_with(accept));
    assert_eq!(files[0]["bytes"], file.body().len());
    file.into_body()
}

#[tokio::test]
async fn the_whole_answer_is_in_the_files_of_every_form() {
    let place = published().await;
    let csv = file(&place, "/numbers?limit=7", CSV).await;
    let csv = String::from_utf8(csv.to_vec()).unwrap();
    let numbers = (1..=ROWS).map(|n| format!("{n},{}\r\n", n * n));
    assert_eq!(csv, format!("id,square\r\n{}", numbers.collect::<String>()));
    let json = file(&place, "/numbers?least=1300", "application/json").await;
    let json: Value = serde_json::from_slice(&json).unwrap();
    let ids = json["data"].as_array().unwrap().iter();
    assert!(
        ids.map(|row| row["id"].as_u64().unwrap() as usize)
            .eq(1300..=ROWS)
    );
    let lines = file(&place, "/numbers", "application/x-ndjson").await;
    let lines = String::from_utf8(lines.to_vec()).unwrap();
    assert_eq!(lines.lines().count(), ROWS);
    let parquet = file(&place, "/numbers", PARQUET).await;
    let reader = ParquetRecordBatchReaderBuilder::try_new(parquet).unwrap();
    let batches = reader.build().unwrap().map(Result::unwrap);
    let sum: i64 = batches
        .flat_map(|batch| {
            batch
                .column(0)
                .as_primitive::<Int64Type>()
                .values()
                .to_vec()
        })
        .sum();
    assert_eq!(sum as usize, ROWS * (ROWS + 1) / 2);
    let nothing = file(&place, "/numbers?least=9999", CSV).await;
    assert_eq!(nothing, "id,square\r\n");
}

#[tokio::test]
async fn files_are_for_who_asked_and_where_the_route_has_them() {
    let place = published().await;
    let location = ask(&place, "/numbers", CSV).await;
    over(&place, &location).await;
    for path in [location.clone(), format!("{location}/0")] {
        assert_eq!(
            get(&place, &path, "key-of-bob", &[])
                .await
                .status()
                .as_u16(),
            404
        );
        assert_eq!(
            get(&place, &path, "no-key", &[]).await.status().as_u16(),
            403
        );
    }
    let more = format!("{location}/1");
    assert_eq!(
        get(&place, &more, "key-of-ada", &[])
            .await
            .status()
            .as_u16(),
        404
    );
    let unknown = "/exports/67e55044-10b1-426f-9247-bb680e5fe0c8";
    assert_eq!(
        get(&place, unknown, "key-of-ada", &[])
            .await
            .status()
            .as_u16(),
        404
    );
    // A preference is no demand: where there are no files, there is a page.
    let page = get(
        &place,
        "/pages",
        "key-of-ada",
        &[("prefer", "respond-async")],
    )
    .await;
    assert_eq!(page.status().as_u16(), 200);
    // What is wrong is told at once.
    let wrong = get(
        &place,
        "/numbers?least=x",
        "key-of-ada",
        &[("prefer", "respond-async")],
    )
    .await;
    assert_eq!(wrong.status().as_u16(), 400);
}

#[tokio::test]
async fn files_are_of_one_version_of_the_tables() {
    let place = published().await;
    // A table that is published each time that somebody looks.
    let restless = format!(
        "ALTER TABLE millrace.published RENAME TO kept;
         CREATE VIEW millrace.published AS SELECT schema, relation, source, files, layout, run, published_at,
             (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS version FROM millrace.kept;
         GRANT SELECT ON millrace.published TO {}",
        place.reader.username
    );
    place.client.batch_execute(&restless).await.unwrap();
    let location = ask(&place, "/numbers", CSV).await;
    let told = over(&place, &location).await;
    assert_eq!(told["status"], "failed", "{told}");
    let failure = told["failure"].as_str().unwrap();
    assert!(failure.contains("published anew"), "{failure}");
    let at_rest = "DROP VIEW millrace.published; ALTER TABLE millrace.kept RENAME TO published";
    place.client.batch_execute(at_rest).await.unwrap();
    let location = ask(&place, "/numbers", CSV).await;
    assert_eq!(over(&place, &location).await["status"], "done");
}

#[tokio::test]
async fn what_was_left_is_taken_over_and_no_more_often_than_it_is_worth() {
    let place = published().await;
    let location = ask(&place, "/numbers", CSV).await;
    over(&place, &location).await;
    let key = keys::export_state(location.strip_prefix("/exports/").unwrap());
    let left = async |attempts: u32, seen_at: &str| {
        let state = json!({
            "status": "running", "maker": "67e55044-10b1-426f-9247-bb680e5fe0c8", "seen_at": seen_at,
            "attempts": attempts, "files": [], "as_of": null, "failure": null,
        });
        place
            .objects
            .put(&key, state.to_string().into())
            .await
            .unwrap();
    };
    left(2, "2026-01-01T00:00:00Z").await;
    let told_of = over(&place, &location).await;
    assert_eq!(
        (&told_of["status"], &told_of["rows"]),
        (&json!("done"), &json!(ROWS))
    );
    left(3, "2026-01-01T00:00:00Z").await;
    assert_eq!(over(&place, &location).await["status"], "failed");
    // Of one that is still heard of nothing is taken.
    left(1, "2999-01-01T00:00:00Z").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let told_of = told(&get(&place, &location, "key-of-ada", &[]).await);
    assert_eq!(told_of["status"], "running");
}
