//! JSON Lines: one value a line. A line break cannot stand within a value, so lines are told apart by it alone.

use super::begin_row;
use memchr::memchr;

/// Tells lines as the elements of a list.
#[derive(Debug)]
pub(super) struct LinesReader {
    /// Whether some of the line was written.
    within: bool,
}

impl LinesReader {
    pub(super) fn new() -> Self {
        Self { within: false }
    }

    pub(super) fn write(&mut self, text: &[u8], json: &mut Vec<u8>, has_rows: &mut bool) {
        let mut rest = text;
        while !rest.is_empty() {
            let end = memchr(b'\n', rest);
            let (line, behind) = match end {
                Some(end) => (&rest[..end], &rest[end + 1..]),
                None => (rest, &rest[rest.len()..]),
            };
            if self.within || !line.trim_ascii().is_empty() {
                if !self.within {
                    begin_row(json, has_rows);
                }
                json.extend_from_slice(line);
                self.within = end.is_none();
            }
            rest = behind;
        }
    }
}
