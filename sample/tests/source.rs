//! The source over HTTP, as a puller sees it.

use sample::{Behaviour, Correct, Options, Running, StatusEvery};
use serde_json::{Value, json};

async fn started(options: Options) -> Running {
    sample::start(options).await.expect("a free port")
}

async fn get(url: &str) -> reqwest::Response {
    reqwest::get(url).await.expect("an answer")
}

async fn get_json(url: &str) -> Value {
    get(url).await.json().await.expect("JSON")
}

fn ids(page: &Value, records: &str) -> Vec<String> {
    let items = page[records].as_array().expect("a list");
    items
        .iter()
        .map(|item| item["id"].as_str().expect("an id").to_owned())
        .collect()
}

fn query(source: &Running, parameters: &str) -> String {
    format!("{}/query?format=geojson&{parameters}", source.event_url())
}

#[tokio::test]
async fn the_pages_of_the_event_service_hold_every_report_once() {
    let source = started(Options {
        records: 2_500,
        ..Options::default()
    })
    .await;
    let mut seen = std::collections::BTreeSet::new();
    for offset in [1, 1001, 2001] {
        let page = get_json(&query(
            &source,
            &format!("limit=1000&offset={offset}&orderby=time-asc"),
        ))
        .await;
        let page_ids = ids(&page, "features");
        assert_eq!(page["metadata"]["count"], page_ids.len());
        assert_eq!(page["metadata"]["offset"], offset);
        assert_eq!(page["metadata"]["status"], 200);
        seen.extend(page_ids);
    }
    assert_eq!(seen.len(), 2_500);
    let beyond = get(&query(&source, "limit=1000&offset=2501")).await;
    assert_eq!(beyond.status(), 204);
    assert!(beyond.bytes().await.expect("a body").is_empty());
    let count = get(&format!("{}/count", source.event_url()))
        .await
        .text()
        .await
        .expect("text");
    assert_eq!(count, "2500");
}

#[tokio::test]
async fn a_refusal_is_plain_text_in_the_real_services_words() {
    let source = started(Options::default()).await;
    let answer = get(&query(&source, "limit=abc")).await;
    assert_eq!(answer.status(), 400);
    assert_eq!(answer.headers()["content-type"], "text/plain");
    let text = answer.text().await.expect("text");
    assert!(
        text.starts_with("Error 400: Bad Request\n\nBad limit value \"abc\". Valid values are 0 <= limit <= 20000\n\n"),
        "{text}"
    );
    assert!(
        text.contains("\n\nRequest:\n/fdsnws/event/1/query?format=geojson&limit=abc\n\n"),
        "{text}"
    );
}

#[tokio::test]
async fn what_matches_nothing_can_be_a_204_a_404_or_an_empty_list() {
    let source = started(Options::default()).await;
    let nothing = query(&source, "minmagnitude=9.9");
    assert_eq!(get(&nothing).await.status(), 204);
    assert_eq!(get(&format!("{nothing}&nodata=404")).await.status(), 404);
    source.behave(Behaviour {
        empty_list: true,
        ..Behaviour::default()
    });
    assert_eq!(get_json(&nothing).await["features"], json!([]));
}

#[tokio::test]
async fn every_plain_list_leads_to_all_reports() {
    let source = started(Options {
        records: 250,
        ..Options::default()
    })
    .await;
    let url = &source.url;
    let mut by_page = Vec::new();
    for page in 1..=3 {
        by_page.extend(ids(
            &get_json(&format!("{url}/pages?page={page}&size=100")).await,
            "items",
        ));
    }
    assert!(
        ids(
            &get_json(&format!("{url}/pages?page=4&size=100")).await,
            "items"
        )
        .is_empty()
    );

    let (mut by_cursor, mut after) = (Vec::new(), None::<String>);
    loop {
        let mut address = reqwest::Url::parse(&format!("{url}/cursor?size=100")).expect("a URL");
        if let Some(after) = &after {
            address.query_pairs_mut().append_pair("after", after);
        }
        let page = get_json(address.as_str()).await;
        by_cursor.extend(ids(&page, "items"));
        match page["paging"]["next"].as_str() {
            Some(next) => after = Some(next.to_owned()),
            None => break,
        }
    }

    let (mut by_link, mut next, mut forms) =
        (Vec::new(), Some("/links?size=100".to_owned()), Vec::new());
    while let Some(link) = next {
        forms.push(link.starts_with("http"));
        let address = reqwest::Url::parse(url)
            .and_then(|base| base.join(&link))
            .expect("a URL");
        let page = get_json(address.as_str()).await;
        by_link.extend(ids(&page, "items"));
        next = page["links"]["next"].as_str().map(str::to_owned);
    }
    assert_eq!(forms, [false, true, false]);

    let list = get_json(&format!("{url}/list?size=1000")).await;
    let all: Vec<&str> = list
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|item| item["id"].as_str())
        .collect();
    assert_eq!(all.len(), 250);
    assert_eq!(by_page, all);
    assert_eq!(by_cursor, all);
    assert_eq!(by_link, all);
}

#[tokio::test]
async fn it_misbehaves_as_told_at_run_time_and_keeps_count() {
    let source = started(Options {
        records: 50,
        ..Options::default()
    })
    .await;
    let client = reqwest::Client::new();
    let control = format!("{}/_control", source.url);
    let told = json!({"status_every": {"n": 2, "status": 429, "retry_after": "3"}, "cut_every": 3});
    let answer = client
        .post(&control)
        .json(&told)
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 200);

    let page = query(&source, "limit=50");
    assert_eq!(
        get(&page).await.bytes().await.expect("a body").len() as u64,
        source.sent()[0].length
    );
    let limited = get(&page).await;
    assert_eq!(
        (
            limited.status().as_u16(),
            limited.headers()["retry-after"].to_str().ok()
        ),
        (429, Some("3"))
    );
    assert!(
        get(&page).await.bytes().await.is_err(),
        "the third body is cut"
    );

    let typo = client
        .post(&control)
        .json(&json!({"delay": 1}))
        .send()
        .await
        .expect("an answer");
    assert_eq!(typo.status(), 400);
    let stats = source.stats();
    assert_eq!((stats.requests, stats.broken, stats.records), (3, 1, 50));
    assert_eq!(
        source.behaviour().status_every,
        Some(StatusEvery {
            n: 2,
            status: 429,
            retry_after: Some("3".into())
        })
    );
}

#[tokio::test]
async fn corrections_are_found_by_updatedafter() {
    let source = started(Options {
        records: 3_000,
        ..Options::default()
    })
    .await;
    let corrected = source.correct(&Correct {
        count: 25,
        magnitude: 0.5,
        ..Correct::default()
    });
    assert_eq!(corrected.ids.len(), 25);
    let since = jiff::Timestamp::from_millisecond(corrected.updated).expect("a time");
    let page = get_json(&query(
        &source,
        &format!("updatedafter={since}&orderby=time-asc"),
    ))
    .await;
    assert_eq!(ids(&page, "features"), corrected.ids);
}

#[tokio::test]
async fn keyed_opens_to_each_kind_of_credential_and_to_no_other() {
    let source = started(Options {
        records: 5,
        ..Options::default()
    })
    .await;
    let client = reqwest::Client::new();
    let url = format!("{}/keyed", source.url);
    let status = async |request: reqwest::RequestBuilder| {
        request.send().await.expect("an answer").status().as_u16()
    };
    assert_eq!(status(client.get(&url)).await, 401);
    assert_eq!(status(client.get(&url).bearer_auth("wrong")).await, 401);
    assert_eq!(
        status(client.get(&url).bearer_auth(sample::BEARER_TOKEN)).await,
        200
    );
    assert_eq!(
        status(
            client
                .get(&url)
                .basic_auth("sample", Some("sample-password"))
        )
        .await,
        200
    );
    assert_eq!(
        status(client.get(&url).header("x-api-key", sample::API_KEY)).await,
        200
    );
    assert_eq!(
        status(client.get(&url).query(&[("api_key", sample::API_KEY)])).await,
        200
    );
}

#[tokio::test]
async fn compressed_bodies_are_the_same_bodies() {
    let behaviour = Behaviour {
        gzip: true,
        ..Behaviour::default()
    };
    let source = started(Options {
        behaviour,
        ..Options::default()
    })
    .await;
    let page = query(&source, "limit=100");
    let plain = reqwest::Client::builder()
        .no_gzip()
        .build()
        .expect("a client");
    let plain = plain
        .get(&page)
        .send()
        .await
        .expect("an answer")
        .bytes()
        .await
        .expect("a body");
    let packed = get(&page).await.bytes().await.expect("a body");
    assert_eq!(plain, packed);
    assert_eq!(source.sent()[0].sha256, source.sent()[1].sha256);
}
