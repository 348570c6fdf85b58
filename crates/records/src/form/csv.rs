//! CSV (RFC 4180, and what is sent under its name): each row an object, its values texts.

use super::{Unread, begin_row, write_text};
use csv_core::{ReadFieldResult, Reader, ReaderBuilder};
use memchr::memchr;
use millrace_model::definition::format::Csv;

/// The longest field.
const LONGEST: usize = 16 * 1024 * 1024;
/// How much room a field is given first.
const ROOM: usize = 4 * 1024;

/// Tells rows as objects of a list.
#[derive(Debug)]
pub(super) struct CsvReader {
    reader: Reader,
    /// The texts that stand for no value.
    nulls: Vec<String>,
    /// How many lines are still passed over.
    skip: u64,
    /// The names of the columns, as JSON with the colon behind; none before the header was read.
    names: Option<Vec<Vec<u8>>>,
    /// The header as far as it was read.
    header: Vec<String>,
    /// The field that is read.
    field: Vec<u8>,
    length: usize,
    /// How many fields of the row were read.
    fields: usize,
    /// Rows so far, the header included.
    row: u64,
}

impl CsvReader {
    pub(super) fn new(csv: &Csv) -> Self {
        let delimiter = u8::try_from(csv.delimiter).unwrap_or(b',');
        Self {
            reader: ReaderBuilder::new().delimiter(delimiter).build(),
            nulls: csv.null.clone(),
            skip: csv.skip_rows,
            names: csv.header.as_deref().map(keys),
            header: Vec::new(),
            field: vec![0; ROOM],
            length: 0,
            fields: 0,
            row: 0,
        }
    }

    pub(super) fn write(
        &mut self,
        mut text: &[u8],
        json: &mut Vec<u8>,
        has_rows: &mut bool,
        at: u64,
    ) -> Result<(), Unread> {
        while self.skip > 0 {
            let Some(end) = memchr(b'\n', text) else {
                return Ok(());
            };
            text = &text[end + 1..];
            self.skip -= 1;
        }
        while !text.is_empty() {
            let read = self.read(text, json, has_rows, at)?.unwrap_or(text.len());
            text = &text[read..];
        }
        Ok(())
    }

    pub(super) fn end(
        mut self,
        json: &mut Vec<u8>,
        has_rows: &mut bool,
        at: u64,
    ) -> Result<(), Unread> {
        // The reader learns of the end by an empty input, and gives what it still holds.
        while self.read(&[], json, has_rows, at)?.is_some() {}
        Ok(())
    }

    /// Reads one field, or as much of it as there is; gives how much of the text that was, and nothing at the end of all.
    fn read(
        &mut self,
        text: &[u8],
        json: &mut Vec<u8>,
        has_rows: &mut bool,
        at: u64,
    ) -> Result<Option<usize>, Unread> {
        if self.length == self.field.len() {
            if self.length >= LONGEST {
                return Err(self.wrong(at, "has a field longer than 16 MiB"));
            }
            self.field.resize(self.length * 2, 0);
        }
        let (result, read, written) = self.reader.read_field(text, &mut self.field[self.length..]);
        self.length += written;
        match result {
            ReadFieldResult::End => return Ok(None),
            ReadFieldResult::InputEmpty | ReadFieldResult::OutputFull => {}
            ReadFieldResult::Field { record_end } => {
                self.take_field(json, has_rows, at)?;
                if record_end {
                    self.end_row(json);
                }
            }
        }
        Ok(Some(read))
    }

    fn take_field(
        &mut self,
        json: &mut Vec<u8>,
        has_rows: &mut bool,
        at: u64,
    ) -> Result<(), Unread> {
        let length = std::mem::take(&mut self.length);
        let number = self.fields;
        self.fields += 1;
        let Ok(value) = std::str::from_utf8(&self.field[..length]) else {
            return Err(self.wrong(at, "is not UTF-8"));
        };
        let Some(names) = &self.names else {
            self.header.push(value.to_owned());
            return Ok(());
        };
        let Some(name) = names.get(number) else {
            let what = format!("has more fields than the {} of the header", names.len());
            return Err(self.wrong(at, &what));
        };
        if number == 0 {
            begin_row(json, has_rows);
        }
        json.push(if number == 0 { b'{' } else { b',' });
        json.extend_from_slice(name);
        if self.nulls.iter().any(|null| null == value) {
            json.extend_from_slice(b"null");
        } else {
            write_text(value, json);
        }
        Ok(())
    }

    fn end_row(&mut self, json: &mut Vec<u8>) {
        self.row += 1;
        self.fields = 0;
        if self.names.is_none() {
            self.names = Some(keys(&std::mem::take(&mut self.header)));
        } else {
            json.push(b'}');
        }
    }

    fn wrong(&self, at: u64, what: &str) -> Unread {
        Unread::malformed(at, format!("row {} {what}", self.row + 1))
    }
}

/// The names of columns as JSON. One without a name, or with one that is there already, is named by its number.
fn keys(header: &[String]) -> Vec<Vec<u8>> {
    let mut names: Vec<String> = Vec::with_capacity(header.len());
    for (number, name) in header.iter().enumerate() {
        let name = name.trim();
        names.push(if name.is_empty() {
            format!("column_{}", number + 1)
        } else if names.iter().any(|known| known == name) {
            format!("{name}_{}", number + 1)
        } else {
            name.to_owned()
        });
    }
    let key = |name: &String| {
        let mut key = Vec::with_capacity(name.len() + 3);
        write_text(name, &mut key);
        key.push(b':');
        key
    };
    names.iter().map(key).collect()
}
