//! Where tables go: wire form → `Publish`.

use super::pipeline::known;
use super::value;
use crate::definition::pipeline::{Documents, Publish, Recent};
use crate::definition::problem::{Path, Review, one_of};
use crate::definition::rows::Rows;
use crate::definition::wire::pipeline::{PublishForm, RecentForm};
use crate::definition::{Datasource, KeyPattern};
use std::collections::BTreeSet;
use std::time::Duration;

/// How long a row may stay in Redis: a time to live of less would be over before the row is read.
const TTL: (Duration, Duration) = (Duration::from_mins(1), Duration::from_hours(24 * 3650));

/// For how long a store keeps the rows of which it keeps the recent ones alone.
const LEAST_KEPT: Duration = Duration::from_hours(1);
const MOST_KEPT: Duration = Duration::from_hours(24 * 36_500);

pub(super) fn validate(
    form: PublishForm,
    tables: &[String],
    rows: impl Fn(&str) -> Option<Rows>,
    at: &Path,
    review: &mut Review<'_, '_>,
) -> Option<Publish> {
    // A child table's name begins with its parent's and two underscores; which children there are, the data decides.
    let parent = form.table.split("__").next().unwrap_or(&form.table);
    known(parent, tables, "table", &at.field("table"), review);
    review.accept(&at.field("table"), value::identifier(&form.table));
    let to = review.accept(&at.field("to"), Datasource::parse(&form.to));
    let (schema, relation) = review.accept(&at.field("as"), target(&form.target))?;
    let recent = match &form.recent {
        None => None,
        Some(form) => Some(recent(form, to, &at.field("recent"), review)?),
    };
    let to = to?;
    let documents = match to {
        Datasource::Redis => {
            let rows = rows(&form.table)?;
            Some(documents(&form, &rows.key, at, review)?)
        }
        Datasource::OperationalStore | Datasource::Lake => {
            let given = [
                ("key", form.key.is_some()),
                ("form", form.form.is_some()),
                ("ttl", form.ttl.is_some()),
            ];
            for (field, is_given) in given {
                review.require(!is_given, &at.field(field), || {
                    format!("`{field}` goes with `to: redis`; leave it out here")
                });
            }
            None
        }
    };
    Some(Publish {
        table: form.table,
        to,
        schema,
        relation,
        recent,
        documents,
    })
}

/// Which rows a store keeps; only one to which rows are copied can keep some of them.
fn recent(
    form: &RecentForm,
    to: Option<Datasource>,
    at: &Path,
    review: &mut Review<'_, '_>,
) -> Option<Recent> {
    review.require(to.is_none_or(|to| to == Datasource::OperationalStore), at, || {
        "`recent` goes with `operational_store`: the lake has all rows, and Redis keeps them for their `ttl`; leave it out"
            .to_owned()
    });
    review.accept(&at.field("by"), value::identifier(&form.by))?;
    let keep = value::duration(&form.keep.0, LEAST_KEPT, MOST_KEPT);
    Some(Recent {
        by: form.by.clone(),
        keep: review.accept(&at.field("keep"), keep)?,
    })
}

/// How a table of that key lies in Redis.
fn documents(
    form: &PublishForm,
    key: &[String],
    at: &Path,
    review: &mut Review<'_, '_>,
) -> Option<Documents> {
    if key.is_empty() {
        let message = format!(
            "nothing names a row of `{}`, and in Redis each has a key: give the table a `key`, with `upsert`, `replace` or \
             `history`, or publish it to another store",
            form.table
        );
        review.problem(&at.field("table"), message);
        return None;
    }
    let pattern = match &form.key {
        None => KeyPattern::of_table(&form.target, key),
        Some(text) => review.accept(&at.field("key"), KeyPattern::parse(text))?,
    };
    let columns: BTreeSet<&str> = pattern.columns().collect();
    let names_a_row = columns == key.iter().map(String::as_str).collect();
    review.require(names_a_row, &at.field("key"), || {
        format!(
            "a key has exactly the columns that name a row of `{}`, {}: `{}`",
            form.table,
            one_of(key.iter().map(String::as_str)).replace(" or ", " and "),
            KeyPattern::of_table(&form.target, key)
        )
    });
    let ttl = form.ttl.as_ref();
    let ttl = ttl.map(|text| value::duration(&text.0, TTL.0, TTL.1));
    let ttl = review.accept(&at.field("ttl"), ttl.transpose())?;
    Some(Documents {
        key: pattern,
        form: form.form.unwrap_or_default(),
        ttl,
    })
}

pub(super) fn target(text: &str) -> Result<(String, String), String> {
    let malformed =
        || "a target is `schema.table`, each of `a-z`, `0-9` and `_`, a letter first".to_owned();
    let (schema, relation) = text.split_once('.').ok_or_else(malformed)?;
    value::identifier(schema).map_err(|_| malformed())?;
    value::identifier(relation).map_err(|_| malformed())?;
    if schema.starts_with("pg_") || matches!(schema, "information_schema" | "millrace") {
        return Err(format!(
            "the schema `{schema}` is PostgreSQL's or Millrace's own; take another name"
        ));
    }
    Ok((schema.to_owned(), relation.to_owned()))
}
