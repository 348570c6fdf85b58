//! Answers that two sources give together: recent rows are in the one, older rows in the other.
//!
//! What the first source has of a table is one version of it from a boundary on, as publish noted both beside the rows. A
//! page is a stretch of that version: what is recent is read in one transaction with the note, and what is older from the
//! second source at the version that the note names. So no row is missing or there twice, whatever is published meanwhile.
//! A cursor is the last row's place in the order, and says nothing of halves: where it lies is seen anew for each page.

mod fitted;
mod halves;
mod joint;
mod place;

pub use halves::Half;
pub use joint::{Joint, Pushed};
pub use place::Part;

use crate::asked::Asked;
use crate::cursor::{Cursor, Seal};
use crate::dataset::Dataset;
use crate::params::bad_cursor;
use crate::problem::Problem;
use crate::routes::Served;
use crate::source::Source;
use crate::writer::Page;
use async_trait::async_trait;
use halves::Halves;
use jiff::Timestamp;
use millrace_model::recent::RecentRows;
use place::Place;
use ring::hmac;
use std::sync::Arc;
use std::time::Instant;

/// How often a page is begun anew because the tables were published meanwhile, or what was known of them does not hold.
const TRIES: usize = 3;
/// How long a cursor may become, in bytes of base64url: it holds values, and cannot count rows in their place.
const LONGEST: usize = 6_000;

/// What the source of recent rows says of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The table's key in the lake.
    pub source: String,
    /// Its version.
    pub version: u64,
    /// What tells these rows from those of all other times.
    pub identity: [u8; 32],
    /// When they were published.
    pub as_of: Timestamp,
    /// The run that published them.
    pub run: String,
    /// Which of the table's rows they are.
    pub rows: RecentRows,
}

/// Why a half does not answer.
#[derive(Debug)]
pub enum Refusal {
    /// The caller is to be told.
    Told(Problem),
    /// It may go better once more, with all that is known of it learnt anew; where it does not, the caller is to be told.
    Again(Problem),
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self::Told(problem)
    }
}

/// A source that has the recent rows of a table.
#[async_trait]
pub trait Recent: Source {
    /// What it has of the table that a route reads; none where that is not published so. An error is for the log.
    async fn snapshot(&self, route: &Served) -> Result<Option<Snapshot>, String>;

    /// Learns the columns of a half's answer ([`Served::set_plan`]).
    async fn learn_half(&self, route: &Served) -> Result<(), Refusal>;

    /// Appends its rows to a page, as many as that takes, and says of what they are.
    async fn append(&self, half: &Half<'_>, page: &mut Joint<'_>) -> Result<Snapshot, Refusal>;
}

/// A source that has all rows of a table, at each of its versions.
#[async_trait]
pub trait Older: Source {
    /// Appends rows that another source does not have to a page, as many as that takes.
    async fn append(
        &self,
        half: &Half<'_>,
        of: &Snapshot,
        page: &mut Joint<'_>,
    ) -> Result<(), Refusal>;

    /// What cursors are sealed with.
    async fn cursor_key(&self) -> Result<hmac::Key, Problem>;
}

/// The two sources of a route.
#[derive(Clone, Copy, Debug)]
pub(crate) struct United<'a> {
    pub recent: &'a dyn Recent,
    pub older: &'a dyn Older,
}

/// What a source of recent rows is asked of a route; none where another one is not asked as well, or where the table is not
/// published so yet.
pub(crate) async fn recent_half(route: &Served, source: &dyn Source) -> Option<Served> {
    route.route.older?;
    let snapshot = source.as_recent()?.snapshot(route).await.ok()??;
    Halves::recent(route, &snapshot).ok()
}

fn of_snapshot(snapshot: Snapshot) -> Arc<Dataset> {
    Arc::new(Dataset {
        identity: snapshot.identity,
        as_of: snapshot.as_of,
        run: Some(snapshot.run.clone()),
        snapshot: Some(snapshot),
    })
}

/// Why there is no page yet.
enum Trouble {
    Refused(Refusal),
    /// What was known of the recent rows does not hold any more.
    Moved(Snapshot),
}

impl<R: Into<Refusal>> From<R> for Trouble {
    fn from(refusal: R) -> Self {
        Self::Refused(refusal.into())
    }
}

impl United<'_> {
    /// What the route's table holds now.
    pub async fn dataset(&self, route: &Served) -> Result<Option<Arc<Dataset>>, String> {
        let snapshot = self.recent.snapshot(route).await?;
        Ok(snapshot.map(of_snapshot))
    }

    /// A page; both halves together have the route's time.
    pub async fn page(&self, asked: &Asked<'_>) -> Result<Page, Problem> {
        let limit = asked.route.route.timeout;
        match tokio::time::timeout(limit, self.try_page(asked)).await {
            Ok(page) => page,
            Err(_) => Err(Problem::timeout(limit)),
        }
    }

    async fn try_page(&self, asked: &Asked<'_>) -> Result<Page, Problem> {
        let route = asked.route;
        // What a file is made of is of one version: there, what was known a second ago is not looked at.
        let known = route.dataset.fresh().filter(|_| !asked.is_part).flatten();
        let mut known = known.and_then(|dataset| dataset.snapshot.clone());
        let mut last = Problem::busy();
        for _ in 0..TRIES {
            let snapshot = match known.take() {
                Some(snapshot) => snapshot,
                None => self.newest(route).await?,
            };
            let begun = Instant::now();
            match self.attempt(asked, &snapshot).await {
                Ok(page) => return Ok(page),
                Err(Trouble::Moved(newer)) => {
                    // The next page shall not be an older one.
                    let newest = of_snapshot(newer.clone());
                    route.dataset.set(begun, Some(newest));
                    known = Some(newer);
                }
                Err(Trouble::Refused(Refusal::Told(problem))) => return Err(problem),
                Err(Trouble::Refused(Refusal::Again(problem))) => {
                    route.forget_plans();
                    last = problem;
                }
            }
        }
        Err(last)
    }

    async fn newest(&self, route: &Served) -> Result<Snapshot, Problem> {
        let path = &route.route.path;
        match self.recent.snapshot(route).await {
            Ok(Some(snapshot)) => Ok(snapshot),
            Ok(None) => {
                tracing::error!(path, "the table is not published with `recent`");
                Err(Problem::not_published())
            }
            Err(error) => {
                tracing::error!(path, error, "the note of the recent rows was not read");
                Err(Problem::unavailable())
            }
        }
    }

    /// A page of that version.
    async fn attempt(&self, asked: &Asked<'_>, snapshot: &Snapshot) -> Result<Page, Trouble> {
        let route = asked.route;
        let halves = Halves::of(route, snapshot, self.recent).await?;
        let sort = asked.arguments.sort.as_ref();
        let query = halves.query(sort).ok_or_else(Problem::internal)?;
        let begin = match &asked.arguments.cursor {
            None => None,
            Some(text) => {
                let seal = self.seal(asked, &halves).await?;
                let cursor = Cursor::decode(text, &seal, query.order.len());
                let place = cursor.and_then(|cursor| Place::of(&cursor));
                Some(place.ok_or_else(bad_cursor)?)
            }
        };
        let mut page = Joint::new(asked, &halves.columns);
        for (part, behind) in place::parts(query, snapshot, asked, begin.as_ref()) {
            let half = halves.half(asked, part, behind);
            if part == Part::Recent {
                let found = self.recent.append(&half, &mut page).await?;
                if found.identity != snapshot.identity {
                    return Err(Trouble::Moved(found));
                }
            } else {
                self.older.append(&half, snapshot, &mut page).await?;
            }
            if page.is_full() || (query.is_one && page.rows() > 0) {
                break;
            }
        }
        let next = match page.cursor() {
            None => None,
            Some(cursor) => {
                let seal = self.seal(asked, &halves).await?;
                let text = cursor.encode_values(&seal, LONGEST);
                Some(text.ok_or_else(|| {
                    tracing::error!(
                        path = route.route.path,
                        "a row's key is too long for a cursor"
                    );
                    Problem::internal()
                })?)
            }
        };
        page.finish(next).map_err(|error| {
            tracing::error!(path = route.route.path, error, "a value cannot be written");
            Problem::internal().into()
        })
    }

    async fn seal(&self, asked: &Asked<'_>, halves: &Halves) -> Result<Seal, Problem> {
        let sort = asked.arguments.sort.as_ref();
        let order = halves.query(sort).map(|query| query.order.as_slice());
        let order = order.unwrap_or_default().iter().map(String::as_str);
        Ok(Seal {
            key: self.older.cursor_key().await?,
            scope: asked.scope(std::iter::once("united").chain(order)),
        })
    }
}
