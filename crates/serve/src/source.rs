//! What answers the queries of routes. The crates that know a store implement [`Source`], and find here what they need
//! for it; everything else about a request is the same for all of them.

pub use crate::asked::Asked;
pub use crate::column::{Column, Digits, Kind};
pub use crate::columnar::Cell;
pub use crate::cursor::{Cursor, Mark, Seal};
pub use crate::dataset::Dataset;
pub use crate::decimal::Decimal;
pub use crate::format::{csv_of_json, csv_text};
pub use crate::pages::{Key, OrderKey, Pages, Selected, Shape, Stretch};
pub use crate::params::bad_cursor;
pub use crate::problem::Problem;
pub use crate::routes::{Served, Sort};
pub use crate::time::{date, time, timestamp};
pub use crate::value::{Bound, Value, sample};
pub use crate::writer::{LARGEST, Page, Row, Writer};

use async_trait::async_trait;
use millrace_model::Failure;
use millrace_model::definition::Datasource;
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
}

/// The sources of the routes, each with what routes call it.
#[derive(Clone, Debug)]
pub struct Sources(Vec<(Datasource, Arc<dyn Source>)>);

impl Sources {
    /// One source.
    pub fn of(datasource: Datasource, source: impl Source + 'static) -> Self {
        Self(vec![(datasource, Arc::new(source))])
    }

    /// And another one.
    #[must_use]
    pub fn and(mut self, datasource: Datasource, source: impl Source + 'static) -> Self {
        self.0.push((datasource, Arc::new(source)));
        self
    }

    /// That of a route; none where the route is somebody else's to answer.
    pub(crate) fn get(&self, datasource: Datasource) -> Option<&Arc<dyn Source>> {
        let mut sources = self.0.iter();
        let found = sources.find(|(known, _)| *known == datasource);
        found.map(|(_, source)| source)
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Datasource, &Arc<dyn Source>)> {
        self.0.iter().map(|(known, source)| (*known, source))
    }

    /// The same for several threads, each with its share; fewer where there is not enough of one of them.
    pub(crate) fn share(&self, threads: usize) -> Vec<Self> {
        let most = self.0.iter().map(|(_, source)| source.share(threads).len());
        let threads = most.min().unwrap_or(threads);
        let mut shares = vec![Self(Vec::new()); threads];
        for (datasource, source) in &self.0 {
            for (share, source) in shares.iter_mut().zip(source.share(threads)) {
                share.0.push((*datasource, source));
            }
        }
        shares
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
