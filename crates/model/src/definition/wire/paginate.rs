//! `paginate` of a resource.

use schemars::JsonSchema;
use serde::Deserialize;

/// How the next page is asked for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PaginateForm {
    /// There is only one page.
    None,
    /// By the number of records to skip.
    Offset(OffsetForm),
    /// By the page's number.
    Page(PageForm),
    /// By a token in the body or in a header.
    Cursor(CursorForm),
    /// By a field of the page's last record.
    Keyset(KeysetForm),
    /// By a URL in the body.
    NextLink(NextLinkForm),
    /// By the `Link` header's `rel="next"` (RFC 8288).
    LinkHeader,
    /// By OData's own link: `@odata.nextLink`, `odata.nextLink` or `d.__next`.
    Odata,
    /// The same; the link that the last page has to what changes from then on (`@odata.deltaLink`, `d.__delta`) is where
    /// the next run begins.
    OdataDelta,
}

/// Pages by the number of records to skip. Ends at a page of fewer than `limit` records.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OffsetForm {
    /// The parameter that says how many records to skip; `offset` unless said otherwise.
    pub(crate) offset_param: Option<String>,
    /// The parameter that says how many to send; `limit` unless said otherwise.
    pub(crate) limit_param: Option<String>,
    /// How many to ask for.
    #[schemars(range(min = 1))]
    pub(crate) limit: u64,
    /// The first record's number: 0, or 1 as in FDSN services.
    #[serde(default)]
    pub(crate) first: u64,
    /// What else says that there is no more.
    pub(crate) end: Option<EndForm>,
}

/// Pages by number. Ends at a page of fewer than `size` records where a size is known, else at an empty page.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PageForm {
    /// The parameter that says which page; `page` unless said otherwise.
    pub(crate) page_param: Option<String>,
    /// The parameter that says how many records a page has.
    pub(crate) size_param: Option<String>,
    /// How many records a page has.
    #[schemars(range(min = 1))]
    pub(crate) size: Option<u64>,
    /// The first page's number; 1 unless said otherwise.
    pub(crate) first: Option<u64>,
    /// What else says that there is no more.
    pub(crate) end: Option<EndForm>,
}

/// Pages by a token: one of `path` and `header`. Ends where there is none.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["path"] }, { "required": ["header"] }]))]
pub(crate) struct CursorForm {
    /// The parameter in which the token is sent back.
    pub(crate) param: String,
    /// Where in the body it is: `meta.next_cursor`.
    pub(crate) path: Option<String>,
    /// The header in which it is.
    #[schemars(example = &"X-Next-Cursor")]
    pub(crate) header: Option<String>,
    /// What else says that there is no more.
    pub(crate) end: Option<EndForm>,
}

/// Pages that begin behind the last record of the page before. Ends at an empty page, or at one of fewer than `limit`
/// records.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeysetForm {
    /// The parameter in which the last record's value is sent.
    #[schemars(example = &"since_id")]
    pub(crate) param: String,
    /// The field of a record by which the pages are ordered.
    #[schemars(example = &"id")]
    pub(crate) field: String,
    /// The parameter that says how many records to send.
    pub(crate) limit_param: Option<String>,
    /// How many records a page has.
    #[schemars(range(min = 1))]
    pub(crate) limit: Option<u64>,
    /// What else says that there is no more.
    pub(crate) end: Option<EndForm>,
}

/// Pages by a URL in the body. Ends where there is none.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NextLinkForm {
    /// Where in the body it is: `links.next`.
    pub(crate) path: String,
}

/// What in the body says that there are no more pages. With any of these a page may be short without being the last one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EndForm {
    /// Whether there is more: `meta.has_more`. `false`, `0`, `null` or nothing at all mean that there is not.
    pub(crate) has_more: Option<String>,
    /// How many records all pages have: `meta.total`.
    pub(crate) total: Option<String>,
    /// How many pages there are: `meta.pages`.
    pub(crate) pages: Option<String>,
}
