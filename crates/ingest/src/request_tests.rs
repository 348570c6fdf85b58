use super::*;
use millrace_model::definition::FieldPath;
use millrace_model::definition::connection::{Auth, KeyPlace};
use millrace_model::definition::pipeline::{Incremental, Paginate, TimestampForm};
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
        rate_limit: None,
        headers: BTreeMap::from([
            ("X-Team".into(), "data".into()),
            ("Accept".into(), "application/geo+json".into()),
        ]),
        timeout: Duration::from_secs(5),
    }
}

fn resource() -> Resource {
    Resource {
        name: "items".into(),
        connection: "crm".into(),
        path: "/items?fixed=1".into(),
        params: BTreeMap::from([("order by".into(), "a&b".into())]),
        headers: BTreeMap::new(),
        paginate: Paginate::Cursor {
            param: "after".into(),
            path: FieldPath("next".into()),
        },
        records: FieldPath("items".into()),
        incremental: Some(Incremental {
            field: FieldPath("updated".into()),
            param: "since".into(),
            start: CursorValue::Timestamp(0),
            lookback: Duration::ZERO,
            send: TimestampForm::EpochS,
        }),
        key: Vec::new(),
    }
}

fn in_query() -> Auth {
    Auth::ApiKey {
        secret: reference(),
        place: KeyPlace::Query("api_key".into()),
    }
}

fn credential(auth: &Auth, text: &str) -> Result<Credential, Failure> {
    Credential::from_secret(auth, &reference(), &Secret::new("millrace/crm", text))
}

#[test]
fn a_url_has_the_fixed_parameters_the_cursor_and_the_page() {
    let requests = Requests::new(
        &connection(Auth::None),
        &resource(),
        Some(&CursorValue::Timestamp(5_000)),
    )
    .unwrap();
    let url = requests.url(&resource(), &Position::Start).unwrap();
    assert_eq!(
        url.as_str(),
        "https://api.example.com/v1/items?fixed=1&order+by=a%26b&since=5"
    );
    let url = requests
        .url(
            &resource(),
            &Position::Cursor {
                cursor: "x=&y".into(),
            },
        )
        .unwrap();
    assert_eq!(
        url.query(),
        Some("fixed=1&order+by=a%26b&since=5&after=x%3D%26y")
    );
    assert_eq!(requests.headers["accept"], "application/geo+json");
    assert_eq!(requests.headers["x-team"], "data");
}

#[test]
fn a_key_in_the_query_is_sent_and_never_shown_or_kept() {
    let auth = in_query();
    let requests = Requests::new(&connection(auth.clone()), &resource(), None).unwrap();
    let credential = credential(&auth, "hunter&2").unwrap();
    let url = requests.url(&resource(), &Position::Start).unwrap();
    assert!(
        credential
            .sign(&url)
            .as_str()
            .ends_with("&api_key=hunter%262")
    );
    assert!(!url.as_str().contains("hunter"));
    assert!(requests.shown(&url).ends_with("&api_key=***"));
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
    assert_eq!(
        credential.scrub("you sent hunter&2 (hunter%262)"),
        "you sent *** (***)"
    );
    assert!(!format!("{credential:?}").contains("hunter"));
}

#[test]
fn headers_carry_the_credential_marked_as_sensitive() {
    let bearer = Auth::Bearer {
        secret: reference(),
    };
    let basic = Auth::Basic {
        secret: reference(),
    };
    let key = Auth::ApiKey {
        secret: reference(),
        place: KeyPlace::Header("X-Api-Key".into()),
    };
    for (auth, secret, name, value) in [
        (&bearer, "hunter2", "authorization", "Bearer hunter2"),
        (
            &bearer,
            r#"{"token": "hunter2"}"#,
            "authorization",
            "Bearer hunter2",
        ),
        (
            &basic,
            r#"{"username": "ann", "password": "hunter2"}"#,
            "authorization",
            "Basic YW5uOmh1bnRlcjI=",
        ),
        (&key, r#"{"key": "hunter2"}"#, "x-api-key", "hunter2"),
    ] {
        let credential = credential(auth, secret).unwrap();
        let (sent_name, sent_value) = credential.header().unwrap();
        assert_eq!(
            (sent_name.as_str(), sent_value.to_str().unwrap()),
            (name, value)
        );
        assert!(sent_value.is_sensitive());
        assert_eq!(credential.scrub("no hunter2 here"), "no *** here");
    }
}

#[test]
fn a_secret_of_another_form_is_told_without_its_value() {
    for (auth, secret) in [
        (
            Auth::Basic {
                secret: reference(),
            },
            "hunter2",
        ),
        (
            Auth::Basic {
                secret: reference(),
            },
            r#"{"username": "hunter2"}"#,
        ),
        (
            Auth::Bearer {
                secret: reference(),
            },
            "hunter2\u{1}",
        ),
        (
            Auth::Bearer {
                secret: reference(),
            },
            r#"{"tokn": "hunter2"}"#,
        ),
    ] {
        let failure = credential(&auth, secret).unwrap_err();
        assert_eq!(failure.name, FailureName::Unauthorized);
        assert!(failure.message.contains("millrace/crm"), "{failure}");
        assert!(!failure.message.contains("hunter2"), "{failure}");
    }
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
        let failure = Requests::new(&connection, &resource(), None).unwrap_err();
        assert_eq!(failure.name, FailureName::BadDefinition, "{failure}");
    }
}
