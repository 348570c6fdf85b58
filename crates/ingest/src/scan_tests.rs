use super::*;
use crate::cursor::CursorKind;
use millrace_model::definition::FieldPath;
use millrace_model::definition::pipeline::CursorValue;
use proptest::prelude::*;
use serde_json::{Value, json};

fn path(text: &str) -> FieldPath {
    FieldPath(text.to_owned())
}

/// Scans in pieces of that size.
fn scan(targets: &Targets, body: &str, piece: usize) -> Result<Found, ScanError> {
    let mut scanner = Scanner::new(targets);
    for piece in body.as_bytes().chunks(piece) {
        scanner.write(piece)?;
    }
    let found = scanner.end()?;
    scanner.missing().map_or(Ok(found), Err)
}

/// Scans whole, in single bytes and in pieces between, which must all come to the same.
fn found(targets: &Targets, body: &str) -> Result<Found, ScanError> {
    let whole = scan(targets, body, usize::MAX);
    for piece in [1, 2, 3, 7] {
        assert_eq!(
            scan(targets, body, piece),
            whole,
            "in pieces of {piece}: {body}"
        );
    }
    whole
}

fn features() -> Targets {
    Targets::new(
        &path("features"),
        Some((&path("properties.updated"), CursorKind::Timestamp.into())),
        Some(&path("paging.next")),
    )
}

fn problem(result: Result<Found, ScanError>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn counts_records_and_finds_the_largest_cursor_and_the_next_token() {
    let body = r#" {"paging": {"next": "a\"b\u00e9\/"}, "features": [
        {"id": 1, "properties": {"updated": 1517966996303}},
        {"id": 2, "properties": {"x": {"updated": 9999999999999}, "updated": 1517966996305}},
        {"id": 3, "properties": {"updated": null}}, {"id": 4}, 5, [6]
    ], "bbox": [1.5e3, -0, true]} "#;
    let expected = Found {
        records: 6,
        cursor: Some(CursorValue::Timestamp(1_517_966_996_305)),
        next: Some("a\"bé/".to_owned()),
        ..Found::default()
    };
    assert_eq!(found(&features(), body), Ok(expected));
}

#[test]
fn names_that_return_deeper_or_elsewhere_do_not_count() {
    let body = r#"{
        "meta": {"features": [1, 2, 3], "paging": {"next": "no"}},
        "features": [{"features": [1, 2], "properties": [{"updated": 7}]}, {"updated": 9, "paging": {"next": "no"}}],
        "next": "no"
    }"#;
    assert_eq!(
        found(&features(), body),
        Ok(Found {
            records: 2,
            cursor: None,
            next: None,
            ..Found::default()
        })
    );
}

#[test]
fn keys_may_be_escaped_and_may_have_dots() {
    let targets = Targets::new(&path("value"), None, Some(&path("@odata.nextLink")));
    let body = r#"{"v\u0061lue": [1, 2], "@odata.nextLink": "https://x/?$skip=2"}"#;
    let next = Some("https://x/?$skip=2".to_owned());
    assert_eq!(
        found(&targets, body),
        Ok(Found {
            records: 2,
            next,
            ..Found::default()
        })
    );
    let nested = r#"{"value": [], "@odata": {"nextLink": 17}}"#;
    assert_eq!(
        found(&targets, nested).map(|found| found.next),
        Ok(Some("17".to_owned()))
    );
}

#[test]
fn strings_with_brackets_quotes_and_backslashes_are_no_structure() {
    let targets = Targets::new(&path("items"), None, None);
    let body = r#"{"items": [{"a": "]}[{\\\"],"}, {"b\"]": "\\"}, "\\\\"]}"#;
    assert_eq!(found(&targets, body).map(|found| found.records), Ok(3));
}

#[test]
fn the_body_itself_may_be_the_list_or_one_record() {
    let targets = Targets::new(
        &FieldPath::default(),
        Some((&path("n"), CursorKind::Number.into())),
        None,
    );
    let cursor = Some(CursorValue::Number(4));
    let list = found(&targets, r#"[{"n": 4}, {"n": 3}, {"m": {"n": 99}}]"#);
    assert_eq!(
        list,
        Ok(Found {
            records: 3,
            cursor: cursor.clone(),
            next: None,
            ..Found::default()
        })
    );
    let one = found(&targets, r#"{"n": 4}"#);
    assert_eq!(
        one,
        Ok(Found {
            records: 1,
            cursor,
            next: None,
            ..Found::default()
        })
    );
    assert_eq!(found(&targets, "[]"), Ok(Found::default()));
    assert_eq!(found(&targets, " \n"), Ok(Found::default()));
    assert_eq!(found(&targets, ""), Ok(Found::default()));
    assert_eq!(found(&targets, "null"), Ok(Found::default()));
    assert_eq!(
        found(&targets, "\u{feff}[1]").map(|found| found.records),
        Ok(1)
    );
    assert!(found(&targets, "[\u{feff}]").is_err());
}

#[test]
fn an_end_of_pages_is_written_in_many_ways() {
    for last in [
        r#"{"features": [], "paging": {"next": null}}"#,
        r#"{"features": [], "paging": {"next": ""}}"#,
        r#"{"features": [], "paging": {"next": false}}"#,
        r#"{"features": [], "paging": {}}"#,
        r#"{"features": null}"#,
        r#"{"features": [], "paging": null}"#,
    ] {
        assert_eq!(found(&features(), last), Ok(Found::default()), "{last}");
    }
}

#[test]
fn what_is_missing_is_named_beside_what_is_there() {
    let message = problem(found(
        &features(),
        r#"{"error": "x", "data": {"features": []}}"#,
    ));
    assert_eq!(
        message,
        "has no `features`, where the definition's `records` says the records are; its own fields are `error`, `data`"
    );
}

#[test]
fn what_is_not_as_the_definition_says_is_told() {
    for (body, part) in [
        (r#"{"features": "none"}"#, "has at `features` text"),
        (r#"{"features": 7}"#, "has at `features` a plain value"),
        (
            r#"{"features": [], "paging": {"next": {"a": 1}}}"#,
            "an object at `paging.next`",
        ),
        (
            r#"{"features": [{"properties": {"updated": "soon"}}]}"#,
            "`properties.updated` holds the text `soon`",
        ),
        (
            r#"{"features": [{"properties": {"updated": [1]}}]}"#,
            "`properties.updated` holds a list",
        ),
    ] {
        let message = problem(found(&features(), body));
        assert!(message.contains(part), "{body}: {message}");
    }
}

#[test]
fn what_is_not_json_is_not_taken() {
    let targets = Targets::new(&FieldPath::default(), None, None);
    for body in [
        "<html>",
        "{]",
        "[}",
        "[1 2]",
        "[1,]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "[tru]",
        "[01]",
        "[1.]",
        "[1e]",
        "[--1]",
        "[+1]",
        "[nul]",
        "1 2",
        "[] []",
        "[,1]",
        "{,}",
        "]",
        "[.5]",
        "[1:2]",
        "{\"a\" 1}",
    ] {
        assert!(
            matches!(
                found(&targets, body),
                Err(ScanError::NotJson { .. } | ScanError::Unexpected(_))
            ),
            "{body}"
        );
    }
    for body in [
        "[", "{", "{\"a", "[\"\\", "{\"a\":", "[1,", "[1", "{\"a\":1", "[tru",
    ] {
        let ended = found(&targets, body);
        assert!(
            matches!(
                ended,
                Err(ScanError::EndsEarly(_) | ScanError::NotJson { .. })
            ),
            "{body}: {ended:?}"
        );
    }
}

/// Values as an API may send them.
fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e9_f64..1e9).prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        let key = prop_oneof![
            Just("items".to_owned()),
            Just("n".to_owned()),
            Just("next".to_owned()),
            ".{0,4}"
        ];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::btree_map(key, inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn agrees_with_a_tree_of_values(records in proptest::collection::vec((any_value(), 0_i64..1000), 0..12), piece in 1_usize..40) {
        let items: Vec<Value> =
            records.iter().map(|(value, n)| json!({"items": value, "at": {"n": n}, "next": value})).collect();
        let body = json!({"a": items, "page": {"items": items, "next": "token"}, "next": items}).to_string();
        let targets = Targets::new(
            &path("page.items"),
            Some((&path("at.n"), CursorKind::Number.into())),
            Some(&path("page.next")),
        );
        let expected = Found {
            records: records.len() as u64,
            cursor: records.iter().map(|(_, n)| *n).max().map(CursorValue::Number),
            next: Some("token".to_owned()),
            ..Found::default()
        };
        prop_assert_eq!(scan(&targets, &body, piece), Ok(expected));
    }

    #[test]
    fn takes_all_json_and_survives_what_is_none(value in any_value(), cut in any::<prop::sample::Index>()) {
        let targets = Targets::new(&FieldPath::default(), None, None);
        let body = serde_json::to_string_pretty(&json!([value])).unwrap();
        prop_assert_eq!(scan(&targets, &body, 5).map(|found| found.records), Ok(1));
        let bytes = &body.as_bytes()[..cut.index(body.len())];
        let mut scanner = Scanner::new(&targets);
        scanner.write(bytes).unwrap();
        prop_assert_eq!(scanner.end().is_ok(), bytes.iter().all(u8::is_ascii_whitespace));
    }

    #[test]
    fn counts_the_records_that_will_be_read(
        value in any_value(),
        steps in proptest::collection::vec(prop_oneof![Just("*"), Just("items"), Just("n")], 0..4),
        piece in 1_usize..40,
    ) {
        let body = value.to_string();
        let read = millrace_records::json::records(&body, &steps);
        let counted = scan(&Targets::new(&path(&steps.join(".")), None, None), &body, piece);
        match counted {
            Ok(found) => prop_assert_eq!(found.records, read.unwrap().len() as u64),
            // What is refused here is never stored, so that nobody has to read it.
            Err(error) => prop_assert!(matches!(error, ScanError::Unexpected(_)), "{}", error),
        }
    }
}
