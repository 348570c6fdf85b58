//! One file made of pages: what stands around the rows of each is there once.

use crate::answer;
use crate::columnar;
use crate::format::Format;
use crate::writer::Page;
use bytes::Bytes;

/// What ends a stream of Arrow's.
const END_OF_STREAM: [u8; 8] = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];

/// A file that is being made.
#[derive(Debug)]
pub(super) struct File {
    format: Format,
    body: Vec<u8>,
    rows: u64,
}

impl File {
    pub fn new(format: Format) -> Self {
        Self {
            format,
            body: Vec::new(),
            rows: 0,
        }
    }

    pub fn rows(&self) -> u64 {
        self.rows
    }

    pub fn bytes(&self) -> usize {
        self.body.len()
    }

    /// Appends a page of the form that the file's pages have.
    pub fn push(&mut self, page: &Page) -> Result<(), String> {
        let (head, rows) = match self.format {
            Format::Json => {
                let mut tail = Vec::new();
                answer::finish(&mut tail, page.next.as_deref());
                parts(&page.body, answer::HEAD.len(), tail.len())
            }
            Format::Csv => parts(&page.body, line(&page.body), 0),
            Format::Ndjson => parts(&page.body, 0, 0),
            Format::Arrow | Format::Parquet => {
                parts(&page.body, message(&page.body), END_OF_STREAM.len())
            }
        }
        .ok_or("a page is not of its form")?;
        if self.body.is_empty() {
            self.body.extend_from_slice(head);
        } else if self.format == Format::Json && self.rows > 0 && page.rows > 0 {
            self.body.push(b',');
        }
        self.body.extend_from_slice(rows);
        self.rows += page.rows as u64;
        Ok(())
    }

    pub fn finish(mut self) -> Result<Bytes, String> {
        match self.format {
            Format::Json => answer::finish(&mut self.body, None),
            Format::Csv | Format::Ndjson => {}
            Format::Arrow => self.body.extend_from_slice(&END_OF_STREAM),
            Format::Parquet => {
                self.body.extend_from_slice(&END_OF_STREAM);
                self.body = columnar::parquet_of_stream(&self.body)?;
            }
        }
        Ok(self.body.into())
    }
}

/// What stands before the rows, and the rows.
fn parts(body: &[u8], head: usize, tail: usize) -> Option<(&[u8], &[u8])> {
    let end = body.len().checked_sub(tail)?;
    body.get(..end)?.split_at_checked(head)
}

/// How long the first line of CSV is.
fn line(body: &[u8]) -> usize {
    let mut quoted = false;
    let end = body.iter().position(|byte| {
        quoted ^= *byte == b'"';
        *byte == b'\n' && !quoted
    });
    end.map_or(body.len(), |end| end + 1)
}

/// How long the first message of a stream of Arrow's is, the schema: a mark, its length, and so many bytes.
fn message(body: &[u8]) -> usize {
    let length = body.get(4..8).and_then(|bytes| bytes.try_into().ok());
    length.map_or(0, |bytes| 8 + u32::from_le_bytes(bytes) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(format: Format, pages: &[(&str, usize)]) -> String {
        let mut file = File::new(format);
        for (body, rows) in pages {
            let page = Page {
                body: body.as_bytes().to_vec(),
                rows: *rows,
                next: None,
            };
            file.push(&page).unwrap();
        }
        String::from_utf8(file.finish().unwrap().to_vec()).unwrap()
    }

    #[test]
    fn what_stands_around_rows_is_there_once() {
        let end = r#"],"error":[],"page":{"next":null}}"#;
        let (first, second) = (
            format!(r#"{{"data":[{{"a":1}}{end}"#),
            format!(r#"{{"data":[{{"a":2}}{end}"#),
        );
        let empty = format!(r#"{{"data":[{end}"#);
        let json = file(Format::Json, &[(&first, 1), (&empty, 0), (&second, 1)]);
        assert_eq!(json, format!(r#"{{"data":[{{"a":1}},{{"a":2}}{end}"#));
        assert_eq!(file(Format::Json, &[(&empty, 0)]), empty);
        let csv = file(
            Format::Csv,
            &[("\"a\r\n\",b\r\n1,2\r\n", 1), ("\"a\r\n\",b\r\n3,4\r\n", 1)],
        );
        assert_eq!(csv, "\"a\r\n\",b\r\n1,2\r\n3,4\r\n");
        assert_eq!(
            file(Format::Ndjson, &[("{}\n", 1), ("{}\n", 1)]),
            "{}\n{}\n"
        );
    }

    #[test]
    fn a_page_that_is_cut_short_is_told() {
        let page = Page {
            body: b"{".to_vec(),
            rows: 1,
            next: None,
        };
        for format in [Format::Json, Format::Arrow] {
            assert!(File::new(format).push(&page).is_err());
        }
    }
}
