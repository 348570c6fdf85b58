//! One page of a route's answer: run, written as JSON while it comes, and remembered where it ended.

use crate::json::{Encoder, Raw};
use crate::plan::Plan;
use crate::store::DEFAULT_TIMEOUT;
use crate::value::Bind;
use bytes::BytesMut;
use deadpool_postgres::Object;
use futures::{TryStreamExt, pin_mut};
use millrace_serve::source::{self, Asked, Cursor, Key, Mark, Page, Seal, Start, Stretch, Writer};
use std::error::Error as _;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Row, Statement};

/// Numbers of rows that are often asked for: one more than pages have, and behind a cursor its own row besides.
const COMMON: [i64; 17] = [
    1, 2, 3, 11, 12, 21, 22, 51, 52, 101, 102, 201, 202, 501, 502, 1001, 1002,
];
/// How many prepared statements a connection keeps.
const STATEMENTS: usize = 500;

/// What is asked for.
pub struct Request<'a> {
    /// What the caller asks.
    pub asked: &'a Asked<'a>,
    /// How the query is run.
    pub plan: &'a Plan,
    /// From where on.
    pub cursor: Option<Cursor>,
    /// What seals the next page's cursor; most answers have no next page, and never ask.
    pub seal: &'a (dyn Fn() -> Seal + Sync),
}

/// Why there is no page.
#[derive(Debug)]
pub enum Trouble {
    /// The query took too long.
    Timeout,
    /// The answer became too large, at that row.
    TooLarge(usize),
    /// The cursor holds what is no value of its type.
    BadCursor,
    /// A parameter is beyond what its column can be compared with.
    BadValue(String),
    /// What was prepared does not fit the tables any more: prepared anew, it may.
    Stale {
        /// What PostgreSQL says.
        error: String,
        /// Whether a table is not there at all.
        missing: bool,
    },
    /// The connection is gone: another one may do.
    Lost(tokio_postgres::Error),
    /// PostgreSQL says something that is not understood yet.
    Postgres(tokio_postgres::Error),
    /// Anything else.
    Other(String),
}

impl Trouble {
    /// What was prepared is of other columns.
    pub fn changed() -> Self {
        Self::Stale {
            error: "the columns have other types now".to_owned(),
            missing: false,
        }
    }

    /// Whether another connection, or what is prepared anew, may do.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Stale { .. } | Self::Lost(_))
    }

    /// Whether something may still be on its way on the connection.
    pub fn leaves_answers(&self) -> bool {
        matches!(self, Self::TooLarge(_) | Self::Lost(_) | Self::Other(_))
    }

    /// What was prepared does not fit.
    pub fn stale(error: &tokio_postgres::Error) -> Self {
        let missing = error.code() == Some(&SqlState::UNDEFINED_TABLE);
        Self::Stale {
            error: text(error),
            missing,
        }
    }
}

/// Runs a query for one page.
pub async fn fetch(client: &Object, request: &Request<'_>) -> Result<Page, Trouble> {
    let plan = request.plan;
    let keys = plan.pages.keys.as_deref().unwrap_or_default();
    let mut start = Cursor::start(request.cursor.as_ref());
    let mut page = Builder::new(request, keys);
    for stretch in plan.pages.stretches(start.null.as_deref()) {
        page.read(client, &stretch, &start).await?;
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
        Self {
            request,
            keys,
            writer: Writer::new(request.asked, &request.plan.columns),
            full: false,
            mark: Mark::behind(request.cursor.as_ref()),
        }
    }

    /// Reads a stretch's rows, one more than the page still takes and those that the page before may have had.
    async fn read(
        &mut self,
        client: &Object,
        stretch: &Stretch,
        start: &Start,
    ) -> Result<(), Trouble> {
        let plan = self.request.plan;
        let asked = self.request.asked;
        let wanted = self.writer.room() as i64 + 1 + start.alike as i64;
        let values = asked.arguments.bound(&asked.route.bound);
        let mut arguments: Vec<Argument<'_>> = values
            .into_iter()
            .map(|value| Argument::Value(Bind(value)))
            .collect();
        let mut types = plan.parameters.clone();
        if let Some(Cursor::Behind { key, .. }) = &self.request.cursor {
            arguments.extend(
                stretch
                    .bound
                    .iter()
                    .map(|at| Argument::Raw(key[*at].as_deref())),
            );
            types.extend(stretch.bound.iter().map(|_| Type::UNKNOWN));
        }
        let limit = number(wanted, &mut arguments, &mut types);
        let offset = match start.offset {
            0 => String::new(),
            rows => number(rows as i64, &mut arguments, &mut types),
        };
        let sql = plan.pages.statement(stretch, &offset, &limit);
        let statement = prepared(client, &sql, &types).await;
        let statement = statement.map_err(|error| self.trouble(error))?;
        if !plan.fits(&statement) {
            return Err(Trouble::changed());
        }
        let timeout = asked.route.route.timeout;
        if timeout == DEFAULT_TIMEOUT {
            return self.stream(client, &statement, &arguments).await;
        }
        // All three are sent at once; what a failing query leaves, COMMIT rolls back.
        let begin = format!(
            "BEGIN; SET LOCAL statement_timeout = {}",
            timeout.as_millis().max(1)
        );
        let (opened, read, ended) = tokio::join!(
            client.batch_execute(&begin),
            self.stream(client, &statement, &arguments),
            client.batch_execute("COMMIT")
        );
        read?;
        opened.and(ended).map_err(|error| self.trouble(error))
    }

    async fn stream(
        &mut self,
        client: &Object,
        statement: &Statement,
        arguments: &[Argument<'_>],
    ) -> Result<(), Trouble> {
        let rows = client
            .query_raw(statement, arguments)
            .await
            .map_err(|error| self.trouble(error))?;
        pin_mut!(rows);
        while let Some(row) = rows.try_next().await.map_err(|error| self.trouble(error))? {
            let values = self.keys.iter().map(|key| raw(&row, key.place));
            if self.mark.has_passed(values)? {
                continue;
            }
            if self.writer.room() == 0 {
                self.full = true;
                continue;
            }
            self.append(&row)?;
            if self.writer.is_too_large() {
                return Err(Trouble::TooLarge(self.writer.rows()));
            }
        }
        Ok(())
    }

    fn append(&mut self, row: &Row) -> Result<(), Trouble> {
        let encoders = &self.request.plan.encoders;
        self.writer.push(&Values { row, encoders })?;
        self.mark
            .pass(self.keys.iter().map(|key| raw(row, key.place)))
    }

    fn finish(self) -> Result<Page, Trouble> {
        let is_hidden = !self.request.asked.masked.is_empty();
        let next = self.full.then(|| {
            let cursor = self.mark.cursor(self.writer.rows(), is_hidden);
            cursor.encode(&(self.request.seal)())
        });
        self.writer.finish(next).map_err(Trouble::Other)
    }

    fn trouble(&self, error: tokio_postgres::Error) -> Trouble {
        trouble(error, self.request.cursor.is_some())
    }
}

/// The statement, prepared. There is one for each combination of NULLs in cursors: few in practice, and never too many.
pub async fn prepared(
    client: &Object,
    sql: &str,
    types: &[Type],
) -> Result<Statement, tokio_postgres::Error> {
    if client.statement_cache.size() > STATEMENTS {
        client.statement_cache.clear();
    }
    client.prepare_typed_cached(sql, types).await
}

/// A number of rows as a statement has it. PostgreSQL plans better for one that it knows; the common ones each have a
/// statement of their own.
pub fn number(value: i64, arguments: &mut Vec<Argument<'_>>, types: &mut Vec<Type>) -> String {
    if COMMON.contains(&value) {
        return value.to_string();
    }
    arguments.push(Argument::Number(value));
    types.push(Type::INT8);
    format!("${}", types.len())
}

/// What an error of PostgreSQL means to the caller, who did or did not send a cursor.
pub fn trouble(error: tokio_postgres::Error, with_cursor: bool) -> Trouble {
    let Some(code) = error.code() else {
        let io = matches!(error.source(), Some(source) if source.is::<std::io::Error>());
        if error.is_closed() || io {
            return Trouble::Lost(error);
        }
        return Trouble::Other(text(&error));
    };
    match *code {
        SqlState::QUERY_CANCELED => Trouble::Timeout,
        SqlState::INVALID_BINARY_REPRESENTATION
        | SqlState::PROTOCOL_VIOLATION
        | SqlState::CHARACTER_NOT_IN_REPERTOIRE
            if with_cursor =>
        {
            Trouble::BadCursor
        }
        SqlState::FEATURE_NOT_SUPPORTED
        | SqlState::UNDEFINED_TABLE
        | SqlState::UNDEFINED_COLUMN
        | SqlState::UNDEFINED_FUNCTION
        | SqlState::INVALID_SQL_STATEMENT_NAME => Trouble::stale(&error),
        _ => match &code.code()[..2] {
            // Data exceptions: a parameter of the right type that the query cannot take, such as a zero to divide by.
            "22" => {
                let message = error.as_db_error().map(|error| error.message().to_owned());
                Trouble::BadValue(message.unwrap_or_default())
            }
            "08" | "57" => Trouble::Lost(error),
            _ => Trouble::Other(text(&error)),
        },
    }
}

/// A value by which rows are ordered, as it is.
pub fn key_cell<'r>(row: &'r Row, place: usize, kind: &Type) -> Result<source::Cell<'r>, Trouble> {
    let encoder = Encoder::of(kind).unwrap_or(Encoder::Text);
    let cell = encoder.cell(raw(row, place)?);
    cell.map_err(|error| Trouble::Other(error.to_string()))
}

/// A row whose values are written as they come.
pub struct Values<'a> {
    /// The row.
    pub row: &'a Row,
    /// How the values of its columns are written.
    pub encoders: &'a [Encoder],
}

impl source::Row for Values<'_> {
    type Error = Trouble;

    fn json(&self, column: usize, out: &mut Vec<u8>) -> Result<(), Trouble> {
        let encoded = self.encoders[column].encode(raw(self.row, column)?, out);
        encoded.map_err(|error| Trouble::Other(error.to_string()))
    }

    fn csv(&self, column: usize, out: &mut Vec<u8>) -> Result<(), Trouble> {
        let encoded = self.encoders[column].csv(raw(self.row, column)?, out);
        encoded.map_err(|error| Trouble::Other(error.to_string()))
    }

    fn cell(&self, column: usize) -> Result<source::Cell<'_>, Trouble> {
        let cell = self.encoders[column].cell(raw(self.row, column)?);
        cell.map_err(|error| Trouble::Other(error.to_string()))
    }
}

/// A value as PostgreSQL sent it.
fn raw(row: &Row, place: usize) -> Result<Option<&[u8]>, Trouble> {
    let raw: Result<Option<Raw<'_>>, _> = row.try_get(place);
    raw.map(|raw| raw.map(|raw| raw.0))
        .map_err(|error| Trouble::Other(error.to_string()))
}

/// An error's words, for the log.
pub fn text(error: &tokio_postgres::Error) -> String {
    match (error.as_db_error(), error.source()) {
        (Some(error), _) => format!("{} ({})", error.message(), error.code().code()),
        (None, Some(source)) => format!("{error}: {source}"),
        (None, None) => error.to_string(),
    }
}

/// What is bound.
#[derive(Debug)]
pub enum Argument<'a> {
    /// A parameter's value.
    Value(Bind<'a>),
    /// A cursor's, as PostgreSQL sent it.
    Raw(Option<&'a [u8]>),
    /// A number of rows.
    Number(i64),
}

impl ToSql for Argument<'_> {
    fn to_sql(
        &self,
        bound: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Value(value) => value.to_sql(bound, out),
            Self::Raw(None) => Ok(IsNull::Yes),
            Self::Raw(Some(bytes)) => {
                out.extend_from_slice(bytes);
                Ok(IsNull::No)
            }
            Self::Number(number) => number.to_sql(bound, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}
