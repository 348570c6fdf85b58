//! What answers the queries of routes. The crates that know a store implement [`Source`], and find here what they need
//! for it; everything else about a request is the same for all of them.

pub use crate::asked::Asked;
pub use crate::column::{Column, Digits, Kind};
pub use crate::columnar::Cell;
pub use crate::cursor::{Cursor, Mark, Seal, Start, seal_key};
pub use crate::dataset::Dataset;
pub use crate::decimal::Decimal;
pub use crate::format::{csv_of_json, csv_text};
pub use crate::pages::{Key, OrderKey, Pages, Selected, Shape, Stretch};
pub use crate::params::bad_cursor;
pub use crate::problem::Problem;
pub use crate::routes::{Served, Sort};
pub use crate::time::{date, time, timestamp};
pub use crate::united::{Half, Joint, Older, Part, Pushed, Recent, Refusal, Snapshot};
pub use crate::value::{Bound, Value, sample};
pub use crate::writer::{LARGEST, Page, Row, Writer};

use crate::united::United;
use async_trait::async_trait;
use millrace_model::Failure;
use millrace_model::definition::Datasource;
use millrace_model::definition::endpoint::Route;
use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

/// A store of data that answers queries.
#[async_trait]
pub trait Source: Debug + Send + Sync {
    /// The same for several threads, each with its share of what there is a bounded number of; fewer where there are not
    /// enough of these, and one at least.
    fn share(&self, threads: usize) -> Vec<Arc<dyn Source>>;

    /// Gets ready before anybody asks. What goes wrong with it is told to those who ask.
    async fn warm_up(&self);

    /// Whether it can be asked now.
    async fn ready(&self) -> Result<(), Problem>;

    /// What the tables of a route hold now; none where nobody says when they change. An error is for the log.
    async fn dataset(&self, route: &Served) -> Result<Option<Arc<Dataset>>, String>;

    /// Learns the columns of routes, as far as that is possible ([`Served::set_plan`]).
    async fn learn(&self, routes: &[&Served]);

    /// A page of an answer.
    async fn page(&self, asked: &Asked<'_>) -> Result<Page, Problem>;

    /// Whether a route can be answered well: inside, what is in the way and what would mend it. It learns the route's
    /// columns.
    async fn check(&self, route: &Served) -> Result<Result<(), String>, Failure>;

    /// The indexes by which a query is read. An error says what is in the way.
    async fn indexes(&self, query: &Query<'_>) -> Result<Vec<IndexRead>, String>;

    /// The same, where it may have the recent rows of tables alone.
    fn as_recent(&self) -> Option<&dyn Recent> {
        None
    }

    /// The same, where it has what such a source lacks.
    fn as_older(&self) -> Option<&dyn Older> {
        None
    }
}

/// The sources of the routes, each with what routes call it.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    all: Vec<(Datasource, Arc<dyn Source>)>,
    /// The one that answers no route by itself.
    beside: Option<Datasource>,
}

impl Sources {
    /// One source.
    pub fn of(datasource: Datasource, source: impl Source + 'static) -> Self {
        Self {
            all: vec![(datasource, Arc::new(source))],
            beside: None,
        }
    }

    /// And another one.
    #[must_use]
    pub fn and(mut self, datasource: Datasource, source: impl Source + 'static) -> Self {
        self.all.push((datasource, Arc::new(source)));
        self
    }

    /// And another one, if there is one, for routes that two answer together; those that it would answer by itself are
    /// somebody else's.
    #[must_use]
    pub fn beside(mut self, datasource: Datasource, source: Option<impl Source + 'static>) -> Self {
        self.beside = Some(datasource);
        match source {
            Some(source) => self.and(datasource, source),
            None => self,
        }
    }

    /// What answers a route; none where the route is somebody else's to answer.
    pub(crate) fn of_route(&self, route: &Route) -> Option<Asker<'_>> {
        let source = self.get(route.datasource)?;
        let Some(older) = route.older else {
            let is_own = self.beside != Some(route.datasource);
            return is_own.then_some(Asker::One(source));
        };
        Some(Asker::Two(United {
            recent: source.as_recent()?,
            older: self.get(older)?.as_older()?,
        }))
    }

    /// One of them.
    pub(crate) fn get(&self, datasource: Datasource) -> Option<&dyn Source> {
        let mut sources = self.all.iter();
        let found = sources.find(|(known, _)| *known == datasource);
        found.map(|(_, source)| &**source)
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Datasource, &Arc<dyn Source>)> {
        self.all.iter().map(|(known, source)| (*known, source))
    }

    /// The same for several threads, each with its share; fewer where there is not enough of one of them.
    pub(crate) fn share(&self, threads: usize) -> Vec<Self> {
        let most = self
            .all
            .iter()
            .map(|(_, source)| source.share(threads).len());
        let threads = most.min().unwrap_or(threads);
        let none = Self {
            all: Vec::new(),
            beside: self.beside,
        };
        let mut shares = vec![none; threads];
        for (datasource, source) in &self.all {
            for (share, source) in shares.iter_mut().zip(source.share(threads)) {
                share.all.push((*datasource, source));
            }
        }
        shares
    }
}

/// What answers a route: a source, or two together.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asker<'a> {
    One(&'a dyn Source),
    Two(United<'a>),
}

impl Asker<'_> {
    /// What the tables of a route hold now; none where nobody says when they change. An error is for the log.
    pub async fn dataset(&self, route: &Served) -> Result<Option<Arc<Dataset>>, String> {
        match self {
            Self::One(source) => source.dataset(route).await,
            Self::Two(united) => united.dataset(route).await,
        }
    }

    /// A page of an answer.
    pub async fn page(&self, asked: &Asked<'_>) -> Result<Page, Problem> {
        match self {
            Self::One(source) => source.page(asked).await,
            Self::Two(united) => united.page(asked).await,
        }
    }
}

/// How a source runs a route's query: what it wants to remember of it until its tables may have changed.
pub trait Plan: Any + Debug + Send + Sync {
    /// The columns of the answer.
    fn columns(&self) -> &[Column];
}

/// A query with everything that is bound.
#[derive(Debug)]
pub struct Query<'a> {
    /// Its route.
    pub route: &'a Served,
    /// In which order.
    pub sort: Option<&'a Sort>,
    /// The values of `$1`, `$2`, ….
    pub values: Vec<&'a Value>,
    /// How many rows a page has.
    pub limit: u32,
}

/// An index that a query is read by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexRead {
    /// The table, with its schema.
    pub table: String,
    /// The index's columns, in its order.
    pub columns: Vec<String>,
}
