//! The manifest of raw payloads: what was asked, what came back, and where its bytes lie.
//!
//! A run pulls a resource in *segments*. A segment is one object of concatenated zstd frames, one frame a response body,
//! and one manifest. The manifest is created with a conditional put, and creating it is the commit: of two writers of one
//! segment one wins, the other drops its bytes and goes on from the winner's `next`. So the manifests, read in order, are
//! both the list of what is there and the checkpoint from which a run that was killed goes on.

use crate::definition::pipeline::{CursorValue, Paginate};
use crate::state::PartitionCursors;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

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
    /// The same for each partition that has a start of its own; in the run's first segment alone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub starts: PartitionCursors,
    /// How the pages are asked for, where the definition leaves that to the source's answers and one has shown it: the
    /// run goes on with what it began with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paginate: Option<Paginate>,
    /// Where the run goes on.
    pub next: Position,
    /// The largest value of the incremental field in this and all earlier segments of the run.
    pub cursor: Option<CursorValue>,
    /// The largest value in each partition that this segment has records of.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cursors: PartitionCursors,
    /// Requests made for this segment, the failed ones included.
    pub requests: u64,
    /// When it was committed, as the writer's clock has it, RFC 3339.
    pub committed_at: String,
    /// Where the writer ran: `lambda`, `task` or `cli`.
    pub written_by: String,
}

/// One response body, verbatim but for the transfer's own encoding.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
    /// Whether it came in another form and was stored as JSON, because personal data was taken out of it or a
    /// record was erased from it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rewritten: bool,
    /// Which part of the resource it belongs to.
    #[serde(flatten)]
    pub origin: Origin,
}

/// Which part of a resource a page belongs to. All of it is absent for a resource that is pulled in one piece.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// The slice's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slice: Option<u64>,
    /// The SHA-256 in hexadecimal of the request's body, where it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// Fields that each record gets beside its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carried: Option<Map<String, Value>>,
    /// Whether it was asked for beside the records, as the answers about a report are, and has none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_aside: bool,
}

/// A report that was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// When it was asked for, RFC 3339.
    pub asked_at: String,
    /// Whether it can be downloaded.
    pub is_ready: bool,
    /// What the source last said about it.
    pub answer: Value,
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
    /// In one of the slices into which the resource is cut.
    Slice {
        /// Its number, from 0: of parents first, then of partitions, then of windows.
        slice: u64,
        /// The slice's report, once it was asked for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        report: Option<Report>,
        /// Where in the slice.
        inner: Box<Position>,
    },
    /// Nowhere: all is there.
    End,
}

impl Position {
    /// The position within the slice, or this one where the resource is in one piece.
    pub fn inner(&self) -> &Self {
        match self {
            Self::Slice { inner, .. } => inner,
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests_of_before_slices_are_read() {
        let page = r#"{"url": "https://x/", "status": 200, "content_type": null, "requested_at": "2026-01-01T00:00:00Z",
            "offset": 0, "length": 1, "body_length": 1, "sha256": "00", "records": 3}"#;
        let manifest = format!(
            r#"{{"segment": 0, "object": "raw/x", "pages": [{page}], "next": {{"at": "offset", "offset": 9}}, "cursor": null,
            "requests": 1, "committed_at": "2026-01-01T00:00:00Z", "written_by": "cli"}}"#
        );
        let manifest: Manifest = serde_json::from_str(&manifest).expect("a manifest");
        assert_eq!(manifest.next, Position::Offset { offset: 9 });
        assert_eq!(manifest.pages[0].origin, Origin::default());
        let written = serde_json::to_value(&manifest.pages[0]).expect("JSON");
        assert!(written.get("slice").is_none() && written.get("is_aside").is_none());
    }

    #[test]
    fn a_position_in_a_slice_is_written_and_read() {
        let position = Position::Slice {
            slice: 19_999,
            report: None,
            inner: Box::new(Position::Page { page: 3 }),
        };
        let written = serde_json::to_string(&position).expect("JSON");
        assert_eq!(
            written,
            r#"{"at":"slice","slice":19999,"inner":{"at":"page","page":3}}"#
        );
        assert_eq!(
            serde_json::from_str::<Position>(&written).ok(),
            Some(position)
        );
    }
}
