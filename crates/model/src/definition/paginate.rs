//! How a resource's next page is asked for.

use super::FieldPath;
use serde::{Deserialize, Serialize};

/// How the next page is asked for. The parameters are sent where the request has its own: in the query, or in the body of
/// a request that has one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Paginate {
    /// As the source's first answer shows: the definition says nothing.
    Auto,
    /// There is only one.
    None,
    /// By the number of records to skip. Ends at a page of fewer than `limit` records, or none.
    Offset {
        /// The parameter that says how many records to skip.
        offset_param: String,
        /// The parameter that says how many to send.
        limit_param: String,
        /// How many to ask for.
        limit: u64,
        /// The first record's number: 0, or 1 as in FDSN services.
        first: u64,
        /// What else says that there is no more.
        #[serde(default)]
        end: End,
    },
    /// By the page's number. Ends at a page of fewer than `size` records where a size is known, else at an empty page.
    Page {
        /// The parameter that says which page.
        page_param: String,
        /// The parameter that says how many records a page has.
        size_param: Option<String>,
        /// How many to ask for.
        size: Option<u64>,
        /// The first page's number: 0 or 1.
        first: u64,
        /// What else says that there is no more.
        #[serde(default)]
        end: End,
    },
    /// By a token that the answer holds. Ends where there is none.
    Cursor {
        /// The parameter in which the token is sent back.
        param: String,
        /// Where the token is.
        token: Token,
        /// What else says that there is no more.
        #[serde(default)]
        end: End,
    },
    /// By a field of the page's last record, behind which the next page begins. Ends at an empty page, or at one of fewer
    /// than `limit` records.
    Keyset {
        /// The parameter in which the field's value is sent.
        param: String,
        /// The field.
        field: FieldPath,
        /// The parameter that says how many records to send.
        limit_param: Option<String>,
        /// How many to ask for.
        limit: Option<u64>,
        /// What else says that there is no more.
        #[serde(default)]
        end: End,
    },
    /// By a URL in the body, absolute or relative to the request's. Ends where there is none.
    NextLink {
        /// Where in the body it is.
        path: FieldPath,
    },
    /// By the `Link` header's `rel="next"` (RFC 8288). Ends where there is none.
    LinkHeader,
    /// By OData's own link: `@odata.nextLink`, `odata.nextLink` or `d.__next`. Ends where there is none.
    Odata,
    /// The same, and the next run begins at the link to what changes from then on that the last page has.
    OdataDelta,
}

/// Where the token of the next page is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Token {
    /// In the body, at this path.
    Body(FieldPath),
    /// In this header.
    Header(String),
}

/// What says that there are no more pages. Where any of these is known a page may be short without being the last one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Where the body says whether there is more: `false`, `0`, `null` or nothing at all mean that there is not.
    #[serde(default)]
    pub has_more: Option<FieldPath>,
    /// Where the body says how many records there are on all pages.
    #[serde(default)]
    pub total: Option<FieldPath>,
    /// Where the body says how many pages there are.
    #[serde(default)]
    pub pages: Option<FieldPath>,
}

impl End {
    /// Whether nothing is known but the pages themselves.
    pub fn is_silent(&self) -> bool {
        self.has_more.is_none() && self.total.is_none() && self.pages.is_none()
    }

    /// Where in the body to look.
    pub fn paths(&self) -> impl Iterator<Item = &FieldPath> {
        [&self.has_more, &self.total, &self.pages]
            .into_iter()
            .flatten()
    }
}

impl Paginate {
    /// What else than the pages themselves says that there is no more.
    pub fn end(&self) -> Option<&End> {
        match self {
            Self::Offset { end, .. }
            | Self::Page { end, .. }
            | Self::Cursor { end, .. }
            | Self::Keyset { end, .. } => Some(end),
            Self::Auto
            | Self::None
            | Self::NextLink { .. }
            | Self::LinkHeader
            | Self::Odata
            | Self::OdataDelta => None,
        }
    }

    /// The parameters that it sets.
    pub fn params(&self) -> Vec<&str> {
        match self {
            Self::Offset {
                offset_param,
                limit_param,
                ..
            } => vec![offset_param, limit_param],
            Self::Page {
                page_param,
                size_param,
                ..
            } => std::iter::once(page_param)
                .chain(size_param)
                .map(String::as_str)
                .collect(),
            Self::Cursor { param, .. } => vec![param],
            Self::Keyset {
                param, limit_param, ..
            } => std::iter::once(param)
                .chain(limit_param)
                .map(String::as_str)
                .collect(),
            Self::Auto
            | Self::None
            | Self::NextLink { .. }
            | Self::LinkHeader
            | Self::Odata
            | Self::OdataDelta => Vec::new(),
        }
    }
}
