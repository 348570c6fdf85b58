//! Tests of an endpoint, beside the definitions of what they test.

use super::DefinitionSet;
use crate::definition::endpoint_tests::{ColumnKind, EndpointTests, TableRows};
use crate::definition::parse;
use crate::definition::pipeline::Recent;
use crate::definition::problem::{Path, Problem};
use crate::definition::{Datasource, endpoint::Route};
use crate::query::Query;

impl DefinitionSet {
    /// The tests that the text of `file` has of the endpoint of the file's name, or all that is wrong with them.
    pub fn endpoint_tests(&self, file: &str, text: &str) -> Result<EndpointTests, Vec<Problem>> {
        let located = parse::located_endpoint_tests(file, text)?;
        let tests = &located.definition;
        if !self.endpoints.contains_key(&tests.endpoint) {
            return Err(vec![Problem {
                file: file.to_owned(),
                line: None,
                field: String::new(),
                message: format!(
                    "there is no endpoint `{}`: the file has the name of the one that it tests",
                    tests.endpoint
                ),
            }]);
        }
        let wrong = tests.tables.iter().filter_map(|table| {
            let (field, message) = self.check_rows(table).err()?;
            let at = Path::default().field("tables").field(&table.target());
            Some(located.problem(file, &at.field(field), message))
        });
        let problems: Vec<Problem> = wrong.collect();
        if problems.is_empty() {
            Ok(located.definition)
        } else {
            Err(problems)
        }
    }

    /// Which rows of a table the store keeps, where it keeps the recent ones alone.
    pub fn recent(&self, target: &str) -> Option<&Recent> {
        let mut pipelines = self.pipelines.values();
        pipelines.find_map(|pipeline| {
            let published = pipeline.published(Datasource::OperationalStore, target)?;
            published.recent.as_ref()
        })
    }

    /// Whether a table's rows can be laid as publish would have laid them; else what is wrong, and at which field.
    fn check_rows(&self, table: &TableRows) -> Result<(), (&'static str, String)> {
        let target = table.target();
        let Some(recent) = self.recent(&target) else {
            return match table.recent_from {
                None => Ok(()),
                Some(_) => Err((
                    "recent_from",
                    format!(
                        "no pipeline keeps the recent rows of `{target}` alone in the store, `recent: {{ by: <column>, \
                         keep: 90d }}`; leave it out"
                    ),
                )),
            };
        };
        let by = &recent.by;
        let mut columns = table.columns.iter();
        let column = columns.find(|(name, _)| name == by);
        if !column.is_some_and(|(_, kind)| matches!(kind, ColumnKind::Timestamp | ColumnKind::Date))
        {
            let message = format!(
                "`{by}` says which rows of `{target}` are recent: it is one of the columns, a `timestamp` or a `date`"
            );
            return Err(("columns", message));
        }
        let mut routes = self
            .endpoints
            .values()
            .flat_map(|endpoint| &endpoint.routes);
        if table.key.is_empty() && routes.any(|route| unites(route, table)) {
            let message = format!(
                "a route with `older` reads `{target}`, and tells its rows apart by their key: write the columns that name \
                 a row"
            );
            return Err(("key", message));
        }
        Ok(())
    }
}

fn unites(route: &Route, table: &TableRows) -> bool {
    let reads = |query: Query| {
        let mut relations = query.relations().iter();
        relations.any(|(schema, relation)| (schema, relation) == (&table.schema, &table.relation))
    };
    route.older.is_some() && Query::parse(&route.query).is_ok_and(reads)
}
