//! Every form of a request, as the source gets it.

use crate::plant::{Plant, Source, json_of};
use axum::http::Method;
use axum::response::IntoResponse;
use millrace_model::FailureName;
use serde_json::json;

async fn one_record() -> Source {
    Source::new(|_| json_of(json!([{ "id": 1 }]))).await
}

#[tokio::test]
async fn values_are_put_into_path_parameters_and_headers() {
    let source = one_record().await;
    let plant = Plant::new(
        &format!("{}/v1", source.url),
        r#"
  - name: days
    connection: source
    path: "/{{ config.tenant }}/a b{{ '/' }}"
    params:
      day: "{{ now | date('%Y-%m-%d') }}"
      since: "{{ now | minus('36h') }}"
      and: "a&b={{ config.depth + 1 }}"
    headers: { X-Run: "{{ run }}" }
    paginate: none
"#
        .replace("a b", "ab")
        .as_str(),
    );
    plant.pull("days").await;
    let asked = &source.asked()[0];
    // Runs of these tests began on 2018-02-07T00:00:00Z.
    assert_eq!(
        asked.uri.to_string(),
        "/v1/acme/ab%2F?and=a%26b%3D4&day=2018-02-07&since=2018-02-05T12%3A00%3A00Z"
    );
    assert!(
        asked.headers["x-run"]
            .to_str()
            .unwrap()
            .starts_with("seismology-2018")
    );
}

#[tokio::test]
async fn bodies_are_json_forms_graphql_xml_and_text() {
    let source = Source::new(|asked| match asked.uri.path() {
        "/json" => {
            let page = asked.json();
            let offset = page["page"]["offset"].as_u64().unwrap();
            let rows = (offset..5).take(2).map(|id| json!({ "id": id }));
            json_of(json!({ "rows": rows.collect::<Vec<_>>() }))
        }
        "/graphql" => {
            let after = asked.json()["variables"]["after"]
                .as_str()
                .map_or(0, |after| after.parse().unwrap());
            let next = (after < 4).then_some(after + 2);
            let nodes = [json!({ "id": after }), json!({ "id": after + 1 })];
            json_of(json!({ "data": { "items": { "nodes": nodes, "next": next } } }))
        }
        _ => json_of(json!([{ "id": 1 }])),
    })
    .await;
    let plant = Plant::new(
        &source.url,
        r#"
  - name: json
    connection: source
    path: /json
    body: { json: { filter: { tenant: "{{ config.tenant }}", depth: "{{ config.depth }}" }, sort: [id] } }
    paginate: { offset: { offset_param: page.offset, limit_param: page.limit, limit: 2 } }
    records: rows
  - name: form
    connection: source
    path: /form
    body: { form: { tenant: "{{ config.tenant }} & co", depth: 3 } }
    paginate: { page: { size_param: size, size: 10 } }
  - name: graphql
    connection: source
    path: /graphql
    body:
      graphql:
        query: "query($after: Int, $tenant: String) { items(after: $after, tenant: $tenant) { nodes { id } next } }"
        variables: { tenant: "{{ config.tenant }}" }
    paginate: { cursor: { param: after, path: data.items.next } }
    records: data.items.nodes
  - name: soap
    connection: source
    path: /soap
    headers: { SOAPAction: "urn:List" }
    body: { xml: "<Envelope><Body><List tenant=\"{{ '<' ~ config.tenant }}\"/></Body></Envelope>" }
    paginate: none
  - name: text
    connection: source
    path: /text
    body: { text: "from {{ config.tenant }}" }
    paginate: none
"#,
    );
    let ids = |records: Vec<serde_json::Value>| {
        let ids = records.iter().map(|record| record["id"].as_u64().unwrap());
        ids.collect::<Vec<_>>()
    };
    assert_eq!(ids(plant.pull("json").await), [0, 1, 2, 3, 4]);
    assert_eq!(ids(plant.pull("graphql").await), [0, 1, 2, 3, 4, 5]);
    for name in ["form", "soap", "text"] {
        assert_eq!(plant.pull(name).await.len(), 1);
    }
    let asked = source.asked();
    let of = |path: &str| {
        let asked = asked.iter().filter(|asked| asked.uri.path() == path);
        asked.collect::<Vec<_>>()
    };
    assert!(asked.iter().all(|asked| asked.method == Method::POST));
    assert_eq!(
        of("/json")[1].json(),
        json!({ "filter": { "tenant": "acme", "depth": 3 }, "sort": ["id"], "page": { "offset": 2, "limit": 2 } })
    );
    assert_eq!(
        of("/graphql")[1].json()["variables"],
        json!({ "tenant": "acme", "after": "2" })
    );
    assert_eq!(
        of("/form")[0].text(),
        "depth=3&tenant=acme+%26+co&size=10&page=1"
    );
    let soap = of("/soap")[0];
    assert!(
        soap.text().contains("tenant=\"&lt;acme\""),
        "{}",
        soap.text()
    );
    assert_eq!(soap.headers["content-type"], "text/xml; charset=utf-8");
    assert_eq!(soap.headers["soapaction"], "urn:List");
    assert_eq!(of("/text")[0].text(), "from acme");
    let pages = &plant.manifests("json").await[0].pages;
    assert!(
        pages[0].origin.request.is_some() && pages[0].origin.request != pages[1].origin.request
    );
}

#[tokio::test]
async fn a_body_that_would_be_sent_again_is_found_out() {
    let source = Source::new(|_| json_of(json!({ "rows": [], "next": "same" }))).await;
    let plant = Plant::new(
        &source.url,
        r"
  - name: loop
    connection: source
    path: /loop
    body: { json: {} }
    paginate: { cursor: { param: after, path: next } }
    records: rows
",
    );
    let failure = plant.run("loop").await.unwrap_err();
    assert_eq!(failure.name, FailureName::BadAnswer);
    assert!(failure.message.starts_with("POST "), "{failure}");
    assert!(
        failure.message.contains("leads back to this page"),
        "{failure}"
    );
}

#[tokio::test]
async fn a_report_is_asked_for_polled_and_downloaded_however_often_the_step_is_killed() {
    let source = Source::new(|asked| {
        let polls = asked.number("n", 0);
        match asked.uri.path() {
            "/reports" => json_of(json!({ "job": { "id": "r/1" }, "status": "queued" })),
            "/reports/r%2F1" => json_of(
                json!({ "status": "done", "file": { "url": "/files/7?sig=x" }, "n": polls }),
            ),
            "/files/7" => json_of(json!([{ "id": 1 }, { "id": 2 }])),
            other => (axum::http::StatusCode::NOT_FOUND, other.to_owned()).into_response(),
        }
    })
    .await;
    let resources = r#"
  - name: sales
    connection: source
    url: "{{ job.file.url }}"
    partitions: { region: [emea, apac] }
    carry: { region: partition.region }
    paginate: none
    report:
      create: { path: /reports, body: { json: { region: "{{ partition.region }}" } } }
      poll: { path: "/reports/{{ job.job.id }}" }
      every: 100ms
      done: job.status == 'done'
      failed: job.status == 'failed'
"#;
    // The answer to a poll replaces the one before, so the id has to be kept by the source's own answers.
    let clean = Plant::new(&source.url, resources).pull("sales").await;
    assert_eq!(
        clean,
        [
            json!({ "region": "emea", "id": 1 }),
            json!({ "region": "emea", "id": 2 }),
            json!({ "region": "apac", "id": 1 }),
            json!({ "region": "apac", "id": 2 }),
        ]
    );
    assert_eq!(source.asked().len(), 6);
    assert_eq!(source.asked()[3].json(), json!({ "region": "apac" }));
    let plant = Plant::new(&source.url, resources);
    let input = plant.input(1, "sales").await;
    for calls in 2..16 {
        let dying = plant.ingest_until(calls);
        let _ = dying
            .run(
                &input,
                millrace_model::step::Deadline::NONE,
                &millrace_model::step::Unobserved,
            )
            .await;
    }
    assert_eq!(plant.pull("sales").await, clean);
}

#[tokio::test]
async fn a_report_that_fails_or_takes_too_long_is_told() {
    let source = Source::new(|asked| {
        let status = if asked.uri.path().contains("bad") {
            "failed"
        } else {
            "running"
        };
        json_of(json!({ "id": 1, "status": status, "why": "no such region" }))
    })
    .await;
    for (path, part) in [("bad", "no such region"), ("slow", "is not ready yet")] {
        let plant = Plant::new(
            &source.url,
            &format!(
                r"
  - name: sales
    connection: source
    path: /files
    paginate: none
    report:
      create: {{ path: /ok, method: POST }}
      poll: {{ path: /{path} }}
      every: 100ms
      within: 300ms
      done: job.status == 'done'
      failed: job.status == 'failed'
"
            ),
        );
        let failure = plant.run("sales").await.unwrap_err();
        assert_eq!(failure.name, FailureName::BadAnswer);
        assert!(failure.message.contains(part), "{failure}");
    }
}
