//! Wire endpoint → endpoint.

mod access;
mod lookup;
mod query;

use super::{param, value};
use crate::definition::Datasource;
use crate::definition::endpoint::{Caching, Endpoint, Param, Route};
use crate::definition::problem::{Path, Review};
use crate::definition::wire::endpoint::{CachingForm, EndpointFile, RouteForm};
use std::collections::BTreeSet;
use std::time::Duration;

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// API Gateway gives an answer up behind 29 seconds.
const MAX_TIMEOUT: Duration = Duration::from_secs(29);
/// What API Gateway's cache keeps an answer for at most.
const MAX_TTL: Duration = Duration::from_hours(1);
/// First segments of paths that the control API, the documentation and the server itself have.
const RESERVED: [&str; 8] = [
    "pipelines",
    "runs",
    "connections",
    "openapi.json",
    "docs",
    "exports",
    "healthz",
    "readyz",
];

pub(super) fn validate(
    wire: EndpointFile,
    stem: &str,
    review: &mut Review<'_, '_>,
) -> Option<Endpoint> {
    let root = Path::default();
    let at = root.field("metadata");
    review.accept(
        &at.field("name"),
        value::definition_name(&wire.metadata.name, stem),
    );
    let mut day = |name: &str, text: Option<String>| {
        let parsed = text.as_deref().map(value::day).transpose();
        review.accept(&at.field(name), parsed).flatten()
    };
    let deprecated = day("deprecated", wire.metadata.deprecated);
    let sunset = day("sunset", wire.metadata.sunset);
    if let Some(version) = &wire.metadata.version {
        review.accept(&at.field("version"), contract_version(version));
    }

    let at = root.field("routes");
    review.require(!wire.routes.is_empty(), &at, || {
        "an endpoint has at least one route".to_owned()
    });
    let expected = wire.routes.len();
    let routes: Vec<Route> = wire
        .routes
        .into_iter()
        .filter_map(|(path, form)| {
            let at = at.field(&path);
            route(path, form, &at, review)
        })
        .collect();
    (routes.len() == expected).then_some(Endpoint {
        name: wire.metadata.name,
        description: wire.metadata.description,
        version: wire.metadata.version,
        deprecated,
        sunset,
        routes,
    })
}

fn route(
    path: String,
    mut form: RouteForm,
    at: &Path,
    review: &mut Review<'_, '_>,
) -> Option<Route> {
    let in_path = review.accept(at, path_params(&path));
    let at_datasource = at.field("datasource");
    let datasource = review.accept(&at_datasource, Datasource::parse(&form.datasource));
    let older = match &form.older {
        None => Some(None),
        Some(text) => review
            .accept(&at.field("older"), older(text, datasource))
            .map(Some),
    };
    let methods = form
        .methods
        .take()
        .unwrap_or_else(|| vec!["GET".to_owned()]);
    let mut known = BTreeSet::new();
    let sound = methods
        .iter()
        .all(|method| matches!(method.as_str(), "GET" | "POST") && known.insert(method));
    review.require(sound && !methods.is_empty(), &at.field("methods"), || {
        "an endpoint answers `GET`, `POST` or both: write `methods: [GET]`".to_owned()
    });
    let params = params(
        std::mem::take(&mut form.params),
        in_path.as_deref().unwrap_or_default(),
        &at.field("params"),
        review,
    );
    let (query, lookup) = if datasource == Some(Datasource::Redis) {
        (
            Some(String::new()),
            lookup::of_route(&form, &params, at, review),
        )
    } else {
        let key = form.key.map(|key| key.0);
        let sql = query::of_route(form.query, form.table, key, form.columns, at, review);
        if let Some((sql, at_field)) = &sql {
            query::check(sql, &params, &at.field(at_field), at, review);
            query::check_choices(sql, &form.sort, &form.fields, &params, at, review);
        }
        (sql.map(|(sql, _)| sql), None)
    };
    let auth = access::auth(form.auth, &at.field("auth"), review);
    access::check_names(&form.scopes, &form.mask, at, review);
    let identified = !matches!(auth, Some(None));
    let needs_caller = params.iter().any(|param| param.claim.is_some())
        || !form.scopes.is_empty()
        || !form.mask.is_empty();
    review.require(identified || !needs_caller, &at.field("auth"), || {
        "scopes, masks and claims need a caller who says who it is: write `auth`".to_owned()
    });
    let rate_limit = access::rate(form.rate_limit, &at.field("rate_limit"), review);
    let quota = access::rate(form.quota, &at.field("quota"), review);
    let caching = match form.caching {
        None => Some(None),
        Some(form) => caching(&form, &at.field("caching"), review),
    };
    let timeout = match form.timeout {
        None => Some(DEFAULT_TIMEOUT),
        Some(text) => {
            let least = Duration::from_millis(100);
            review.accept(
                &at.field("timeout"),
                value::duration(&text.0, least, MAX_TIMEOUT),
            )
        }
    };
    let datasource = datasource?;
    if datasource == Datasource::Redis {
        lookup.as_ref()?;
    }
    Some(Route {
        path,
        datasource,
        older: older?,
        query: query?,
        lookup,
        methods,
        params,
        sort: form.sort,
        fields: form.fields,
        auth: auth?,
        scopes: form.scopes,
        mask: form.mask,
        rate_limit: rate_limit?,
        quota: quota?,
        export: form.export,
        caching: caching?,
        timeout: timeout?,
    })
}

/// The store that has the older rows: the lake, which has them all, beside one that keeps the recent ones.
fn older(text: &str, datasource: Option<Datasource>) -> Result<Datasource, String> {
    let store = Datasource::parse(text)?;
    match (datasource, store) {
        (Some(Datasource::OperationalStore) | None, Datasource::Lake) => Ok(store),
        _ => Err(
            "recent rows come from `datasource: operational_store`, and older ones from `older: lake`"
                .to_owned(),
        ),
    }
}

/// `1`, `1.2` or `1.2.0`.
fn contract_version(text: &str) -> Result<(), String> {
    let parts: Vec<&str> = text.split('.').collect();
    let sound = parts.len() <= 3 && parts.iter().all(|part| part.parse::<u32>().is_ok());
    if sound {
        Ok(())
    } else {
        Err("a version is up to three numbers with dots between: `1.2.0`".to_owned())
    }
}

/// The names in braces of a route's path.
fn path_params(path: &str) -> Result<Vec<String>, String> {
    let Some(segments) = path.strip_prefix('/').filter(|rest| !rest.is_empty()) else {
        return Err("a route begins with a slash and a name: `/quakes`".to_owned());
    };
    let mut names: Vec<String> = Vec::new();
    for (index, segment) in segments.split('/').enumerate() {
        if index == 0 && RESERVED.contains(&segment) {
            return Err(format!("`/{segment}` is Millrace's own; take another path"));
        }
        if let Some(name) = segment
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'))
        {
            if index == 0 {
                return Err(
                    "the first part of a route is a name, not a parameter: `/quakes/{id}`"
                        .to_owned(),
                );
            }
            value::identifier(name).map_err(|_| {
                "a parameter in a path is `{name}`, of `a-z`, `0-9` and `_`".to_owned()
            })?;
            if names.iter().any(|known| known == name) {
                return Err(format!("the parameter `{{{name}}}` is there twice"));
            }
            names.push(name.to_owned());
        } else if segment.is_empty()
            || segment.starts_with('.')
            || !segment
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
        {
            return Err(
                "a route is names of letters, digits and `-._~`, or `{parameter}`, with one slash before each".to_owned(),
            );
        }
    }
    Ok(names)
}

fn params(
    forms: Vec<crate::definition::wire::endpoint::ParamForm>,
    in_path: &[String],
    at: &Path,
    review: &mut Review<'_, '_>,
) -> Vec<Param> {
    let mut seen = BTreeSet::new();
    let mut params = Vec::new();
    for (index, form) in forms.into_iter().enumerate() {
        let at = at.index(index);
        review.require(seen.insert(form.name.clone()), &at.field("name"), || {
            format!("`{}` is there twice", form.name)
        });
        let is_in_path = in_path.contains(&form.name);
        params.push(param::validate(form, is_in_path, &at, review));
    }
    for name in in_path.iter().filter(|name| !seen.contains(*name)) {
        review.problem(at, format!("the path's `{{{name}}}` is no parameter yet: add `- {{ name: {name}, type: string }}`"));
    }
    params
}

#[allow(clippy::option_option)] // Outside: whether the form is sound; inside: whether answers are kept.
fn caching(form: &CachingForm, at: &Path, review: &mut Review<'_, '_>) -> Option<Option<Caching>> {
    let ttl = match &form.ttl {
        None => None,
        Some(text) => {
            let least = Duration::from_millis(1);
            Some(review.accept(&at.field("ttl"), value::duration(&text.0, least, MAX_TTL))?)
        }
    };
    let stale = match &form.stale {
        None => Duration::ZERO,
        Some(text) => review.accept(
            &at.field("stale"),
            value::duration(&text.0, Duration::from_secs(1), MAX_TTL),
        )?,
    };
    if !form.enabled {
        return Some(None);
    }
    review.require(ttl.is_some(), at, || {
        "caching needs to know for how long: `ttl: 30s`".to_owned()
    });
    Some(ttl.map(|ttl| Caching { ttl, stale }))
}
