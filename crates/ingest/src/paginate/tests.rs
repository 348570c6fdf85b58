use super::*;
use millrace_model::definition::pipeline::End;
use proptest::prelude::*;

fn url() -> Url {
    Url::parse("https://api.example.com/v1/items?size=2").unwrap()
}

fn offset(limit: u64, first: u64) -> Paginate {
    Paginate::Offset {
        offset_param: "offset".into(),
        limit_param: "limit".into(),
        limit,
        first,
        end: End::default(),
    }
}

fn step(paginate: &Paginate, position: &Position, found: &Found) -> Result<Position, Failure> {
    let (url, hints) = (url(), Hints::default());
    let answer = Answer {
        url: &url,
        hints: &hints,
        found,
    };
    next(paginate, position, answer)
}

fn by_link(link: &str) -> Result<Position, Failure> {
    let found = Found {
        next: Some(link.to_owned()),
        ..Found::default()
    };
    let paginate = Paginate::NextLink {
        path: FieldPath("next".to_owned()),
    };
    step(&paginate, &Position::Start, &found)
}

/// Plays a source of `total` records that sends at most `size` of them from each position, and gives back where each
/// page began.
fn walk(
    paginate: &Paginate,
    total: u64,
    size: u64,
    start: impl Fn(&[Parameter]) -> u64,
) -> Vec<(u64, u64)> {
    let mut position = Position::Start;
    let mut pages = Vec::new();
    while position != Position::End {
        let from = start(&parameters(paginate, &position));
        let records = total.saturating_sub(from).min(size);
        pages.push((from, records));
        let found = Found {
            records,
            ..Found::default()
        };
        position = step(paginate, &position, &found).unwrap();
        assert!(pages.len() < 10_000, "the walk does not end");
    }
    pages
}

fn assert_each_once(pages: &[(u64, u64)], total: u64) -> Result<(), TestCaseError> {
    let mut expected = 0;
    for (from, records) in pages {
        prop_assert!(*records == 0 || *from == expected);
        expected += records;
    }
    prop_assert_eq!(expected, total);
    Ok(())
}

fn value(parameters: &[Parameter], name: &str) -> u64 {
    parameters
        .iter()
        .find(|(known, _)| known == name)
        .unwrap()
        .1
        .as_u64()
        .unwrap()
}

proptest! {
    #[test]
    fn offsets_lead_to_each_record_once(total in 0_u64..500, limit in 1_u64..60, first in 0_u64..2) {
        let paginate = offset(limit, first);
        let pages = walk(&paginate, total, limit, |sent| value(sent, "offset") - first);
        assert_each_once(&pages, total)?;
        prop_assert_eq!(pages.len() as u64, total / limit + 1);
    }

    #[test]
    fn page_numbers_lead_to_each_record_once(
        total in 0_u64..500,
        size in 1_u64..60,
        first in 0_u64..2,
        known in any::<bool>(),
    ) {
        let paginate = Paginate::Page {
            page_param: "page".into(),
            size_param: known.then(|| "size".into()),
            size: known.then_some(size),
            first,
            end: End::default(),
        };
        let pages = walk(&paginate, total, size, |sent| (value(sent, "page") - first) * size);
        assert_each_once(&pages, total)?;
        prop_assert!(pages.len() as u64 <= total / size + 2);
    }
}

#[test]
fn the_first_record_may_be_number_one() {
    let sent = parameters(&offset(1000, 1), &Position::Start);
    assert_eq!(
        sent,
        [("limit".into(), 1000.into()), ("offset".into(), 1.into())]
    );
    let found = Found {
        records: 1000,
        ..Found::default()
    };
    let next = step(&offset(1000, 1), &Position::Start, &found);
    assert_eq!(next, Ok(Position::Offset { offset: 1001 }));
}

#[test]
fn links_may_be_relative_and_stay_with_their_host() {
    for (link, expected) in [
        (
            "https://api.example.com/v1/items?page=2",
            "https://api.example.com/v1/items?page=2",
        ),
        (
            "/v1/items?page=2#top",
            "https://api.example.com/v1/items?page=2",
        ),
        ("?page=2", "https://api.example.com/v1/items?page=2"),
        ("more", "https://api.example.com/v1/more"),
        (
            "http://api.example.com/v1/items?page=2",
            "https://api.example.com/v1/items?page=2",
        ),
    ] {
        assert_eq!(
            by_link(link),
            Ok(Position::Url {
                url: expected.to_owned()
            }),
            "{link}"
        );
    }
    for link in [
        "https://evil.example.com/v1/items",
        "//evil.example.com/",
        "https://api.example.com:8443/",
        "http://api.example.com:8080/",
        "ftp://api.example.com/",
        "https://",
    ] {
        let failure = by_link(link).unwrap_err();
        assert_eq!(failure.name, FailureName::BadAnswer, "{link}");
        assert!(failure.message.contains(link), "{failure}");
    }
}

/// Every paginator that a definition may name.
fn any_paginate() -> impl Strategy<Value = Paginate> {
    let path = || {
        prop_oneof![Just("n"), Just("next"), Just("a.b")]
            .prop_map(|path| FieldPath(path.to_owned()))
    };
    let end = (
        proptest::option::of(path()),
        proptest::option::of(path()),
        proptest::option::of(path()),
    )
        .prop_map(|(has_more, total, pages)| End {
            has_more,
            total,
            pages,
        });
    prop_oneof![
        Just(Paginate::Auto),
        Just(Paginate::None),
        Just(Paginate::LinkHeader),
        Just(Paginate::Odata),
        Just(Paginate::OdataDelta),
        path().prop_map(|path| Paginate::NextLink { path }),
        (1..=u64::MAX, any::<u64>(), end.clone()).prop_map(|(limit, first, end)| {
            Paginate::Offset {
                offset_param: "offset".into(),
                limit_param: "limit".into(),
                limit,
                first,
                end,
            }
        }),
        (
            proptest::option::of(1..=u64::MAX),
            any::<u64>(),
            end.clone()
        )
            .prop_map(|(size, first, end)| {
                Paginate::Page {
                    page_param: "page".into(),
                    size_param: None,
                    size,
                    first,
                    end,
                }
            }),
        (path(), end.clone()).prop_map(|(path, end)| Paginate::Cursor {
            param: "after".into(),
            token: Token::Body(path),
            end,
        }),
        (path(), end).prop_map(|(field, end)| Paginate::Keyset {
            param: "after".into(),
            field,
            limit_param: None,
            limit: Some(2),
            end,
        }),
    ]
}

/// What a hostile answer may say.
fn any_found() -> impl Strategy<Value = Found> {
    let text = prop_oneof![
        "\\PC{0,12}",
        Just("/v1/items?page=2".to_owned()),
        Just("//evil".to_owned())
    ];
    let value = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.clone().prop_map(Value::from),
    ];
    let key = prop_oneof![
        Just("n"),
        Just("next"),
        Just("a.b"),
        Just("total"),
        Just("page"),
        Just("pages"),
        Just("offset"),
        Just("limit"),
        Just("@odata.nextLink"),
        Just("@odata.deltaLink"),
        Just("next_cursor"),
        Just("meta.page"),
    ];
    let meta = proptest::collection::btree_map(key.prop_map(str::to_owned), value, 0..6);
    (
        prop_oneof![0_u64..5, any::<u64>()],
        proptest::option::of(text.clone()),
        proptest::option::of(text),
        meta,
    )
        .prop_map(|(records, next, last, meta)| Found {
            records,
            next,
            last,
            meta,
            cursor: None,
        })
}

fn any_position() -> impl Strategy<Value = Position> {
    prop_oneof![
        Just(Position::Start),
        any::<u64>().prop_map(|offset| Position::Offset { offset }),
        any::<u64>().prop_map(|page| Position::Page { page }),
        "\\PC{0,12}".prop_map(|cursor| Position::Cursor { cursor }),
        Just(Position::Url {
            url: "https://api.example.com/v1/items".into()
        }),
    ]
}

proptest! {
    #[test]
    fn any_answer_is_followed_or_refused_without_a_panic(
        paginate in any_paginate(),
        position in any_position(),
        found in any_found(),
    ) {
        let (url, hints) = (url(), Hints::default());
        let answer = Answer { url: &url, hints: &hints, found: &found };
        let led = next(&paginate, &position, answer);
        if let Ok(Position::Url { url: led }) = &led {
            prop_assert_eq!(Url::parse(led).unwrap().origin(), url.origin(), "a credential would go there");
        }
        // Numbers only grow, so that a source cannot send a pull back and forth between two of them.
        match (&position, &led) {
            (Position::Offset { offset: from }, Ok(Position::Offset { offset: to }))
            | (Position::Page { page: from }, Ok(Position::Page { page: to })) => prop_assert!(from < to),
            _ => {}
        }
        let _ = next_run(&paginate, answer);
        let _ = parameters(&paginate, &position);
        let _ = variables(&paginate, &position);
        if let Some(choice) = detect(answer) {
            let _ = next(&choice.paginate, &position, answer);
        }
        let _ = doubt(&found);
    }
}
