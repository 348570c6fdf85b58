use super::*;
use millrace_model::definition::connection::{Auth, KeyPlace, Politeness, Timeouts};
use millrace_model::definition::format::Format;
use millrace_model::definition::pipeline::{
    End, Incremental, OnRefusal, Paginate, RequestForm, Slices, TimestampForm, Token,
};
use millrace_model::definition::{FieldPath, SecretRef};
use std::collections::BTreeMap;
use std::time::Duration;

fn reference() -> SecretRef {
    SecretRef {
        name: "millrace/crm".into(),
        field: None,
    }
}

fn connection(auth: Auth) -> Connection {
    Connection {
        name: "crm".into(),
        base_url: "https://api.example.com/v1".into(),
        auth,
        politeness: Politeness::default(),
        headers: BTreeMap::from([
            ("X-Team".into(), "data".into()),
            ("Accept".into(), "application/geo+json".into()),
        ]),
        timeouts: Timeouts::default(),
    }
}

fn resource() -> Resource {
    Resource {
        name: "items".into(),
        connection: "crm".into(),
        rate_scope: None,
        path: "/items?fixed=1".into(),
        params: BTreeMap::from([("order by".into(), "a&b".into())]),
        headers: BTreeMap::new(),
        request: RequestForm::default(),
        slices: Slices::default(),
        on_refusal: OnRefusal::default(),
        report: None,
        paginate: Paginate::Cursor {
            param: "after".into(),
            token: Token::Body(FieldPath("next".into())),
            end: End::default(),
        },
        format: Format::default(),
        records: FieldPath("items".into()),
        incremental: Some(Incremental {
            field: FieldPath("updated".into()),
            param: Some("since".into()),
            start: CursorValue::Timestamp(0),
            lookback: Duration::ZERO,
            end_param: None,
            lag: Duration::ZERO,
            read: None,
            timezone: None,
            send: TimestampForm::EpochS,
        }),
        personal_data: None,
        filter: None,
        answers: Vec::new(),
        key: Vec::new(),
    }
}

fn requests(connection: &Connection, start: Option<&CursorValue>) -> Requests {
    let scope = run_scope(
        "run",
        "2026-03-01T06:30:00Z".parse().unwrap(),
        &BTreeMap::new(),
    );
    Requests::new(connection, &resource(), scope, start, None)
}

fn in_query() -> Auth {
    Auth::ApiKey {
        secret: reference(),
        place: KeyPlace::Query("api_key".into()),
    }
}

#[test]
fn a_url_has_the_fixed_parameters_the_cursor_and_the_page() {
    let requests = requests(
        &connection(Auth::None),
        Some(&CursorValue::Timestamp(5_000)),
    );
    let page = |position| {
        let request = requests.page(&json!({}), &resource().paginate, &position);
        request.unwrap()
    };
    let first = page(Position::Start);
    assert_eq!(
        first.url.as_str(),
        "https://api.example.com/v1/items?fixed=1&order+by=a%26b&since=5"
    );
    assert_eq!(first.headers["accept"], "application/geo+json");
    assert_eq!(first.headers["x-team"], "data");
    let second = page(Position::Cursor {
        cursor: "x=&y".into(),
    });
    assert_eq!(
        second.url.query(),
        Some("fixed=1&order+by=a%26b&since=5&after=x%3D%26y")
    );
}

#[test]
fn a_key_in_the_query_is_never_shown_or_kept() {
    let auth = in_query();
    let requests = requests(&connection(auth), None);
    let request = requests
        .page(&json!({}), &resource().paginate, &Position::Start)
        .unwrap();
    assert!(!request.url.as_str().contains("api_key"));
    assert!(request.shown.ends_with("&api_key=***"));
    let link = Position::Url {
        url: "https://api.example.com/v1/items?api_key=hunter%262&page=2".into(),
    };
    let kept = requests.unsigned(link);
    assert_eq!(
        kept,
        Position::Url {
            url: "https://api.example.com/v1/items?page=2".into()
        }
    );
}

#[test]
fn what_no_request_can_be_made_of_is_a_bad_definition() {
    let mut elsewhere = connection(Auth::None);
    elsewhere.base_url = "ftp://api.example.com".into();
    let mut nowhere = connection(Auth::None);
    nowhere.base_url = "api.example.com".into();
    let mut header = connection(Auth::None);
    header.headers.insert("X Team".into(), "data".into());
    for connection in [elsewhere, nowhere, header] {
        let failure = requests(&connection, None)
            .page(&json!({}), &resource().paginate, &Position::Start)
            .unwrap_err();
        assert_eq!(failure.name, FailureName::BadDefinition, "{failure}");
    }
}
