//! One file made of pages: what stands around the rows of each is there once.

use crate::answer;
use crate::columnar;
use crate::format::Format;
use crate::writer::Page;
use bytes::Bytes;

/// A file that is being made.
#[derive(Debug)]
pub(super) struct File {
    format: Format,
    /// Of a form that is text.
    text: Vec<u8>,
    /// Of the others, from the first page on.
    columns: Option<columnar::File>,
    rows: u64,
}

impl File {
    pub fn new(format: Format) -> Self {
        Self {
            format,
            text: Vec::new(),
            columns: None,
            rows: 0,
        }
    }

    pub fn rows(&self) -> u64 {
        self.rows
    }

    pub fn bytes(&self) -> usize {
        let columns = self.columns.as_ref().map_or(0, columnar::File::bytes);
        self.text.len() + columns
    }

    /// Appends a page that is a part of a file of this form.
    pub fn push(&mut self, page: &Page) -> Result<(), String> {
        if let Some(batch) = &page.batch {
            let columns = match self.columns.take() {
                Some(columns) => columns,
                None => columnar::File::new(self.format, &batch.schema())?,
            };
            self.columns.insert(columns).write(batch)?;
        } else {
            self.push_text(page).ok_or("a page is not of its form")?;
        }
        self.rows += page.rows as u64;
        Ok(())
    }

    fn push_text(&mut self, page: &Page) -> Option<()> {
        let (head, tail) = match self.format {
            Format::Json => {
                let mut tail = Vec::new();
                answer::finish(&mut tail, page.next.as_deref());
                (answer::HEAD.len(), tail.len())
            }
            Format::Csv => (line(&page.body), 0),
            Format::Ndjson => (0, 0),
            Format::Arrow | Format::Parquet => return None,
        };
        let end = page.body.len().checked_sub(tail)?;
        let (head, rows) = page.body[..end].split_at_checked(head)?;
        if self.text.is_empty() {
            self.text.extend_from_slice(head);
        } else if self.format == Format::Json && self.rows > 0 && page.rows > 0 {
            self.text.push(b',');
        }
        self.text.extend_from_slice(rows);
        Some(())
    }

    pub fn finish(mut self) -> Result<Bytes, String> {
        if let Some(columns) = self.columns {
            return Ok(columns.finish()?.into());
        }
        if self.format == Format::Json {
            answer::finish(&mut self.text, None);
        }
        Ok(self.text.into())
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn file(format: Format, pages: &[(&str, usize)]) -> String {
        let mut file = File::new(format);
        for (body, rows) in pages {
            let page = Page {
                body: body.as_bytes().to_vec(),
                batch: None,
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
            batch: None,
            rows: 1,
            next: None,
        };
        for format in [Format::Json, Format::Arrow] {
            assert!(File::new(format).push(&page).is_err());
        }
    }
}
