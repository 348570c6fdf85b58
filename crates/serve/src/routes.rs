//! The routes, and which of them a path is.

use crate::dataset::Known;
use crate::definitions::FRESH;
use crate::sent;
use crate::source::Plan;
use crate::value::Bound;
use jiff::civil::Date;
use millrace_model::definition::Endpoint;
use millrace_model::definition::endpoint::{Lookup, Route};
use millrace_model::query::Query;
use sha2::{Digest as _, Sha256};
use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// What stood in a path's braces, by the names in them.
pub type InPath = Vec<(String, String)>;

/// A route that can be asked.
#[derive(Debug)]
pub struct Served {
    /// The endpoint that it belongs to.
    pub endpoint: String,
    /// The endpoint's description.
    pub description: String,
    /// The contract's version.
    pub version: Option<String>,
    /// From when on its consumers should look for another one.
    pub deprecated: Option<Date>,
    /// From when on it may no longer answer.
    pub sunset: Option<Date>,
    /// Its definition.
    pub route: Route,
    /// The query with `$1`, `$2`, …; empty where the route is a lookup.
    sql: String,
    /// The same in the orders that a caller may choose.
    sorted: BTreeMap<Sort, String>,
    /// The names of `$1`, `$2`, …, or of what stands in the key.
    pub bound: Vec<String>,
    /// The tables that its query reads, schema and name.
    pub relations: Vec<(String, String)>,
    /// Whether the same tables always give the same answer: nothing in the query asks for the time, or for chance.
    pub steady: bool,
    /// Whether it is what one of two sources answers of a route: then no two rows are equal in the order of its query, in
    /// which texts are in the order of their bytes.
    pub is_half: bool,
    /// What its tables hold now.
    pub dataset: Known,
    /// A digest of the definition.
    pub digest: [u8; 32],
    segments: Vec<Segment>,
    plans: Mutex<Plans>,
}

/// How a query is run, by its order, and since when that is known.
type Plans = BTreeMap<Option<Sort>, (Instant, Arc<dyn Plan>)>;

/// An order that a caller chose.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sort {
    /// The column of the answer.
    pub column: String,
    /// Whether the greatest comes first.
    pub descending: bool,
}

/// What a route asks its source.
struct Read {
    sql: String,
    sorted: BTreeMap<Sort, String>,
    bound: Vec<String>,
    relations: Vec<(String, String)>,
    steady: bool,
}

impl Read {
    fn lookup(lookup: &Lookup) -> Self {
        Self {
            sql: String::new(),
            sorted: BTreeMap::new(),
            bound: lookup.key.columns().map(str::to_owned).collect(),
            relations: Vec::new(),
            steady: true,
        }
    }

    fn query(route: &Route) -> Result<Self, String> {
        let query = Query::parse(&route.query).map_err(|error| error.to_string())?;
        let bound = query.parameters().to_vec();
        if let Some(name) = bound
            .iter()
            .find(|name| route.params.iter().all(|param| param.name != **name))
        {
            return Err(format!("the query names `:{name}`, which is no parameter"));
        }
        let mut sorted = BTreeMap::new();
        for column in &route.sort {
            for descending in [false, true] {
                let query = query.sorted_by(column, descending);
                let sort = Sort {
                    column: column.clone(),
                    descending,
                };
                let sql = query.map_err(|error| error.to_string())?.sql().to_owned();
                sorted.insert(sort, sql);
            }
        }
        Ok(Self {
            sql: query.sql().to_owned(),
            sorted,
            bound,
            relations: query.relations().to_vec(),
            steady: query.is_steady(),
        })
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    Literal(String),
    Param(String),
}

impl Served {
    /// A route of an endpoint, once its query is one that can be asked.
    pub fn new(endpoint: &Endpoint, route: Route) -> Result<Self, String> {
        let segments = route
            .path
            .split('/')
            .skip(1)
            .map(|segment| {
                match segment
                    .strip_prefix('{')
                    .and_then(|rest| rest.strip_suffix('}'))
                {
                    Some(name) => Segment::Param(name.to_owned()),
                    None => Segment::Literal(segment.to_owned()),
                }
            })
            .collect();
        let read = match &route.lookup {
            Some(lookup) => Read::lookup(lookup),
            None => Read::query(&route)?,
        };
        Ok(Self {
            endpoint: endpoint.name.clone(),
            description: endpoint.description.clone(),
            version: endpoint.version.clone(),
            deprecated: endpoint.deprecated,
            sunset: endpoint.sunset,
            sql: read.sql,
            sorted: read.sorted,
            bound: read.bound,
            relations: read.relations,
            steady: read.steady,
            is_half: false,
            dataset: Known::default(),
            digest: Sha256::digest(serde_json::to_vec(&route).unwrap_or_default()).into(),
            route,
            segments,
            plans: Mutex::default(),
        })
    }

    /// One of the halves by which it is answered, with the query in its own order and in those that a caller may choose.
    pub(crate) fn half(&self, sql: String, sorted: BTreeMap<Sort, String>) -> Self {
        Self {
            endpoint: self.endpoint.clone(),
            description: String::new(),
            version: None,
            deprecated: None,
            sunset: None,
            route: self.route.clone(),
            sql,
            sorted,
            bound: self.bound.clone(),
            relations: self.relations.clone(),
            steady: self.steady,
            is_half: true,
            dataset: Known::default(),
            digest: self.digest,
            segments: Vec::new(),
            plans: Mutex::default(),
        }
    }

    /// The types of `$1`, `$2`, … as the definition has them.
    pub fn kinds(&self) -> Vec<Bound> {
        let kind = |name: &String| {
            self.route
                .params
                .iter()
                .find(|param| param.name == *name)
                .map(|param| Bound {
                    kind: param.kind,
                    list: param.list,
                })
        };
        self.bound.iter().filter_map(kind).collect()
    }

    /// The query in an order that a caller chose, or in its own.
    pub fn sql(&self, sort: Option<&Sort>) -> &str {
        sort.and_then(|sort| self.sorted.get(sort))
            .unwrap_or(&self.sql)
    }

    /// The orders that a caller may choose, behind the query's own.
    pub fn sorts(&self) -> impl Iterator<Item = Option<&Sort>> {
        std::iter::once(None).chain(self.sorted.keys().map(Some))
    }

    /// How its query is run in that order, where that is known already. It is learnt again like the definitions: a table
    /// that was published with another column has it in `SELECT *`.
    pub fn plan(&self, sort: Option<&Sort>) -> Option<Arc<dyn Plan>> {
        let plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        let plan = plans.get(&sort.cloned());
        let fresh = plan.filter(|(made, _)| made.elapsed() < FRESH);
        fresh.map(|(_, plan)| plan.clone())
    }

    /// The same, as the route's source made it.
    pub fn plan_of<P: Plan>(&self, sort: Option<&Sort>) -> Option<Arc<P>> {
        let plan: Arc<dyn Any + Send + Sync> = self.plan(sort)?;
        plan.downcast().ok()
    }

    /// Remembers how its query is run in that order.
    pub fn set_plan(&self, sort: Option<&Sort>, plan: Arc<dyn Plan>) {
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        plans.insert(sort.cloned(), (Instant::now(), plan));
    }

    /// Forgets how its query is run.
    pub fn forget_plans(&self) {
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        plans.clear();
    }

    /// What stands in the path's braces; none where the path is another one.
    fn matches(&self, path: &[String]) -> Option<InPath> {
        if path.len() != self.segments.len() {
            return None;
        }
        let mut params = Vec::new();
        for (segment, text) in self.segments.iter().zip(path) {
            match segment {
                Segment::Literal(literal) if literal == text => {}
                Segment::Param(name) if !text.is_empty() => {
                    params.push((name.clone(), text.clone()));
                }
                _ => return None,
            }
        }
        Some(params)
    }
}

/// All routes; one that names more of a path goes before one that leaves more to parameters.
#[derive(Debug, Default)]
pub struct Table {
    /// The routes.
    pub routes: Vec<Arc<Served>>,
}

impl Table {
    /// The table of these routes.
    pub fn of(routes: impl IntoIterator<Item = Arc<Served>>) -> Self {
        let mut routes: Vec<Arc<Served>> = routes.into_iter().collect();
        // A stable sort, and literals before parameters segment by segment.
        routes.sort_by(|left, right| left.segments.cmp(&right.segments));
        routes.dedup_by(|later, earlier| {
            let same = later.segments == earlier.segments;
            if same {
                tracing::error!(
                    path = later.route.path,
                    endpoints = ?[&earlier.endpoint, &later.endpoint],
                    "two endpoints have the same path; the first one answers"
                );
            }
            same
        });
        Self { routes }
    }

    /// The routes of endpoints that are not where they are served from.
    pub fn of_endpoints(endpoints: &[&Endpoint]) -> Self {
        let routes = endpoints.iter().flat_map(|endpoint| {
            let routes = endpoint.routes.iter().cloned();
            routes.filter_map(|route| Served::new(endpoint, route).ok().map(Arc::new))
        });
        Self {
            routes: routes.collect(),
        }
    }

    /// The route of a path, and what stands in its braces.
    pub fn find(&self, path: &str) -> Option<(Arc<Served>, InPath)> {
        let path = path.strip_prefix('/')?;
        let path: Vec<String> = path.split('/').map(sent::decode).collect::<Option<_>>()?;
        self.routes
            .iter()
            .find_map(|route| route.matches(&path).map(|params| (route.clone(), params)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_model::definition::parse;

    fn table(paths: &[&str]) -> Table {
        let routes = paths.iter().enumerate().map(|(at, path)| {
            let segments = path.matches('{').count();
            let params = if segments == 0 { "" } else { "\n    params: [{ name: id, type: string }]" };
            let condition = if segments == 0 { "" } else { " WHERE id = :id" };
            let name = format!("e{at}");
            let text = format!(
                "metadata: {{ name: {name}, description: d }}\nroutes:\n  {path}:\n    datasource: operational_store\n    \
                 query: SELECT id FROM s.t{condition}{params}\n"
            );
            let mut endpoint = parse::endpoint(&format!("definitions/endpoints/{name}.yaml"), &text).unwrap();
            let route = endpoint.routes.remove(0);
            Arc::new(Served::new(&endpoint, route).unwrap())
        });
        Table::of(routes)
    }

    #[test]
    fn names_go_before_parameters() {
        let table = table(&["/q/{id}", "/q/latest", "/q", "/q/{id}/x"]);
        let found = |path: &str| {
            table
                .find(path)
                .map(|(route, params)| (route.route.path.clone(), params))
        };
        assert_eq!(found("/q/latest").unwrap().0, "/q/latest");
        assert_eq!(
            found("/q/us%2F7").unwrap(),
            (
                "/q/{id}".to_owned(),
                vec![("id".to_owned(), "us/7".to_owned())]
            )
        );
        assert_eq!(found("/q").unwrap().0, "/q");
        assert_eq!(found("/q/a/x").unwrap().0, "/q/{id}/x");
        for path in ["/", "", "/q/", "/q/a/b", "/Q", "/q/%ff"] {
            assert!(found(path).is_none(), "{path}");
        }
    }

    #[test]
    fn of_one_path_twice_the_first_answers() {
        let table = table(&["/q", "/q"]);
        assert_eq!(table.routes.len(), 1);
        assert_eq!(table.routes[0].endpoint, "e0");
    }
}
