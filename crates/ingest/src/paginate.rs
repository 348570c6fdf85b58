//! From page to page: what is asked at a position, and where a page leads.

use crate::scan::Found;
use millrace_model::definition::pipeline::Paginate;
use millrace_model::raw::Position;
use millrace_model::{Failure, FailureName};
use url::Url;

/// The query parameters that ask for the page at a position.
pub(crate) fn parameters(paginate: &Paginate, position: &Position) -> Vec<(String, String)> {
    match (paginate, position) {
        (
            Paginate::Offset {
                offset_param,
                limit_param,
                limit,
                first,
            },
            position,
        ) => {
            let offset = if let Position::Offset { offset } = position {
                *offset
            } else {
                *first
            };
            vec![
                (limit_param.clone(), limit.to_string()),
                (offset_param.clone(), offset.to_string()),
            ]
        }
        (
            Paginate::Page {
                page_param,
                size_param,
                size,
                first,
            },
            position,
        ) => {
            let page = if let Position::Page { page } = position {
                *page
            } else {
                *first
            };
            let size = size_param.clone().zip(size.map(|size| size.to_string()));
            size.into_iter()
                .chain([(page_param.clone(), page.to_string())])
                .collect()
        }
        (Paginate::Cursor { param, .. }, Position::Cursor { cursor }) => {
            vec![(param.clone(), cursor.clone())]
        }
        _ => Vec::new(),
    }
}

/// Where the page at `position`, which was asked for at `url`, leads.
pub(crate) fn next(
    paginate: &Paginate,
    position: &Position,
    url: &Url,
    found: &Found,
) -> Result<Position, Failure> {
    Ok(match paginate {
        Paginate::None => Position::End,
        Paginate::Offset { limit, first, .. } => {
            let offset = if let Position::Offset { offset } = position {
                *offset
            } else {
                *first
            };
            if found.records == 0 || found.records < *limit {
                Position::End
            } else {
                Position::Offset {
                    offset: offset.saturating_add(found.records),
                }
            }
        }
        Paginate::Page { size, first, .. } => {
            let page = if let Position::Page { page } = position {
                *page
            } else {
                *first
            };
            if found.records == 0 || size.is_some_and(|size| found.records < size) {
                Position::End
            } else {
                Position::Page {
                    page: page.saturating_add(1),
                }
            }
        }
        Paginate::Cursor { .. } => match &found.next {
            Some(cursor) => Position::Cursor {
                cursor: cursor.clone(),
            },
            None => Position::End,
        },
        Paginate::NextLink { .. } => match &found.next {
            Some(link) => Position::Url {
                url: follow(url, link)?.into(),
            },
            None => Position::End,
        },
    })
}

/// The URL that a link in the body of `url` means. It must stay with the same host, since the credential goes with it;
/// a link that only forgets the `s` of `https`, as sources behind a proxy write it, gets it back.
fn follow(url: &Url, link: &str) -> Result<Url, Failure> {
    let refuse = |why: &str| {
        Failure::new(
            FailureName::BadAnswer,
            format!(
                "GET {}{}: the body's link to the next page, `{}`, {why}; check the definition's `paginate`",
                url.origin().ascii_serialization(),
                url.path(),
                link.chars().take(200).collect::<String>(),
            ),
        )
    };
    let mut next = url
        .join(link)
        .map_err(|error| refuse(&format!("is no URL ({error})")))?;
    if url.scheme() == "https" && next.scheme() == "http" && next.host() == url.host() {
        let plain_port = next.port().is_none();
        if next.set_scheme("https").is_err() || (plain_port && next.set_port(url.port()).is_err()) {
            return Err(refuse("cannot be reached over HTTPS"));
        }
    }
    if next.origin() != url.origin() {
        return Err(refuse("leads to another host, to which no request is sent"));
    }
    next.set_fragment(None);
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_model::definition::FieldPath;
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
        }
    }

    fn by_link(link: &str) -> Result<Position, Failure> {
        let found = Found {
            next: Some(link.to_owned()),
            ..Found::default()
        };
        let paginate = Paginate::NextLink {
            path: FieldPath("next".to_owned()),
        };
        next(&paginate, &Position::Start, &url(), &found)
    }

    /// Plays a source of `total` records that sends at most `size` of them from each position, and gives back where each
    /// page began.
    fn walk(
        paginate: &Paginate,
        total: u64,
        size: u64,
        start: impl Fn(&[(String, String)]) -> u64,
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
            position = next(paginate, &position, &url(), &found).unwrap();
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

    fn value(parameters: &[(String, String)], name: &str) -> u64 {
        parameters
            .iter()
            .find(|(known, _)| known == name)
            .unwrap()
            .1
            .parse()
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
            [
                ("limit".into(), "1000".into()),
                ("offset".into(), "1".into())
            ]
        );
        let found = Found {
            records: 1000,
            ..Found::default()
        };
        let next = next(&offset(1000, 1), &Position::Start, &url(), &found);
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
}
