//! Keys in Redis: whose they are, and who looks rows up by them.

use super::{Endpoint, Located, Pipeline};
use crate::definition::KeyPattern;
use crate::definition::problem::{Path, Problem, nearest, one_of};
use std::collections::BTreeMap;

type Files<T> = BTreeMap<String, (String, Located<T>)>;

/// The patterns that are published, each with the file and the place that say so, and its table.
fn published(pipelines: &Files<Pipeline>) -> impl Iterator<Item = Published<'_>> {
    pipelines.values().flat_map(|(file, located)| {
        let publish = located.definition.publish.iter().enumerate();
        publish.filter_map(move |(index, publish)| {
            Some(Published {
                key: &publish.documents.as_ref()?.key,
                target: publish.target(),
                file,
                located,
                index,
            })
        })
    })
}

struct Published<'a> {
    key: &'a KeyPattern,
    target: String,
    file: &'a str,
    located: &'a Located<Pipeline>,
    index: usize,
}

/// No key is of two tables: what one writes, the other would take away.
pub(super) fn check_keys(pipelines: &Files<Pipeline>, problems: &mut Vec<Problem>) {
    let all: Vec<Published<'_>> = published(pipelines).collect();
    for (place, one) in all.iter().enumerate() {
        let clash = all[..place]
            .iter()
            .find(|other| other.key.overlaps(one.key));
        if let Some(other) = clash {
            let path = Path::default()
                .field("publish")
                .index(one.index)
                .field("key");
            let message = format!(
                "a key of `{}` could be one of `{}` too, under which {} publishes `{}`; begin it with another name",
                one.key, other.key, other.file, other.target
            );
            problems.push(one.located.problem(one.file, &path, message));
        }
    }
}

/// What routes look up is published.
pub(super) fn check_routes(
    pipelines: &Files<Pipeline>,
    endpoints: &Files<Endpoint>,
    problems: &mut Vec<Problem>,
) {
    let known: Vec<String> = published(pipelines)
        .map(|one| one.key.to_string())
        .collect();
    for (file, located) in endpoints.values() {
        for route in &located.definition.routes {
            let Some(lookup) = &route.lookup else {
                continue;
            };
            let key = lookup.key.to_string();
            if known.contains(&key) {
                continue;
            }
            let alike = published(pipelines).find(|one| one.key.overlaps(&lookup.key));
            let path = Path::default()
                .field("routes")
                .field(&route.path)
                .field("key");
            let message = match (alike, nearest(&key, known.iter().map(String::as_str))) {
                (Some(alike), _) => format!(
                    "`{}` is published under `{}`; write it here as it stands there",
                    alike.target, alike.key
                ),
                (None, Some(meant)) => {
                    format!("no pipeline publishes under `{key}`; did you mean `{meant}`?")
                }
                (None, None) if known.is_empty() => format!(
                    "no pipeline publishes under `{key}`, nor anything else to Redis; add the table to a pipeline's \
                     `publish` with `to: redis` and `key: \"{key}\"`"
                ),
                (None, None) => format!(
                    "no pipeline publishes under `{key}`; published are {}",
                    one_of(known.iter().map(String::as_str))
                ),
            };
            problems.push(located.problem(file, &path, message));
        }
    }
}
