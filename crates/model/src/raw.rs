//! The manifest of raw payloads: what was asked, what came back, and where its bytes lie.
//!
//! A run pulls a resource in *segments*. A segment is one object of concatenated zstd frames, one frame a response body,
//! and one manifest. The manifest is created with a conditional put, and creating it is the commit: of two writers of one
//! segment one wins, the other drops its bytes and goes on from the winner's `next`. So the manifests, read in order, are
//! both the list of what is there and the checkpoint from which a run that was killed goes on.

use crate::definition::pipeline::{CursorValue, Paginate};
use serde::{Deserialize, Serialize};

/// One committed segment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The segment's number within the run, from 0, without a gap.
    pub segment: u32,
    /// The key of the object that holds the bodies; none where the segment has none.
    pub object: Option<String>,
    /// The bodies, in the order in which they came.
    pub pages: Vec<Page>,
    /// The value of the incremental parameter in all requests of the run, whatever other runs do to the cursor
    /// meanwhile; none where the resource is not incremental.
    #[serde(default)]
    pub start: Option<CursorValue>,
    /// How the pages are asked for, where the definition leaves that to the source's answers and one has shown it: the
    /// run goes on with what it began with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paginate: Option<Paginate>,
    /// Where the run goes on.
    pub next: Position,
    /// The largest value of the incremental field in this and all earlier segments of the run.
    pub cursor: Option<CursorValue>,
    /// Requests made for this segment, the failed ones included.
    pub requests: u64,
    /// When it was committed, as the writer's clock has it, RFC 3339.
    pub committed_at: String,
    /// Where the writer ran: `lambda`, `task` or `cli`.
    pub written_by: String,
}

/// One response body, verbatim but for the transfer's own encoding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Page {
    /// The request's URL, with the values of secret parameters replaced.
    pub url: String,
    /// The answer's status.
    pub status: u16,
    /// The answer's media type, as it was sent.
    pub content_type: Option<String>,
    /// When the request was sent, RFC 3339.
    pub requested_at: String,
    /// Where the body's zstd frame starts in the object.
    pub offset: u64,
    /// How long the frame is.
    pub length: u64,
    /// How long the body is.
    pub body_length: u64,
    /// The body's SHA-256 in hexadecimal.
    pub sha256: String,
    /// How many records it has.
    pub records: u64,
}

/// Where a resource's pull goes on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "at", rename_all = "snake_case")]
pub enum Position {
    /// At the first page.
    Start,
    /// At this offset (records to skip, the paginator's `first` included).
    Offset {
        /// The value of the offset parameter.
        offset: u64,
    },
    /// At this page.
    Page {
        /// The value of the page parameter.
        page: u64,
    },
    /// At the page that this token names.
    Cursor {
        /// The token.
        cursor: String,
    },
    /// At this URL.
    Url {
        /// The URL, absolute, without secret parameters.
        url: String,
    },
    /// Nowhere: all is there.
    End,
}
