//! Millrace's own keys. No pattern of a table begins with their first part.

/// A hash of pattern → table: whose the keys of each pattern are.
pub const PATTERNS: &str = "millrace:patterns";

/// What is known of a table that is published: a [`Note`](crate::Note) as JSON.
pub fn dataset(table: &str) -> String {
    format!("millrace:dataset:{table}")
}

/// The keys of a table's rows: a sorted set, each by when it was written.
pub fn rows(table: &str) -> String {
    format!("millrace:rows:{table}")
}

/// Who publishes a table now.
pub fn turn(table: &str) -> String {
    format!("millrace:turn:{table}")
}
