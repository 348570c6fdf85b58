//! Answers that are not JSON, as sources send them.

use crate::plant::{Plant, Source};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use millrace_model::FailureName;
use serde_json::{Value, json};
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};

fn typed(media_type: &'static str, body: impl Into<Vec<u8>>) -> Response {
    ([("content-type", media_type)], body.into()).into_response()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// The bodies as they lie in the lake.
async fn stored(plant: &Plant, name: &str) -> Vec<Vec<u8>> {
    let mut bodies = Vec::new();
    for manifest in plant.manifests(name).await {
        let object = plant.objects.get(&manifest.object.unwrap()).await.unwrap();
        let bytes = object.unwrap().bytes;
        for page in manifest.pages {
            let frame = &bytes[page.offset as usize..(page.offset + page.length) as usize];
            bodies.push(zstd::decode_all(frame).unwrap());
        }
    }
    bodies
}

#[tokio::test]
async fn csv_is_paged_and_has_a_cursor() {
    let source = Source::new(|asked| {
        let offset = asked.number("offset", 0);
        let rows: String = (offset..(offset + 2).min(5))
            .map(|id| format!("{id},2026-01-0{}T00:00:00Z\r\n", id + 1))
            .collect::<Vec<_>>()
            .concat();
        typed("text/csv", format!("id,changed\r\n{rows}"))
    })
    .await;
    let plant = Plant::new(
        &source.url,
        r"
  - name: rows
    connection: source
    path: /rows
    paginate: { offset: { limit: 2 } }
    incremental: { field: changed, param: since, start: 2026-01-01 }
",
    );
    let records = plant.pull("rows").await;
    let ids: Vec<&Value> = records.iter().map(|record| &record["id"]).collect();
    assert_eq!(ids, ["0", "1", "2", "3", "4"]);
    assert_eq!(source.asked().len(), 3);
    let state = serde_json::to_string(&plant.state("rows").await).unwrap();
    // 2026-01-05T00:00:00Z
    assert!(state.contains("1767571200000"), "{state}");
    assert!(
        stored(&plant, "rows").await[0].starts_with(b"id,changed\r\n0,"),
        "verbatim"
    );
}

#[tokio::test]
async fn soap_is_paged_by_a_token_in_its_envelope() {
    let source = Source::new(|asked| {
        let after = asked.number("after", 0);
        let next = if after < 4 { format!("<m:Next>{}</m:Next>", after + 2) } else { String::new() };
        let orders: String = (after..after + 2).map(|id| format!("<m:Order id='{id}'/>")).collect::<Vec<_>>().concat();
        let envelope = format!(
            "<?xml version='1.0'?><s:Envelope xmlns:s='http://schemas.xmlsoap.org/soap/envelope/'><s:Body>\
             <m:List xmlns:m='urn:m'>{next}{orders}</m:List></s:Body></s:Envelope>"
        );
        typed("text/xml; charset=utf-8", envelope)
    })
    .await;
    let plant = Plant::new(
        &source.url,
        r#"
  - name: orders
    connection: source
    path: /soap
    body: { xml: "<List/>" }
    paginate: { cursor: { param: after, path: Envelope.Body.List.Next } }
    records: Envelope.Body.List.Order
"#,
    );
    let ids: Vec<String> = plant
        .pull("orders")
        .await
        .iter()
        .map(|order| order["@id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids, ["0", "1", "2", "3", "4", "5"]);
}

#[tokio::test]
async fn a_packed_file_that_was_cut_is_asked_for_again_and_stored_as_it_came() {
    let whole = gzip("{\"id\": 1}\n{\"id\": 2}\n");
    let (body, asked) = (whole.clone(), AtomicUsize::new(0));
    let source = Source::new(move |_| {
        let length = match asked.fetch_add(1, Ordering::Relaxed) {
            0 => body.len() - 9,
            _ => body.len(),
        };
        typed("application/octet-stream", &body[..length])
    })
    .await;
    let plant = Plant::new(
        &source.url,
        "\n  - { name: lines, connection: source, path: /export.jsonl.gz, format: json_lines, paginate: none }\n",
    );
    assert_eq!(
        plant.pull("lines").await,
        [json!({"id": 1}), json!({"id": 2})]
    );
    assert_eq!(source.asked().len(), 2);
    assert_eq!(stored(&plant, "lines").await, [whole]);
}

#[tokio::test]
async fn personal_data_is_taken_out_of_any_form() {
    let source = Source::new(|_| typed("text/csv", "id,email\n1,hidden@x\n2,\n")).await;
    let plant = Plant::new(
        &source.url,
        r"
  - name: people
    connection: source
    path: /people
    paginate: none
    personal_data: { fields: { email: drop } }
",
    );
    assert_eq!(
        plant.pull("people").await,
        [json!({"id": "1"}), json!({"id": "2"})]
    );
    let bodies = stored(&plant, "people").await;
    assert!(!String::from_utf8_lossy(&bodies[0]).contains("hidden"));
    assert!(plant.manifests("people").await[0].pages[0].rewritten);
}

#[tokio::test]
async fn what_is_not_of_its_form_fails_with_the_place_and_the_cure() {
    let source = Source::new(|asked| match asked.uri.path() {
        "/bomb" => typed("text/csv", gzip(&"a".repeat(70 << 20))),
        _ => typed("text/csv", &b"id,name\n1,\xff\n"[..]),
    })
    .await;
    let mut plant = Plant::new(
        &source.url,
        "\n  - { name: latin, connection: source, path: /latin, paginate: none }\n  \
         - { name: bomb, connection: source, path: /bomb, paginate: none }\n",
    );
    let failure = plant.run("latin").await.unwrap_err();
    assert_eq!(failure.name, FailureName::BadAnswer, "{failure}");
    assert!(
        failure
            .message
            .contains("at byte 10: it is not UTF-8; say its `encoding`"),
        "{failure}"
    );
    plant.limits.body_bytes = 8 << 20;
    let failure = plant.run("bomb").await.unwrap_err();
    assert!(
        failure.message.contains("longer than") || failure.message.contains("larger than 8 MiB"),
        "{failure}"
    );
}
