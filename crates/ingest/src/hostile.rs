//! What a source may send that nobody thought of: whatever it is, nothing panics, and no pull goes round in circles.

use crate::checkpoint::Checkpoint;
use crate::cursor::{Reader, parameter};
use crate::paginate::{self, Answer, Hints};
use crate::scan::{Scalar, Scanner};
use crate::targets::Targets;
use crate::throttle::{hostile_headers, retry_after};
use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use millrace_model::definition::FieldPath;
use millrace_model::definition::pipeline::{
    CursorValue, End, Incremental, Paginate, TimestampForm, Token,
};
use millrace_model::raw::{Manifest, Page, Position};
use millrace_model::state::PartitionCursors;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::time::Duration;
use url::Url;

/// How many cases: many in the long form of the tests.
fn cases() -> ProptestConfig {
    let is_long = std::env::var("MILLRACE_TEST_LENGTH").is_ok_and(|length| length == "long");
    ProptestConfig::with_cases(if is_long { 50_000 } else { 500 })
}

fn path(text: &str) -> FieldPath {
    FieldPath(text.to_owned())
}

fn headers(pairs: &[(String, Vec<u8>)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
            map.append(name, value);
        }
    }
    map
}

/// A value that looks as if it meant something, or means nothing at all.
fn header_value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..40),
        "[-+]?[0-9]{0,25}(\\.[0-9]{0,9})?(e[0-9]{1,4})?[smhd]{0,2}".prop_map(String::into_bytes),
        "(limit|remaining|reset|r|t|q|w|\"[a-z]*\")[=;, ]{0,2}[0-9]{0,22}([,;] ?[a-z]=[0-9-]{0,22}){0,4}"
            .prop_map(String::into_bytes),
        "(Mon|Tue|Xyz), [0-9]{2} (Jan|Feb|Foo) [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} (GMT|CET)?"
            .prop_map(String::into_bytes),
        "[0-9-]{4,7}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(Z|\\+99:99)?".prop_map(String::into_bytes),
        "(<[^>]{0,12}>(; ?[a-z]{1,4}=\"?[a-z \\\\]{0,8}\"?){0,3},? ?){0,4}".prop_map(String::into_bytes),
    ]
}

fn header() -> impl Strategy<Value = (String, Vec<u8>)> {
    let name = prop_oneof![
        Just("retry-after".to_owned()),
        Just("date".to_owned()),
        Just("link".to_owned()),
        Just("ratelimit".to_owned()),
        Just("ratelimit-policy".to_owned()),
        "(x-)?rate-?limit[-_](limit|remaining|reset|reset-after|used)(-[a-z]{1,6})?",
    ];
    (name, header_value())
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[ -~]{0,12}".prop_map(Value::from),
        "(https?:)?(//[a-z.]{0,9})?(/[a-z]{0,3})?(\\?[a-z]=[0-9]{1,2})?".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 5, |inner| {
        let key = prop_oneof![
            Just("next"),
            Just("items"),
            Just("total"),
            Just("has_more"),
            Just("pages"),
            Just("id"),
            Just("@odata.nextLink"),
            Just("links"),
        ];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((key, inner), 0..6).prop_map(|pairs| {
                pairs
                    .into_iter()
                    .map(|(key, value)| (key.to_owned(), value))
                    .collect()
            }),
        ]
    })
}

fn paginators() -> Vec<Paginate> {
    let end = || End {
        has_more: Some(path("has_more")),
        total: Some(path("total")),
        pages: Some(path("pages")),
    };
    let text = str::to_owned;
    let mut all = vec![
        Paginate::Auto,
        Paginate::NextLink { path: path("next") },
        Paginate::LinkHeader,
        Paginate::Odata,
    ];
    for end in [End::default(), end()] {
        all.extend([
            Paginate::Offset {
                offset_param: text("offset"),
                limit_param: text("limit"),
                limit: 2,
                first: 0,
                end: end.clone(),
            },
            Paginate::Page {
                page_param: text("page"),
                size_param: None,
                size: None,
                first: 1,
                end: end.clone(),
            },
            Paginate::Cursor {
                param: text("after"),
                token: Token::Body(path("next")),
                end: end.clone(),
            },
            Paginate::Keyset {
                param: text("after"),
                field: path("id"),
                limit_param: None,
                limit: None,
                end,
            },
        ]);
    }
    all
}

/// Follows a source that answers with these bodies and headers again and again, as a pull does: until the end, a failure, a
/// request that was made before, or a body that was there just now. How many requests that took.
fn follow(paginate: &Paginate, answers: &[(Value, HeaderMap)]) -> usize {
    let mut paginate = paginate.clone();
    let url = Url::parse("https://api.example.com/items").expect("a URL");
    let (mut position, mut asked, mut records) = (Position::Start, HashSet::new(), 0);
    let mut last = None;
    for count in 0.. {
        let is_new = asked.insert(serde_json::to_string(&position).expect("JSON"));
        let (body, headers) = &answers[count % answers.len()];
        if position == Position::End || !is_new || last == Some(body) || records > 100 {
            return count;
        }
        last = Some(body);
        let targets = Targets::new(&path("items"), None, paginate::next_path(&paginate))
            .and_last(paginate::last_field(&paginate));
        let targets = match paginate {
            Paginate::Auto => targets.and_all_meta(),
            _ => targets.and_meta(paginate::watched(&paginate)),
        };
        let mut scanner = Scanner::new(&targets);
        let text = body.to_string();
        let found = scanner.write(text.as_bytes()).and_then(|()| scanner.end());
        let Ok(found) = found else {
            return count;
        };
        let hints = Hints::of(headers, &paginate);
        let answer = Answer {
            url: &url,
            hints: &hints,
            found: &found,
        };
        records += found.records;
        if paginate == Paginate::Auto {
            match paginate::detect(answer) {
                Some(choice) => paginate = choice.paginate,
                None => return count,
            }
        }
        match paginate::next(&paginate, &position, answer) {
            Ok(next) => position = next,
            Err(_) => return count,
        }
    }
    unreachable!("a walk ends")
}

fn manifest(segment: u32, pages: &[(u64, u64, u64)], next: Position) -> Manifest {
    let page = |(offset, length, records): &(u64, u64, u64)| Page {
        url: "https://api.example.com/items".to_owned(),
        status: 200,
        content_type: None,
        requested_at: String::new(),
        offset: *offset,
        length: *length,
        body_length: *length,
        sha256: String::new(),
        records: *records,
        origin: millrace_model::raw::Origin::default(),
        rewritten: false,
    };
    Manifest {
        segment,
        object: None,
        pages: pages.iter().map(page).collect(),
        start: None,
        starts: PartitionCursors::new(),
        paginate: None,
        next,
        cursor: None,
        cursors: PartitionCursors::new(),
        requests: 1,
        committed_at: String::new(),
        written_by: "cli".to_owned(),
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn whatever_headers_say_a_wait_is_a_wait(
        pairs in proptest::collection::vec(header(), 0..6),
        now in -1_000_000_000_000_i64..10_000_000_000_000,
        senders in any::<u32>(),
    ) {
        let headers = headers(&pairs);
        let now = Timestamp::from_millisecond(now).expect("a moment");
        let _ = retry_after(&headers, now);
        if let Some(spacing) = hostile_headers::spacing(&headers, now, senders) {
            prop_assert!(spacing <= Duration::from_hours(24), "{spacing:?}");
        }
    }

    #[test]
    fn seconds_are_never_shortened(seconds in 0_u64..1_000_000_000, now in 0_i64..4_000_000_000_000) {
        let headers = headers(&[("retry-after".to_owned(), seconds.to_string().into_bytes())]);
        let now = Timestamp::from_millisecond(now).expect("a moment");
        prop_assert_eq!(retry_after(&headers, now), Some(Duration::from_secs(seconds)));
    }

    #[test]
    fn no_source_leads_in_circles(
        bodies in proptest::collection::vec((json_value(), json_value(), proptest::collection::vec(header(), 0..2)), 1..4),
    ) {
        let answers: Vec<(Value, HeaderMap)> = bodies
            .iter()
            .map(|(items, next, pairs)| {
                let body = json!({ "items": items, "next": next, "total": next, "has_more": items, "@odata.nextLink": next });
                (body, headers(pairs))
            })
            .collect();
        for paginate in paginators() {
            let requests = follow(&paginate, &answers);
            prop_assert!(requests <= 200, "{paginate:?}: {requests} requests");
        }
    }

    #[test]
    fn any_text_is_a_moment_or_none(
        text in "\\PC{0,40}|[0-9TZ:+./ -]{0,30}|[-0-9.e]{0,24}",
        form in proptest::option::of("(%[a-zA-Z:]{1,2}|[ ./:T-]|\\PC){0,8}"),
        zone in proptest::option::of("Europe/Berlin|America/St_Johns|Pacific/Apia|no/zone"),
        millis in any::<i64>(),
    ) {
        let incremental = Incremental {
            field: path("at"),
            param: None,
            start: CursorValue::Timestamp(0),
            lookback: Duration::ZERO,
            end_param: None,
            lag: Duration::ZERO,
            read: form.clone(),
            timezone: zone,
            send: form.map_or(TimestampForm::Iso, TimestampForm::Own),
        };
        let reader = Reader::of(&incremental);
        for scalar in [Scalar::Text(&text), Scalar::Number(&text)] {
            if let Some(value) = reader.read(&scalar) {
                let _ = parameter(&value, &incremental);
            }
        }
        let _ = parameter(&CursorValue::Timestamp(millis), &incremental);
        let _ = CursorValue::parse(&text);
    }

    #[test]
    fn a_manifest_is_read_or_refused(
        pages in proptest::collection::vec(any::<(u64, u64, u64)>(), 0..4),
        segments in proptest::collection::vec(0_u32..3, 0..4),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut checkpoint = Checkpoint::empty();
        for segment in segments {
            let whole = manifest(segment, &pages, Position::Page { page: u64::MAX });
            let _ = checkpoint.take(&whole);
            let mut bytes = serde_json::to_vec(&whole).expect("JSON");
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok(broken) = serde_json::from_slice::<Manifest>(&bytes) {
                let _ = checkpoint.take(&broken);
            }
        }
    }
}
