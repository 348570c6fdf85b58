//! A route as each of its two sources is asked: its query in an order in which no two rows are equal.

use crate::asked::Asked;
use crate::column::Column;
use crate::pages::{Pages, Stretch};
use crate::problem::Problem;
use crate::routes::{Served, Sort};
use crate::source::Plan;
use crate::united::place::{Part, Place};
use crate::united::{Recent, Refusal, Snapshot};
use crate::value::Value;
use millrace_model::query::{Query, QueryError, United};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A part of an answer, as one of two sources is asked for it.
#[derive(Debug)]
pub struct Half<'a> {
    /// What is asked, of that source's half of the route.
    pub asked: Asked<'a>,
    /// Which rows.
    pub part: Part,
    /// The values of the row behind which they lie, in the query's order; none where all are meant.
    behind: Option<&'a Place>,
}

impl Half<'_> {
    /// The rows, of a source whose pages are these. None where they have no order.
    pub fn stretch(&self, pages: &Pages) -> Option<Stretch> {
        let is_null = |value: &Value| *value == Value::Null;
        let null: Option<Vec<bool>> = self
            .behind()
            .map(|values| values.iter().map(is_null).collect());
        pages.part(self.part, null.as_deref())
    }

    /// The values of the row behind which the part begins.
    pub fn behind(&self) -> Option<&[Value]> {
        self.behind.map(|place| place.0.as_slice())
    }
}

/// How a route is answered by two sources, while the note of its table says the same.
#[derive(Debug)]
pub struct Halves {
    /// By which column rows are older, and which columns name one.
    split: (String, Vec<String>),
    queries: BTreeMap<Option<Sort>, United>,
    recent: Served,
    older: Served,
    /// The columns of the answer.
    pub columns: Vec<Column>,
}

impl Plan for Halves {
    fn columns(&self) -> &[Column] {
        &self.columns
    }
}

impl Halves {
    /// Those of a route, which remembers them.
    pub async fn of(
        route: &Served,
        snapshot: &Snapshot,
        recent: &dyn Recent,
    ) -> Result<Arc<Self>, Refusal> {
        let split = (snapshot.rows.by.clone(), snapshot.rows.key.clone());
        let known = route.plan_of::<Self>(None);
        if let Some(known) = known.filter(|known| known.split == split) {
            return Ok(known);
        }
        let queries = queries(route, &split.0, &split.1).map_err(|error| {
            tracing::error!(path = route.route.path, %error, "the route has no halves");
            Problem::internal()
        })?;
        let (newer, older) = (half(route, &queries), half(route, &queries));
        recent.learn_half(&newer).await?;
        let plan = newer.plan(None).ok_or_else(Problem::unavailable)?;
        let halves = Arc::new(Self {
            columns: plan.columns().to_vec(),
            recent: newer,
            older,
            queries,
            split,
        });
        route.set_plan(None, halves.clone());
        Ok(halves)
    }

    /// The half of a route that the source of recent rows answers, of which nothing is learnt yet.
    pub fn recent(route: &Served, snapshot: &Snapshot) -> Result<Served, QueryError> {
        let queries = queries(route, &snapshot.rows.by, &snapshot.rows.key)?;
        Ok(half(route, &queries))
    }

    /// The query in an order that a caller chose, or in its own.
    pub fn query(&self, sort: Option<&Sort>) -> Option<&United> {
        self.queries.get(&sort.cloned())
    }

    /// What is asked of the source that has a part.
    pub fn half<'a>(
        &'a self,
        asked: &Asked<'a>,
        part: Part,
        behind: Option<&'a Place>,
    ) -> Half<'a> {
        let route = match part {
            Part::Recent => &self.recent,
            Part::Older | Part::Undated => &self.older,
        };
        Half {
            asked: asked.of(route),
            part,
            behind,
        }
    }
}

fn half(route: &Served, queries: &BTreeMap<Option<Sort>, United>) -> Served {
    let sql = |sort: Option<Sort>| Some(queries.get(&sort)?.query.sql().to_owned());
    let sorted = queries.keys().flatten();
    let sorted = sorted.filter_map(|sort| Some((sort.clone(), sql(Some(sort.clone()))?)));
    route.half(sql(None).unwrap_or_default(), sorted.collect())
}

fn queries(
    route: &Served,
    by: &str,
    key: &[String],
) -> Result<BTreeMap<Option<Sort>, United>, QueryError> {
    let query = Query::parse(&route.route.query)?;
    let united = |sort: Option<&Sort>| {
        let sorted = match sort {
            None => query.clone(),
            Some(sort) => query.sorted_by(&sort.column, sort.descending)?,
        };
        Ok((sort.cloned(), sorted.united(by, key)?))
    };
    route.sorts().map(united).collect()
}
