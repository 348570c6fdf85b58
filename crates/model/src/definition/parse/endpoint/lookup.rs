//! A route that looks rows up in Redis: under which keys, by which parameters.

use super::value;
use crate::definition::KeyPattern;
use crate::definition::endpoint::{Lookup, Param, ParamType};
use crate::definition::problem::{Path, Review, nearest, one_of};
use crate::definition::wire::endpoint::RouteForm;
use std::collections::BTreeSet;

pub(super) fn of_route(
    form: &RouteForm,
    params: &[Param],
    at: &Path,
    review: &mut Review<'_, '_>,
) -> Option<Lookup> {
    for (field, given) in [
        ("query", form.query.is_some()),
        ("table", form.table.is_some()),
        ("sort", !form.sort.is_empty()),
        ("export", form.export),
    ] {
        review.require(!given, &at.field(field), || {
            format!(
                "Redis looks rows up by their key and does nothing else: leave `{field}` out, and write under which key \
                 they are published, `key: \"quake:{{id}}\"`"
            )
        });
    }
    let at_key = at.field("key");
    let Some([text]) = form.key.as_ref().map(|key| key.0.as_slice()) else {
        review.problem(
            &at_key,
            "a lookup names the pattern of the keys as it is published: `key: \"quake:{id}\"`",
        );
        return None;
    };
    let key = review.accept(&at_key, KeyPattern::parse(text))?;
    check_params(&key, params, at, review);
    let columns = form.columns.clone().unwrap_or_default();
    let mut known = BTreeSet::new();
    for (index, name) in columns.iter().enumerate() {
        let at = at.field("columns").index(index);
        review.accept(&at, value::identifier(name));
        review.require(known.insert(name), &at, || {
            format!("`{name}` is there twice")
        });
    }
    for (index, name) in form.fields.iter().enumerate() {
        let is_there = columns.is_empty() || columns.contains(name);
        review.require(is_there, &at.field("fields").index(index), || {
            format!("the route answers with no column `{name}`")
        });
    }
    let taken = !form.fields.is_empty() && params.iter().any(|param| param.name == "fields");
    review.require(!taken, &at.field("fields"), || {
        "the route has a parameter `fields` of its own; give that another name".to_owned()
    });
    Some(Lookup { key, columns })
}

/// The parameters are the columns of the key, and can stand in one.
fn check_params(key: &KeyPattern, params: &[Param], at: &Path, review: &mut Review<'_, '_>) {
    let declared = || params.iter().map(|param| param.name.as_str());
    for name in key.columns() {
        let is_declared = declared().any(|known| known == name);
        review.require(is_declared, &at.field("key"), || match nearest(name, declared()) {
            Some(meant) => format!("the key names `{{{name}}}`, and the parameter is called `{meant}`: give both one name"),
            None => format!("the key names `{{{name}}}`; declare it under `params`"),
        });
    }
    let mut lists = 0;
    for (index, param) in params.iter().enumerate() {
        let at = at.field("params").index(index);
        let is_in_key = key.columns().any(|name| name == param.name);
        review.require(is_in_key, &at.field("name"), || {
            format!(
                "the key has no `{{{}}}`; its columns are {}",
                param.name,
                one_of(key.columns())
            )
        });
        review.require(param.kind != ParamType::Double, &at.field("type"), || {
            "a `double` is not written in one way only, so no key has one: write `decimal` or `int`".to_owned()
        });
        lists += usize::from(param.list);
        review.require(!param.list || lists == 1, &at.field("list"), || {
            "one part of a key is a list at most".to_owned()
        });
    }
}
