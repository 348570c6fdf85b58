//! Wire endpoint → endpoint.

use super::pipeline::STORE;
use super::{param, value};
use crate::definition::endpoint::{CacheTtl, Endpoint, Param, Route};
use crate::definition::problem::{Path, Review, nearest, one_of};
use crate::definition::wire::endpoint::{CachingForm, ConsumersForm, EndpointFile, RouteForm};
use crate::query::Query;
use std::collections::BTreeSet;
use std::time::Duration;

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// API Gateway gives an answer up behind 29 seconds.
const MAX_TIMEOUT: Duration = Duration::from_secs(29);
/// What API Gateway's cache keeps an answer for at most.
const MAX_TTL: Duration = Duration::from_hours(1);
/// First segments of paths that the control API and the documentation have.
const RESERVED: [&str; 5] = ["pipelines", "runs", "connections", "openapi.json", "docs"];

pub(super) fn validate(
    wire: EndpointFile,
    stem: &str,
    review: &mut Review<'_, '_>,
) -> Option<Endpoint> {
    let root = Path::default();
    let at = root.field("metadata").field("name");
    review.accept(&at, value::definition_name(&wire.metadata.name, stem));

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
        routes,
    })
}

fn route(path: String, form: RouteForm, at: &Path, review: &mut Review<'_, '_>) -> Option<Route> {
    let in_path = review.accept(at, path_params(&path));
    review.require(form.datasource == STORE, &at.field("datasource"), || {
        format!("the only store that answers is `{STORE}`")
    });
    let methods = form.methods.unwrap_or_else(|| vec!["GET".to_owned()]);
    review.require(methods == ["GET"], &at.field("methods"), || {
        "an endpoint answers `GET`: write `methods: [GET]`".to_owned()
    });
    let params = params(
        form.params,
        in_path.as_deref().unwrap_or_default(),
        &at.field("params"),
        review,
    );
    check_query(&form.query, &params, &at.field("query"), at, review);
    let auth = match form.auth {
        None | Some(ConsumersForm::None) => Some(None),
        Some(ConsumersForm::SecretPath(name)) => {
            let at = at.field("auth").field("secret_path");
            review.accept(&at, value::secret(&name.0)).map(Some)
        }
    };
    let cache_ttl = match form.caching {
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
    Some(Route {
        path,
        datasource: form.datasource,
        query: form.query,
        methods,
        params,
        auth: auth?,
        cache_ttl: cache_ttl?,
        timeout: timeout?,
    })
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

fn check_query(sql: &str, params: &[Param], at: &Path, route: &Path, review: &mut Review<'_, '_>) {
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

#[allow(clippy::option_option)] // Outside: whether the form is sound; inside: whether answers are kept.
fn caching(form: &CachingForm, at: &Path, review: &mut Review<'_, '_>) -> Option<Option<CacheTtl>> {
    let ttl = match &form.ttl {
        None => None,
        Some(text) => {
            let least = Duration::from_millis(1);
            Some(review.accept(&at.field("ttl"), value::duration(&text.0, least, MAX_TTL))?)
        }
    };
    if !form.enabled {
        return Some(None);
    }
    review.require(ttl.is_some(), at, || {
        "caching needs to know for how long: `ttl: 30s`".to_owned()
    });
    Some(ttl.map(CacheTtl))
}
