//! Routes that two stores answer together read what is published to both.

use super::Parsed;
use crate::definition::Datasource;
use crate::definition::endpoint::Route;
use crate::definition::pipeline::{Pipeline, Publish};
use crate::definition::problem::{Path, Problem};
use crate::query::Query;

/// What is wrong with a route, and at which of its fields.
type Wrong = (&'static str, String);

impl Parsed {
    /// What a route with `older` reads is there in both stores, and can be told apart and put in order alike by both.
    pub(super) fn check_older(&self, problems: &mut Vec<Problem>) {
        let pipelines: Vec<&Pipeline> = self
            .pipelines
            .values()
            .map(|(_, located)| &located.definition)
            .collect();
        for (file, located) in self.endpoints.values() {
            let routes = located.definition.routes.iter();
            for route in routes.filter(|route| route.older.is_some()) {
                if let Err((field, message)) = check(route, &pipelines) {
                    let path = Path::default()
                        .field("routes")
                        .field(&route.path)
                        .field(field);
                    problems.push(located.problem(file, &path, message));
                }
            }
        }
    }
}

fn check(route: &Route, pipelines: &[&Pipeline]) -> Result<(), Wrong> {
    // A query that is none is told elsewhere, and so is one that reads what nobody publishes.
    let Ok(query) = Query::parse(&route.query) else {
        return Ok(());
    };
    let [relation] = query.relations() else {
        return Err((
            "query",
            "a route with `older` reads one table, of which the store has the recent rows"
                .to_owned(),
        ));
    };
    let target = format!("{}.{}", relation.0, relation.1);
    let Some((pipeline, publish)) = published(pipelines, Datasource::OperationalStore, &target)
    else {
        return Ok(());
    };
    let recent = publish.recent.as_ref().ok_or_else(|| {
        let message = format!(
            "the store has all rows of `{target}`: leave `older` out, or let the pipeline keep the recent ones there, \
             `recent: {{ by: <column>, keep: 90d }}`"
        );
        ("older", message)
    })?;
    let (_, in_lake) = published(pipelines, Datasource::Lake, &target).ok_or_else(|| {
        let message = format!(
            "`{target}` is not published to the lake; add `{{ table: {}, to: lake, as: {target} }}` to the pipeline's \
             `publish`",
            publish.table
        );
        ("older", message)
    })?;
    let rows = pipeline.rows(&publish.table);
    let key = rows.map(|rows| rows.key).unwrap_or_default();
    if in_lake.table != publish.table || key.is_empty() {
        let message = format!(
            "both halves of `{target}` are of one table whose rows a key names: publish the same table to both, with \
             `write: upsert` or `history`, or `replace` and a `key`"
        );
        return Err(("older", message));
    }
    for (field, query) in orders(route, &query) {
        let wrong = |error: crate::query::QueryError| (field, error.to_string());
        let united = query.united(&recent.by, &key).map_err(wrong)?;
        let ordered = query.outputs_of(&united.order);
        if let Some(hidden) = route.mask.keys().find(|masked| ordered.contains(masked)) {
            let message = format!(
                "`{hidden}` is what the answer is ordered by, or a part of the key: the next page's cursor holds it, and a \
                 caller who does not see it could read it there"
            );
            return Err(("mask", message));
        }
    }
    Ok(())
}

fn published<'p>(
    pipelines: &[&'p Pipeline],
    to: Datasource,
    target: &str,
) -> Option<(&'p Pipeline, &'p Publish)> {
    pipelines
        .iter()
        .find_map(|pipeline| Some((*pipeline, pipeline.published(to, target)?)))
}

/// The query in its own order and in those that a caller may choose, each with the field that says so.
fn orders(route: &Route, query: &Query) -> Vec<(&'static str, Query)> {
    let sorted = route.sort.iter().filter_map(|column| {
        let query = query.sorted_by(column, false).ok()?;
        Some(("sort", query))
    });
    std::iter::once(("query", query.clone()))
        .chain(sorted)
        .collect()
}
