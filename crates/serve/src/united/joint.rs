//! A page that several sources write, one after the other.

use crate::asked::Asked;
use crate::column::Column;
use crate::columnar::Cell;
use crate::cursor::Cursor;
use crate::united::fitted::Fitted;
use crate::united::place;
use crate::writer::{Page, Row, Writer};

/// A page that several sources write, one after the other.
#[derive(Debug)]
pub struct Joint<'a> {
    writer: Writer<'a>,
    columns: &'a [Column],
    /// Whether there is a row behind it.
    is_full: bool,
    /// The last row's values by which rows are ordered.
    last: Option<Vec<Option<Vec<u8>>>>,
}

/// What became of a row that was to be appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It is there, and there is room for another one.
    There,
    /// It is there as the last one: by what it is ordered is to be told.
    Last,
    /// There was no room for it.
    Full,
    /// It is there, and makes the page too large.
    TooLarge,
}

impl<'a> Joint<'a> {
    pub(crate) fn new(asked: &Asked<'_>, columns: &'a [Column]) -> Self {
        Self {
            writer: Writer::new(asked, columns),
            columns,
            is_full: false,
            last: None,
        }
    }

    /// How many rows more are to be read: one that it does not take tells that there is a next page.
    pub fn wanted(&self) -> usize {
        self.writer.room() + 1
    }

    /// How many rows it has.
    pub fn rows(&self) -> usize {
        self.writer.rows()
    }

    /// Whether it has all that it takes, and there is more.
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    /// Whether rows with these columns can be appended.
    pub fn takes(&self, columns: &[Column]) -> bool {
        let names = |columns: &[Column]| -> Vec<String> {
            columns.iter().map(|column| column.name.clone()).collect()
        };
        names(self.columns) == names(columns)
    }

    /// Appends a row.
    pub fn push<R: Row>(&mut self, row: &R) -> Result<Pushed, R::Error> {
        if self.writer.room() == 0 {
            self.is_full = true;
            return Ok(Pushed::Full);
        }
        let columns = self.columns;
        self.writer.push(&Fitted { row, columns })?;
        Ok(if self.writer.is_too_large() {
            Pushed::TooLarge
        } else if self.writer.room() == 0 {
            Pushed::Last
        } else {
            Pushed::There
        })
    }

    /// Remembers by what the last row is ordered; none where a value cannot be one of those.
    pub fn remember<'v>(&mut self, values: impl Iterator<Item = Cell<'v>>) -> Option<()> {
        let key = values.map(|value| place::packed(&value));
        self.last = Some(key.collect::<Option<_>>()?);
        Some(())
    }

    /// The cursor of the next page, if there is one.
    pub(crate) fn cursor(&self) -> Option<Cursor> {
        let key = self.last.clone().filter(|_| self.is_full)?;
        Some(Cursor::Behind {
            key,
            seen: 0,
            rows: 0,
        })
    }

    pub(crate) fn finish(self, next: Option<String>) -> Result<Page, String> {
        self.writer.finish(next)
    }
}
