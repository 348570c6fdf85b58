//! How an operation's next page is asked for, by its parameters and by what its answers hold.

use super::document::{Parameter, Schema};
use super::yaml;

/// The most records that are asked for at once, where the document allows for more.
const MOST: u64 = 1_000;

/// How many are asked for where it says nothing.
const USUAL: u64 = 100;

const LINKS: [&str; 14] = [
    "next",
    "next_url",
    "nextUrl",
    "next_page_url",
    "next_link",
    "nextLink",
    "links.next",
    "links.next.href",
    "_links.next",
    "_links.next.href",
    "paging.next",
    "pagination.next",
    "meta.next",
    "pagination.next_page",
];
const TOKENS: [&str; 21] = [
    "next_cursor",
    "nextCursor",
    "meta.next_cursor",
    "meta.nextCursor",
    "pagination.next_cursor",
    "pagination.nextCursor",
    "paging.next_cursor",
    "response_metadata.next_cursor",
    "cursor.next",
    "cursors.after",
    "paging.cursors.after",
    "paging.next.after",
    "pagination.cursor",
    "nextPageToken",
    "next_page_token",
    "meta.next_page_token",
    "nextToken",
    "next_token",
    "meta.next_token",
    "continuation_token",
    "cursor",
];
const CURSORS: [&str; 15] = [
    "cursor",
    "after",
    "page_token",
    "pagetoken",
    "next_token",
    "nexttoken",
    "continuation_token",
    "continuationtoken",
    "pagination_token",
    "start_cursor",
    "next_cursor",
    "marker",
    "bookmark",
    "page[after]",
    "page[cursor]",
];
const KEYSETS: [&str; 5] = [
    "starting_after",
    "since_id",
    "after_id",
    "min_id",
    "last_id",
];
const OFFSETS: [&str; 7] = [
    "offset",
    "skip",
    "$skip",
    "start",
    "startat",
    "start_index",
    "page[offset]",
];
const PAGES: [&str; 6] = [
    "page",
    "page_number",
    "pagenumber",
    "page[number]",
    "pagenum",
    "p",
];
const SIZES: [&str; 17] = [
    "limit",
    "per_page",
    "perpage",
    "page_size",
    "pagesize",
    "size",
    "page[size]",
    "page[limit]",
    "maxresults",
    "max_results",
    "max",
    "count",
    "top",
    "$top",
    "rows",
    "first",
    "take",
];
const MORE: [&str; 6] = [
    "has_more",
    "hasMore",
    "meta.has_more",
    "pagination.has_more",
    "has_next",
    "hasNext",
];
const TOTALS: [&str; 11] = [
    "page.totalElements",
    "totalElements",
    "total",
    "total_count",
    "totalCount",
    "meta.total",
    "pagination.total",
    "meta.total_count",
    "meta.filter_count",
    "count",
    "paging.total",
];
const COUNTS: [&str; 9] = [
    "page.totalPages",
    "page.total_pages",
    "info.pages",
    "total_pages",
    "totalPages",
    "meta.total_pages",
    "pagination.total_pages",
    "meta.last_page",
    "page_count",
];

/// How pages are asked for.
pub struct Paging {
    /// `paginate` in one line of YAML; none where the document does not show it.
    pub paginate: Option<String>,
    /// The parameter for the size of a page, where the paginator does not send that itself.
    pub size: Option<(String, u64)>,
    /// The parameters that are the paginator's.
    pub params: Vec<String>,
}

/// Whether an operation has parameters that ask for pages.
pub fn is_paged(parameters: &[Parameter<'_>]) -> bool {
    [&CURSORS[..], &KEYSETS, &OFFSETS, &PAGES, &SIZES]
        .iter()
        .any(|names| find(parameters, names).is_some())
}

/// How an operation's pages are asked for; `key` is the field that names a record.
pub fn paging(
    parameters: &[Parameter<'_>],
    answer: Schema<'_>,
    has_link: bool,
    key: Option<&str>,
) -> Paging {
    let size = find(parameters, &SIZES).map(|size| (size.name.to_owned(), most(size)));
    let by = |paginate: String, params: &[&str]| Paging {
        paginate: Some(paginate),
        size: size.clone(),
        params: params.iter().map(|name| (*name).to_owned()).collect(),
    };
    if has_link {
        return by("link_header".to_owned(), &[]);
    }
    let cursor = find(parameters, &CURSORS);
    if let Some(path) = LINKS
        .into_iter()
        .find(|path| is_link(answer, path, cursor.is_some()))
    {
        return by(format!("{{ next_link: {{ path: {path} }} }}"), &[]);
    }
    if let Some(cursor) = cursor
        && let Some(path) = present(answer, &TOKENS).or_else(|| present(answer, &LINKS))
    {
        let (param, end) = (yaml::text(cursor.name), end(answer, &MORE, "has_more"));
        return by(
            format!("{{ cursor: {{ param: {param}, path: {path}{end} }} }}"),
            &[cursor.name],
        );
    }
    // With both in the paginator it knows a short page for the last one.
    let sized = |param: &str, size_field: &str| match &size {
        Some((name, limit)) => format!(", {param}: {}, {size_field}: {limit}", yaml::text(name)),
        None => String::new(),
    };
    if let (Some(param), Some(key)) = (find(parameters, &KEYSETS), key) {
        let end = end(answer, &MORE, "has_more");
        let (name, sized) = (yaml::text(param.name), sized("limit_param", "limit"));
        let paginate = format!("{{ keyset: {{ param: {name}, field: {key}{sized}{end} }} }}");
        return Paging {
            size: None,
            ..by(paginate, &[param.name])
        };
    }
    if let (Some(param), Some((size, limit))) = (find(parameters, &OFFSETS), &size) {
        let first = param
            .schema
            .number("default")
            .or(param.schema.number("minimum"));
        let first = if first == Some(1) { ", first: 1" } else { "" };
        let (name, size) = (yaml::text(param.name), yaml::text(size));
        let end = end(answer, &TOTALS, "total");
        let paginate = format!(
            "{{ offset: {{ offset_param: {name}, limit_param: {size}, limit: {limit}{first}{end} }} }}"
        );
        return Paging {
            size: None,
            ..by(paginate, &[param.name])
        };
    }
    if let Some(param) = find(parameters, &PAGES) {
        let first = param
            .schema
            .number("minimum")
            .or(param.schema.number("default"));
        let is_zero_based = param.description().contains("zero-based") || first == Some(0);
        let first = if is_zero_based { ", first: 0" } else { "" };
        let end = match end(answer, &COUNTS, "pages") {
            pages if pages.is_empty() => end(answer, &MORE, "has_more"),
            pages => pages,
        };
        let (name, sized) = (yaml::text(param.name), sized("size_param", "size"));
        let paginate = format!("{{ page: {{ page_param: {name}{sized}{first}{end} }} }}");
        return Paging {
            size: None,
            ..by(paginate, &[param.name])
        };
    }
    Paging {
        paginate: None,
        size,
        params: Vec::new(),
    }
}

/// The first parameter of the query that is called by one of those names.
fn find<'p, 'd>(parameters: &'p [Parameter<'d>], names: &[&str]) -> Option<&'p Parameter<'d>> {
    names.iter().find_map(|name| {
        parameters
            .iter()
            .find(|known| known.place == "query" && known.name.to_lowercase() == **name)
    })
}

fn most(size: &Parameter<'_>) -> u64 {
    let most = size.schema.number("maximum").or_else(|| {
        let usual = size.schema.number("default")?;
        Some(usual.max(1))
    });
    most.unwrap_or(USUAL).clamp(1, MOST)
}

/// Whether there stands a link: by its form, by what is said of it, or because nothing takes a token.
fn is_link(answer: Schema<'_>, path: &str, takes_token: bool) -> bool {
    let Some(schema) = answer
        .at(path)
        .filter(|schema| schema.may_be("string") && schema.properties().is_empty())
    else {
        return false;
    };
    let says = |word: &str| schema.description().contains(word);
    schema.format().starts_with("uri")
        || says("url")
        || says("link")
        || path.ends_with("href")
        || (!takes_token && !says("token") && !says("cursor"))
}

fn present(answer: Schema<'_>, paths: &[&'static str]) -> Option<&'static str> {
    paths.iter().copied().find(|path| {
        answer
            .at(path)
            .is_some_and(|schema| schema.properties().is_empty() && schema.items().is_none())
    })
}

fn end(answer: Schema<'_>, paths: &[&'static str], field: &str) -> String {
    present(answer, paths).map_or_else(String::new, |path| format!(", end: {{ {field}: {path} }}"))
}
