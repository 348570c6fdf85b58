//! OData's own links, in the spellings of its versions 4, 3 and 2 (SAP Gateway and Exact Online speak the last one).

use crate::scan::Found;

/// Where the link to the next page is; it carries the `$skiptoken` or the `$skip`.
pub(super) const LINKS: [&str; 3] = ["@odata.nextLink", "odata.nextLink", "d.__next"];

/// The link, if there is one.
pub(super) fn next_link(found: &Found) -> Option<&str> {
    LINKS.iter().find_map(|path| found.text(path))
}

/// Where the link to what changes from then on is.
pub(super) const DELTA_LINKS: [&str; 3] = ["@odata.deltaLink", "odata.deltaLink", "d.__delta"];

/// That link, if there is one.
pub(super) fn delta_link(found: &Found) -> Option<&str> {
    DELTA_LINKS.iter().find_map(|path| found.text(path))
}
