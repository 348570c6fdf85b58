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
