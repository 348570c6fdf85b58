//! A route's query: as it was written, or made of a table, its key and its columns.

use super::value;
use crate::definition::endpoint::Param;
use crate::definition::problem::{Path, Review, nearest, one_of};
use crate::query::Query;

/// The query, and the field that it comes from.
pub(super) fn of_route(
    query: Option<String>,
    table: Option<String>,
    key: Option<Vec<String>>,
    columns: Option<Vec<String>>,
    at: &Path,
    review: &mut Review<'_, '_>,
) -> Option<(String, &'static str)> {
    match (query, table) {
        (Some(query), None) => {
            for (name, given) in [("key", key.is_some()), ("columns", columns.is_some())] {
                review.require(!given, &at.field(name), || {
                    format!("`{name}` goes with `table`; a `query` says it itself")
                });
            }
            Some((query, "query"))
        }
        (None, Some(table)) => {
            let (key, columns) = (key.unwrap_or_default(), columns.unwrap_or_default());
            let sql = of_table(&table, &key, &columns, at, review)?;
            Some((sql, "table"))
        }
        (given, _) => {
            let message = if given.is_some() {
                "a route has a `query` or a `table`, not both"
            } else {
                "a route needs a `query`, or a `table` with `key` and `columns`"
            };
            review.problem(at, message);
            None
        }
    }
}

fn of_table(
    table: &str,
    key: &[String],
    columns: &[String],
    at: &Path,
    review: &mut Review<'_, '_>,
) -> Option<String> {
    let named = table.split_once('.').is_some_and(|(schema, name)| {
        [schema, name]
            .iter()
            .all(|part| value::identifier(part).is_ok())
    });
    review.require(named, &at.field("table"), || {
        "a table is named with its schema: `seismology.quakes`".to_owned()
    });
    let mut sound = named;
    for (field, names) in [("key", key), ("columns", columns)] {
        review.require(!names.is_empty(), &at.field(field), || {
            format!("with `table` goes `{field}`: at least one column")
        });
        sound &= !names.is_empty();
        for (index, name) in names.iter().enumerate() {
            let accepted = review.accept(&at.field(field).index(index), value::identifier(name));
            sound &= accepted.is_some();
        }
    }
    if !sound {
        return None;
    }
    let conditions: Vec<String> = key.iter().map(|name| format!("{name} = :{name}")).collect();
    Some(format!(
        "SELECT {} FROM {table} WHERE {}",
        columns.join(", "),
        conditions.join(" AND ")
    ))
}

pub(super) fn check(
    sql: &str,
    params: &[Param],
    at: &Path,
    route: &Path,
    review: &mut Review<'_, '_>,
) {
    let Some(query) = review.accept(at, Query::parse(sql).map_err(|error| error.to_string()))
    else {
        return;
    };
    let declared = || params.iter().map(|param| param.name.as_str());
    for name in query.parameters() {
        review.require(
            declared().any(|known| known == name),
            at,
            || match nearest(name, declared()) {
                Some(meant) => format!(
                    "the query names `:{name}`, which is no parameter; did you mean `:{meant}`?"
                ),
                None if params.is_empty() => {
                    format!("the query names `:{name}`; declare it under `params`")
                }
                None => format!(
                    "the query names `:{name}`; the parameters are {}",
                    one_of(declared())
                ),
            },
        );
    }
    for (index, param) in params.iter().enumerate() {
        review.require(
            query.parameters().contains(&param.name),
            &route.field("params").index(index).field("name"),
            || {
                format!(
                    "the query never names `:{}`; use it there, or leave the parameter out",
                    param.name
                )
            },
        );
    }
}

/// What a caller may choose: by which columns to sort, and which to get.
pub(super) fn check_choices(
    sql: &str,
    sort: &[String],
    fields: &[String],
    params: &[Param],
    at: &Path,
    review: &mut Review<'_, '_>,
) {
    let Ok(query) = Query::parse(sql) else { return };
    for (index, column) in sort.iter().enumerate() {
        let sorted = query.sorted_by(column, false).map(drop);
        review.accept(
            &at.field("sort").index(index),
            sorted.map_err(|error| error.to_string()),
        );
    }
    for (index, column) in fields.iter().enumerate() {
        let known = query
            .output_columns()
            .is_none_or(|known| known.contains(column));
        review.require(known, &at.field("fields").index(index), || {
            format!("the query answers with no column `{column}`")
        });
    }
    for (name, given) in [("sort", !sort.is_empty()), ("fields", !fields.is_empty())] {
        let taken = given && params.iter().any(|param| param.name == name);
        review.require(!taken, &at.field(name), || {
            format!("the route has a parameter `{name}` of its own; give that another name")
        });
    }
}
