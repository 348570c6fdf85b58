//! A page's body, written while rows come: in the form that the caller accepts, with the columns that it sees.

use crate::answer;
use crate::asked::Asked;
use crate::column::Column;
use crate::columnar::{self, Cell, Columns};
use crate::format::{Format, csv_text};
use arrow_array::RecordBatch;

/// How large an answer may become. A Lambda's may have 6 MB, and the envelope of API Gateway escapes it once more.
pub const LARGEST: usize = 5 * 1024 * 1024;
/// The same of one that is no text: it travels as Base64, which makes four bytes of three.
const LARGEST_OF_COLUMNS: usize = 4 * 1024 * 1024;

/// A page.
#[derive(Debug, PartialEq)]
pub struct Page {
    /// The whole body of the answer; empty where there is a batch in its place.
    pub body: Vec<u8>,
    /// The rows, of a part of a file whose form is columns.
    pub batch: Option<RecordBatch>,
    /// How many rows are in it.
    pub rows: usize,
    /// The next page's cursor.
    pub next: Option<String>,
}

/// A row whose values can be written.
pub trait Row {
    /// What is wrong with a value that cannot be.
    type Error;

    /// Appends the value of a column of the answer as JSON.
    fn json(&self, column: usize, out: &mut Vec<u8>) -> Result<(), Self::Error>;

    /// Appends it as a field of CSV.
    fn csv(&self, column: usize, out: &mut Vec<u8>) -> Result<(), Self::Error>;

    /// The value as it is.
    fn cell(&self, column: usize) -> Result<Cell<'_>, Self::Error>;
}

/// Writes a page.
#[derive(Debug)]
pub struct Writer<'a> {
    format: Format,
    is_part: bool,
    shown: Vec<Shown<'a>>,
    limit: usize,
    /// Of a form that is text.
    body: Vec<u8>,
    /// Of the others.
    columns: Option<Columns>,
    rows: usize,
}

/// A column of the answer that the caller gets.
#[derive(Debug)]
struct Shown<'a> {
    column: &'a Column,
    /// Its place among the query's columns; none where the caller does not see its values.
    place: Option<usize>,
}

impl<'a> Writer<'a> {
    /// A page of a query with these columns.
    pub fn new(asked: &Asked<'_>, columns: &'a [Column]) -> Self {
        let shown = shown(asked, columns);
        let mut body = Vec::with_capacity(4 * 1024);
        match asked.format {
            Format::Json => body.extend_from_slice(answer::HEAD),
            Format::Csv => names(&shown, &mut body),
            Format::Ndjson | Format::Arrow | Format::Parquet => {}
        }
        let columns = || Columns::new(shown.iter().map(|shown| shown.column));
        Self {
            format: asked.format,
            is_part: asked.is_part,
            columns: asked.format.is_columnar().then(columns),
            shown,
            limit: asked.arguments.limit as usize,
            body,
            rows: 0,
        }
    }

    /// How many rows are in it.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How many more it takes.
    pub fn room(&self) -> usize {
        self.limit - self.rows
    }

    /// Whether it has become larger than an answer may be.
    pub fn is_too_large(&self) -> bool {
        match &self.columns {
            None => self.body.len() > LARGEST,
            Some(columns) => columns.bytes() > LARGEST_OF_COLUMNS,
        }
    }

    /// Appends a row.
    pub fn push<R: Row>(&mut self, row: &R) -> Result<(), R::Error> {
        match self.format {
            Format::Csv => self.push_csv(row)?,
            Format::Json => {
                if self.rows > 0 {
                    self.body.push(b',');
                }
                self.push_json(row)?;
            }
            Format::Ndjson => {
                self.push_json(row)?;
                self.body.push(b'\n');
            }
            Format::Arrow | Format::Parquet => self.push_cells(row)?,
        }
        self.rows += 1;
        Ok(())
    }

    fn push_json<R: Row>(&mut self, row: &R) -> Result<(), R::Error> {
        self.body.push(b'{');
        for (number, shown) in self.shown.iter().enumerate() {
            if number > 0 {
                self.body.push(b',');
            }
            self.body.extend_from_slice(&shown.column.prefix);
            match shown.place {
                Some(place) => row.json(place, &mut self.body)?,
                None => self.body.extend_from_slice(b"null"),
            }
        }
        self.body.push(b'}');
        Ok(())
    }

    fn push_csv<R: Row>(&mut self, row: &R) -> Result<(), R::Error> {
        for (number, shown) in self.shown.iter().enumerate() {
            if number > 0 {
                self.body.push(b',');
            }
            if let Some(place) = shown.place {
                row.csv(place, &mut self.body)?;
            }
        }
        self.body.extend_from_slice(b"\r\n");
        Ok(())
    }

    fn push_cells<R: Row>(&mut self, row: &R) -> Result<(), R::Error> {
        let Some(columns) = &mut self.columns else {
            return Ok(());
        };
        for (number, shown) in self.shown.iter().enumerate() {
            let cell = match shown.place {
                Some(place) => row.cell(place)?,
                None => Cell::Null,
            };
            columns.push(number, &cell);
        }
        Ok(())
    }

    /// The page, and the cursor of the one behind it. An error says which value is not what its column says.
    pub fn finish(mut self, next: Option<String>) -> Result<Page, String> {
        if self.format == Format::Json {
            answer::finish(&mut self.body, next.as_deref());
        }
        let batch = self.columns.map(Columns::finish).transpose()?;
        let (body, batch) = match batch {
            Some(batch) if self.is_part => (self.body, Some(batch)),
            Some(batch) => (columnar::file(self.format, &batch)?, None),
            None => (self.body, None),
        };
        Ok(Page {
            body,
            batch,
            rows: self.rows,
            next,
        })
    }
}

/// The columns that a caller gets, in its order.
fn shown<'a>(asked: &Asked<'_>, columns: &'a [Column]) -> Vec<Shown<'a>> {
    let shown = |(at, column): (usize, &'a Column)| {
        let masked = asked.masked.contains(&column.name.as_str());
        let place = (!masked).then_some(at);
        Shown { column, place }
    };
    let all = || columns.iter().enumerate();
    match &asked.arguments.fields {
        None => all().map(shown).collect(),
        Some(names) => names
            .iter()
            .filter_map(|name| all().find(|(_, column)| column.name == *name))
            .map(shown)
            .collect(),
    }
}

/// The first line of CSV.
fn names(shown: &[Shown<'_>], out: &mut Vec<u8>) {
    for (at, shown) in shown.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        csv_text(&shown.column.name, out);
    }
    out.extend_from_slice(b"\r\n");
}
