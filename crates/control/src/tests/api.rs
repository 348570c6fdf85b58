//! The control API.

use super::ground::{Ground, KEY, PIPELINE, body, request, run_of};
use crate::openapi;
use bytes::Bytes;
use http::Request;
use millrace_store::definitions;
use serde_json::json;

#[tokio::test]
async fn without_a_key_401_and_with_a_wrong_one_403() {
    let ground = Ground::new(PIPELINE).await;
    let get = |headers: &[(&str, &str)]| {
        let mut request = Request::builder().uri("/runs");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Bytes::new()).unwrap()
    };
    let bearer = format!("bearer {KEY}");
    for (headers, status) in [
        (&[][..], 401),
        (&[("x-api-key", "")][..], 401),
        (&[("authorization", "Basic a2V5")][..], 401),
        (&[("x-api-key", "wrong")][..], 403),
        (&[("authorization", "Bearer wrong")][..], 403),
        (&[("authorization", bearer.as_str())][..], 200),
        (&[("x-api-key", KEY)][..], 200),
    ] {
        let response = ground.control().http(get(headers)).await;
        assert_eq!(response.status(), status, "{headers:?}");
        if status != 200 {
            assert_eq!(
                response.headers()["content-type"],
                "application/problem+json"
            );
            assert_eq!(body(&response)["status"], status);
        }
        assert_eq!(
            response.headers().contains_key("www-authenticate"),
            status == 401
        );
    }
}

#[tokio::test]
async fn a_run_may_be_a_full_refresh_a_backfill_or_a_retry() {
    let incremental =
        "records: features\n    incremental: { field: updated, param: since, start: 2026-01-01 }";
    let ground = Ground::new(&PIPELINE.replace("records: features", incremental)).await;
    let control = ground.control();
    let start = async |text: &str| {
        let request = Request::post("/pipelines/earthquakes/runs").header("x-api-key", KEY);
        let text = Bytes::copy_from_slice(text.as_bytes());
        control.http(request.body(text).unwrap()).await
    };
    for (text, kind) in [
        ("", "regular"),
        ("{}", "regular"),
        (r#"{"full_refresh": true}"#, "full_refresh"),
        (
            r#"{"from": "2026-02-01", "to": "2026-02-03T12:00:00Z"}"#,
            "backfill",
        ),
        (
            r#"{"retry": "earthquakes-20260101T000000Z-00000ab1"}"#,
            "retry",
        ),
    ] {
        let started = start(text).await;
        assert_eq!(started.status(), 202, "{text}: {:?}", started.body());
        let run = run_of(&started);
        let definition = body(&started)["data"]["definition"]
            .as_str()
            .unwrap()
            .to_owned();
        let pinned = definitions::pinned(&*ground.objects, &definition)
            .await
            .unwrap();
        let mode = serde_json::to_value(&pinned.mode).unwrap();
        assert_eq!(mode["kind"], kind);
        ground.succeed(&run).await;
    }
    for (text, status) in [
        ("no", 400),
        ("[]", 400),
        (r#"{"refresh": true}"#, 400),
        (r#"{"to": "2026-02-01"}"#, 400),
        (r#"{"full_refresh": true, "from": "2026-02-01"}"#, 400),
        (r#"{"from": "2026-02-03", "to": "2026-02-01"}"#, 400),
        (r#"{"from": "yesterday"}"#, 400),
        (r#"{"from": "7"}"#, 422),
    ] {
        assert_eq!(start(text).await.status(), status, "{text}");
    }
}

#[tokio::test]
async fn starts_reads_lists_and_cancels_a_run() {
    let ground = Ground::new(PIPELINE).await;
    let control = ground.control();
    let started = control
        .http(request(
            "POST",
            "/pipelines/earthquakes/runs",
            &[("x-forwarded-prefix", "/v1")],
        ))
        .await;
    let run = run_of(&started);
    assert_eq!(started.status(), 202);
    assert_eq!(started.headers()["location"], format!("/v1/runs/{run}"));
    assert_eq!(body(&started)["data"]["status"], "running");
    assert_eq!(
        body(&started)["data"]["trigger"],
        json!({"by": "api", "caller": "adf"})
    );

    let read = control
        .http(request("GET", &format!("/runs/{run}"), &[]))
        .await;
    assert_eq!((read.status().as_u16(), run_of(&read)), (200, run.clone()));
    let refused = control
        .http(request("POST", "/pipelines/earthquakes/runs", &[]))
        .await;
    assert_eq!(refused.status(), 409);
    assert!(
        body(&refused)["detail"]
            .as_str()
            .unwrap()
            .contains(run.as_str()),
        "{:?}",
        refused.body()
    );

    for _ in 0..2 {
        let cancelled = control
            .http(request("POST", &format!("/runs/{run}/cancel"), &[]))
            .await;
        assert_eq!(
            (
                cancelled.status().as_u16(),
                &body(&cancelled)["data"]["status"]
            ),
            (200, &json!("cancelled"))
        );
        assert_eq!(
            body(&cancelled)["data"]["failure"]["message"],
            "cancelled by adf"
        );
    }
    assert!(ground.executions.running().is_empty());
    let next = run_of(
        &control
            .http(request("POST", "/pipelines/earthquakes/runs", &[]))
            .await,
    );
    ground.succeed(&next).await;
    let late = control
        .http(request("POST", &format!("/runs/{next}/cancel"), &[]))
        .await;
    assert_eq!(late.status(), 409);

    let list = async |query: &str| {
        let answer = control
            .http(request("GET", &format!("/runs{query}"), &[]))
            .await;
        assert_eq!(answer.status(), 200, "{query}");
        body(&answer)
    };
    assert_eq!(list("").await["data"].as_array().unwrap().len(), 3);
    assert_eq!(
        list("?status=succeeded&pipeline=earthquakes").await["data"][0]["run"],
        json!(next)
    );
    assert_eq!(
        list("?pipeline=other").await,
        json!({"data": [], "page": {"next": null}})
    );
    let page = list("?limit=2").await;
    let cursor = page["page"]["next"].as_str().unwrap();
    let rest = list(&format!("?limit=2&cursor={cursor}")).await;
    assert_eq!(
        (
            rest["data"].as_array().unwrap().len(),
            &rest["page"]["next"]
        ),
        (1, &json!(null))
    );
}

#[tokio::test]
async fn lists_pipelines() {
    let ground = Ground::new(PIPELINE).await;
    let answer = ground
        .control()
        .http(request("GET", "/pipelines", &[]))
        .await;
    let expected = json!({"name": "earthquakes", "description": "Every earthquake.", "schedule": null, "concurrency": "forbid"});
    assert_eq!(body(&answer), json!({"data": [expected]}));
}

#[tokio::test]
async fn says_what_is_wrong_with_a_request() {
    let ground = Ground::new(PIPELINE).await;
    let long = "k".repeat(256);
    for (method, uri, headers, status, detail) in [
        ("GET", "/nothing", &[][..], 404, "/pipelines"),
        ("POST", "/runs", &[][..], 405, "GET"),
        ("GET", "/pipelines/earthquakes/runs", &[][..], 405, "POST"),
        (
            "GET",
            "/runs/earthquakes-20260101T000000Z-00000000",
            &[][..],
            404,
            "no run",
        ),
        ("GET", "/runs/..", &[][..], 404, "no run"),
        ("POST", "/runs/no-such-run/cancel", &[][..], 404, "no run"),
        (
            "POST",
            "/pipelines/eartquakes/runs",
            &[][..],
            404,
            "no pipeline `eartquakes`",
        ),
        ("POST", "/pipelines/..%2f/runs", &[][..], 404, "no pipeline"),
        (
            "POST",
            "/pipelines/earthquakes/runs",
            &[("idempotency-key", "")][..],
            400,
            "1 to 255",
        ),
        (
            "POST",
            "/pipelines/earthquakes/runs",
            &[("idempotency-key", long.as_str())][..],
            400,
            "1 to 255",
        ),
        (
            "GET",
            "/runs?status=done",
            &[][..],
            400,
            "`status` is `done`",
        ),
        ("GET", "/runs?limit=0", &[][..], 400, "from 1 to 100"),
        ("GET", "/runs?cursor=x", &[][..], 400, "no page gave"),
        ("GET", "/runs?pipeline=../x", &[][..], 400, "not the name"),
        ("GET", "/runs?page=1", &[][..], 400, "no parameter `page`"),
    ] {
        let response = ground.control().http(request(method, uri, headers)).await;
        assert_eq!(response.status(), status, "{method} {uri}");
        let problem = body(&response);
        assert!(
            problem["detail"].as_str().unwrap().contains(detail),
            "{problem}"
        );
    }
    assert!(ground.runs().await.is_empty());
}

#[tokio::test]
async fn a_body_is_refused_where_none_is_taken() {
    let ground = Ground::new(PIPELINE).await;
    for (text, status) in [("{\"full\": true}", 400), ("x", 400), (" {} ", 202)] {
        let mut request = request("POST", "/pipelines/earthquakes/runs", &[]);
        *request.body_mut() = Bytes::from(text);
        assert_eq!(
            ground.control().http(request).await.status(),
            status,
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_broken_pipeline_is_422_with_its_problems() {
    let ground = Ground::new(&PIPELINE.replace("records", "recrods")).await;
    let response = ground
        .control()
        .http(request("POST", "/pipelines/earthquakes/runs", &[]))
        .await;
    assert_eq!(response.status(), 422);
    let problem = &body(&response)["problems"][0];
    assert_eq!(
        (&problem["file"], &problem["line"]),
        (&json!("pipelines/earthquakes.yaml"), &json!(8))
    );

    let ground = Ground::new(&PIPELINE.replace("connection: usgs", "connection: usg")).await;
    let response = ground
        .control()
        .http(request("POST", "/pipelines/earthquakes/runs", &[]))
        .await;
    assert_eq!(response.status(), 422);
    assert!(ground.runs().await.is_empty());
}

/// Every path of the document is answered by its methods, and by no others.
#[tokio::test]
async fn the_document_and_the_routes_agree() {
    let ground = Ground::new(PIPELINE).await;
    let document = openapi();
    for (path, operations) in document["paths"].as_object().unwrap() {
        let uri = path
            .replace("{name}", "nothing")
            .replace("{run}", "nothing");
        for method in ["get", "post", "put", "delete"] {
            let upper = method.to_uppercase();
            let status = ground
                .control()
                .http(request(&upper, &uri, &[]))
                .await
                .status()
                .as_u16();
            let documented = operations.get(method);
            assert_eq!(status != 405, documented.is_some(), "{method} {path}");
            if let Some(operation) = documented {
                assert!(
                    operation["responses"].get(status.to_string()).is_some(),
                    "{method} {path}: {status}"
                );
            }
        }
    }
}
