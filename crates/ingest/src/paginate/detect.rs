//! The paginator that a source's first answer shows, where the definition names none.

use super::{Answer, odata};
use crate::scan::Found;
use millrace_model::definition::FieldPath;
use millrace_model::definition::pipeline::{End, Paginate, Token};
use serde_json::Value;

/// A paginator that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) paginate: Paginate,
    /// By what it was found, and how a definition says the same.
    pub(crate) reason: String,
}

/// Where bodies have the URL of the next page.
const LINKS: [&str; 22] = [
    "next",
    "next_url",
    "nextUrl",
    "next_page",
    "nextPage",
    "next_page_url",
    "next_link",
    "nextLink",
    "links.next",
    "links.next.href",
    "_links.next",
    "_links.next.href",
    "paging.next",
    "paging.next.link",
    "pagination.next",
    "pagination.next_url",
    "pagination.next_link",
    "pagination.links.next",
    "meta.next",
    "meta.pagination.links.next",
    "info.next",
    "page.next",
];

/// Where bodies have the token of the next page, and the parameter in which it is sent back.
const TOKENS: [(&str, &str); 17] = [
    ("next_cursor", "cursor"),
    ("nextCursor", "cursor"),
    ("meta.next_cursor", "cursor"),
    ("meta.nextCursor", "cursor"),
    ("pagination.next_cursor", "cursor"),
    ("pagination.nextCursor", "cursor"),
    ("paging.next_cursor", "cursor"),
    ("response_metadata.next_cursor", "cursor"),
    ("cursor.next", "cursor"),
    ("paging.cursors.after", "after"),
    ("paging.next.after", "after"),
    ("nextPageToken", "pageToken"),
    ("next_page_token", "page_token"),
    ("meta.next_page_token", "page_token"),
    ("nextToken", "nextToken"),
    ("next_token", "next_token"),
    ("meta.next_token", "pagination_token"),
];

/// Where bodies say which page they are.
const PLACES: [&str; 9] = [
    "",
    "meta.",
    "pagination.",
    "meta.pagination.",
    "meta.page.",
    "paging.",
    "page.",
    "info.",
    "page_info.",
];
const PAGE: [&str; 6] = [
    "page",
    "current_page",
    "currentPage",
    "page_number",
    "pageNumber",
    "number",
];
const PAGES: [&str; 9] = [
    "total_pages",
    "totalPages",
    "last_page",
    "lastPage",
    "page_count",
    "pageCount",
    "pages",
    "num_pages",
    "numPages",
];
const OFFSETS: [&str; 2] = ["offset", "skip"];
const TOTALS: [&str; 6] = [
    "total",
    "total_count",
    "totalCount",
    "count",
    "total_records",
    "totalRecords",
];

/// The paginator that the first answer shows; none where it shows none.
pub(crate) fn detect(answer: Answer<'_>) -> Option<Choice> {
    let found = answer.found;
    link_header(answer)
        .or_else(|| odata_link(found))
        .or_else(|| next_link(found))
        .or_else(|| token(found))
        .or_else(|| page_number(found))
        .or_else(|| offset(found))
}

fn link_header(answer: Answer<'_>) -> Option<Choice> {
    answer.hints.next_link.as_ref()?;
    Some(Choice {
        paginate: Paginate::LinkHeader,
        reason: "pages by the `Link` header of the answer (`paginate: link_header`)".to_owned(),
    })
}

fn odata_link(found: &Found) -> Option<Choice> {
    odata::next_link(found)?;
    Some(Choice {
        paginate: Paginate::Odata,
        reason: "pages by OData's link to the next one (`paginate: odata`)".to_owned(),
    })
}

fn next_link(found: &Found) -> Option<Choice> {
    let is_link = |text: &str| {
        ["http://", "https://", "/", "?"]
            .iter()
            .any(|start| text.starts_with(start))
    };
    let path = LINKS
        .into_iter()
        .find(|path| found.text(path).is_some_and(is_link))?;
    Some(Choice {
        paginate: Paginate::NextLink {
            path: FieldPath(path.to_owned()),
        },
        reason: format!(
            "pages by the link at `{path}` (`paginate: {{ next_link: {{ path: {path} }} }}`)"
        ),
    })
}

fn token(found: &Found) -> Option<Choice> {
    let is_token = |value: &Value| match value {
        Value::String(text) => !text.is_empty(),
        Value::Number(_) => true,
        _ => false,
    };
    let (path, param) = TOKENS
        .into_iter()
        .find(|(path, _)| found.meta.get(*path).is_some_and(is_token))?;
    Some(Choice {
        paginate: Paginate::Cursor {
            param: param.to_owned(),
            token: Token::Body(FieldPath(path.to_owned())),
            end: End::default(),
        },
        reason: format!(
            "pages by the token at `{path}`, sent as `{param}` \
             (`paginate: {{ cursor: {{ param: {param}, path: {path} }} }}`)"
        ),
    })
}

/// The first of those names that holds a whole number there.
fn number<'n>(found: &Found, place: &str, names: &[&'n str]) -> Option<(&'n str, u64)> {
    names.iter().find_map(|name| {
        let number = found.number(&format!("{place}{name}"))?;
        Some((*name, number))
    })
}

fn page_number(found: &Found) -> Option<Choice> {
    PLACES.into_iter().find_map(|place| {
        let (_, page) = number(found, place, &PAGE)?;
        let (pages, count) = number(found, place, &PAGES)?;
        if page > 1 || count <= 1 || found.records == 0 {
            return None;
        }
        let path = format!("{place}{pages}");
        let reason = format!(
            "pages by `page`, of which `{path}` says that there are {count} \
             (`paginate: {{ page: {{ first: {page}, end: {{ pages: {path} }} }} }}`)"
        );
        let end = End {
            pages: Some(FieldPath(path)),
            ..End::default()
        };
        let paginate = Paginate::Page {
            page_param: "page".to_owned(),
            size_param: None,
            size: None,
            first: page,
            end,
        };
        Some(Choice { paginate, reason })
    })
}

fn offset(found: &Found) -> Option<Choice> {
    PLACES.into_iter().find_map(|place| {
        let (param, first) = number(found, place, &OFFSETS)?;
        let (_, limit) = number(found, place, &["limit"])?;
        let (total, count) = number(found, place, &TOTALS)?;
        if first > 1 || limit == 0 || found.records == 0 || count <= found.records {
            return None;
        }
        let path = format!("{place}{total}");
        let reason = format!(
            "pages by `{param}` and `limit`, of which `{path}` says that there are {count} records \
             (`paginate: {{ offset: {{ offset_param: {param}, limit: {limit}, first: {first}, \
             end: {{ total: {path} }} }} }}`)"
        );
        let end = End {
            total: Some(FieldPath(path)),
            ..End::default()
        };
        let paginate = Paginate::Offset {
            offset_param: param.to_owned(),
            limit_param: "limit".to_owned(),
            limit,
            first,
            end,
        };
        Some(Choice { paginate, reason })
    })
}

/// What an author should know of a first answer that shows no paginator but does not look like the last one.
pub(crate) fn doubt(found: &Found) -> Option<String> {
    const ROUND: [u64; 10] = [10, 20, 25, 30, 50, 100, 200, 250, 500, 1_000];
    let records = found.records;
    let total = PLACES
        .into_iter()
        .find_map(|place| number(found, place, &TOTALS))
        .map(|(_, total)| total)
        .filter(|total| *total > records && records > 0);
    match total {
        Some(total) => Some(format!(
            "the answer has {records} records and speaks of {total}, and does not show how to ask for the rest: write \
             `paginate` (`paginate: none` if this is all)"
        )),
        None if ROUND.contains(&records) => Some(format!(
            "the answer has exactly {records} records and does not show how to ask for more: if there are more, write \
             `paginate` (`paginate: none` if this is all)"
        )),
        None => None,
    }
}
