//! One page of a route's answer: run, written while it comes, and remembered where it ended.

use crate::plan::Plan;
use crate::{bind, encode};
use arrow::array::{ArrayRef, RecordBatch};
use encode::Unwritten;
use jiff::Timestamp;
use millrace_engine::Error;
use millrace_serve::source::{self, Asked, Cursor, Key, Mark, Page, Seal, Start, Stretch, Writer};

/// What is asked for.
pub struct Request<'a> {
    /// What the caller asks.
    pub asked: &'a Asked<'a>,
    /// How the query is run.
    pub plan: &'a Plan,
    /// From where on.
    pub cursor: Option<Cursor>,
    /// What seals the next page's cursor.
    pub seal: &'a Seal,
}

/// Why there is no page.
#[derive(Debug)]
pub enum Trouble {
    /// The engine has none.
    Engine(Error),
    /// The answer became too large, at that row.
    TooLarge(usize),
    /// The cursor holds what is no value of its type.
    BadCursor,
    /// A parameter is beyond what can be compared.
    BadValue(String),
    /// A value is of a type that was not announced.
    Unwritten(Unwritten),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Engine(error)
    }
}

impl From<Unwritten> for Trouble {
    fn from(value: Unwritten) -> Self {
        Self::Unwritten(value)
    }
}

/// Runs a query for one page.
pub async fn fetch(request: &Request<'_>) -> Result<Page, Trouble> {
    let pages = &request.plan.pages;
    let mut start = Cursor::start(request.cursor.as_ref());
    let mut page = Builder::new(request, pages.keys.as_deref().unwrap_or_default());
    for stretch in pages.stretches(start.null.as_deref()) {
        page.read(&stretch, &start).await?;
        (start.offset, start.alike) = (0, 0);
        if page.full {
            break;
        }
    }
    page.finish()
}

/// A page that is being written.
struct Builder<'a> {
    request: &'a Request<'a>,
    keys: &'a [Key],
    writer: Writer<'a>,
    /// Whether there is a row behind the page.
    full: bool,
    mark: Mark,
}

impl<'a> Builder<'a> {
    fn new(request: &'a Request<'a>, keys: &'a [Key]) -> Self {
        let columns = source::Plan::columns(request.plan);
        Self {
            request,
            keys,
            writer: Writer::new(request.asked, columns),
            full: false,
            mark: Mark::behind(request.cursor.as_ref()),
        }
    }

    /// Reads a stretch's rows, one more than the page still takes, and passes over the first of them.
    async fn read(&mut self, stretch: &Stretch, start: &Start) -> Result<(), Trouble> {
        let skip = usize::try_from(start.offset).map_err(|_| Trouble::BadCursor)?;
        let wanted = (self.writer.room() + 1 + start.alike as usize).saturating_add(skip);
        let statement = self.request.plan.statement(stretch, wanted).await?;
        let values = self.values(stretch)?;
        let mut rows = statement.rows(&values, Timestamp::now()).await?;
        let mut passed = 0;
        while let Some(batch) = rows.next().await? {
            let first = (skip - passed).min(batch.num_rows());
            passed += first;
            for row in first..batch.num_rows() {
                if self.append(&batch, row)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// What is bound: the parameters' values, and behind them the cursor's.
    fn values(&self, stretch: &Stretch) -> Result<Vec<ArrayRef>, Trouble> {
        let Request { asked, plan, .. } = self.request;
        let values = asked.arguments.bound(&asked.route.bound);
        let values = values.into_iter().zip(&plan.parameters);
        let mut values: Vec<ArrayRef> = values
            .map(|(value, kind)| bind::array(value, kind))
            .collect::<Result<_, _>>()
            .map_err(Trouble::BadValue)?;
        if let Some(Cursor::Behind { key, .. }) = &self.request.cursor {
            for at in &stretch.bound {
                let value = encode::unkept(key[*at].as_deref(), &plan.keys[*at]);
                values.push(value.ok_or(Trouble::BadCursor)?);
            }
        }
        Ok(values)
    }

    /// Appends a row, unless the page before had it. Whether the page is full already.
    fn append(&mut self, batch: &RecordBatch, row: usize) -> Result<bool, Trouble> {
        let keys = self.keys.iter();
        let values: Vec<Option<Vec<u8>>> = keys
            .map(|key| encode::kept(batch.column(key.place), row))
            .collect();
        let values = || {
            let values = values.iter().map(Option::as_deref);
            values.map(Ok::<_, Trouble>)
        };
        if self.mark.has_passed(values())? {
            return Ok(false);
        }
        if self.writer.room() == 0 {
            self.full = true;
            return Ok(true);
        }
        let json = &self.request.plan.json;
        self.writer.push(&Values { batch, row, json })?;
        if self.writer.is_too_large() {
            return Err(Trouble::TooLarge(self.writer.rows()));
        }
        self.mark.pass(values())?;
        Ok(false)
    }

    fn finish(self) -> Result<Page, Trouble> {
        let is_hidden = !self.request.asked.masked.is_empty();
        let next = self.full.then(|| {
            let cursor = self.mark.cursor(self.writer.rows(), is_hidden);
            cursor.encode(self.request.seal)
        });
        let page = self.writer.finish(next);
        page.map_err(|message| Trouble::Unwritten(Unwritten(message)))
    }
}

/// A row of a batch.
pub struct Values<'a> {
    /// The batch.
    pub batch: &'a RecordBatch,
    /// The row's number in it.
    pub row: usize,
    /// Of each column, whether its texts are JSON.
    pub json: &'a [bool],
}

impl source::Row for Values<'_> {
    type Error = Unwritten;

    fn json(&self, column: usize, out: &mut Vec<u8>) -> Result<(), Unwritten> {
        let values = self.batch.column(column);
        encode::json(values, self.row, self.json[column], out)
    }

    fn csv(&self, column: usize, out: &mut Vec<u8>) -> Result<(), Unwritten> {
        let values = self.batch.column(column);
        encode::csv(values, self.row, self.json[column], out)
    }

    fn cell(&self, column: usize) -> Result<source::Cell<'_>, Unwritten> {
        encode::cell(self.batch.column(column), self.row)
    }
}
