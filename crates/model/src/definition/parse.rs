//! YAML → wire type → domain type. What comes out has been checked as far as one file can be; what takes several is
//! checked by `DefinitionSet`.

mod answer;
mod auth;
mod connection;
mod endpoint;
mod endpoint_tests;
mod expectation;
mod format;
mod incremental;
mod model;
mod paginate;
mod param;
mod personal_data;
mod pipeline;
mod politeness;
mod publish;
mod request;
mod schedule;
mod table;
mod value;

pub use super::problem::Problem;
use super::problem::{Path, Report, Review};
use super::yaml::{self, Node};
use super::{Connection, Endpoint, EndpointTests, Pipeline};
use serde::de::DeserializeOwned;

/// The connection that the text of `file` defines, or all that is wrong with it.
pub fn connection(file: &str, text: &str) -> Result<Connection, Vec<Problem>> {
    located_connection(file, text).map(|located| located.definition)
}

/// The pipeline that the text of `file` defines, or all that is wrong with it.
pub fn pipeline(file: &str, text: &str) -> Result<Pipeline, Vec<Problem>> {
    located_pipeline(file, text).map(|located| located.definition)
}

/// The endpoint that the text of `file` defines, or all that is wrong with it.
pub fn endpoint(file: &str, text: &str) -> Result<Endpoint, Vec<Problem>> {
    located_endpoint(file, text).map(|located| located.definition)
}

/// The tests that the text of `file` defines of the endpoint of the file's name, or all that is wrong with them.
pub fn endpoint_tests(file: &str, text: &str) -> Result<EndpointTests, Vec<Problem>> {
    located_endpoint_tests(file, text).map(|located| located.definition)
}

pub(crate) use connection::base_url;

/// A definition, and the tree that tells the line of each of its fields.
pub(crate) struct Located<T> {
    pub(crate) definition: T,
    tree: Node,
}

impl<T> Located<T> {
    /// The line of that place.
    pub(crate) fn line_of(&self, path: &Path) -> u32 {
        self.tree.line_of(path)
    }
}

pub(crate) fn located_connection(
    file: &str,
    text: &str,
) -> Result<Located<Connection>, Vec<Problem>> {
    located(file, text, |wire, review| {
        connection::validate(wire, stem(file), review)
    })
}

pub(crate) fn located_pipeline(file: &str, text: &str) -> Result<Located<Pipeline>, Vec<Problem>> {
    located(file, text, |wire, review| {
        pipeline::validate(wire, stem(file), review)
    })
}

pub(crate) fn located_endpoint(file: &str, text: &str) -> Result<Located<Endpoint>, Vec<Problem>> {
    located(file, text, |wire, review| {
        endpoint::validate(wire, stem(file), review)
    })
}

pub(crate) fn located_endpoint_tests(
    file: &str,
    text: &str,
) -> Result<Located<EndpointTests>, Vec<Problem>> {
    located(file, text, |wire, review| {
        Some(endpoint_tests::validate(wire, stem(file), review))
    })
}

fn located<W: DeserializeOwned, T>(
    file: &str,
    text: &str,
    validate: impl FnOnce(W, &mut Review<'_, '_>) -> Option<T>,
) -> Result<Located<T>, Vec<Problem>> {
    let mut report = Report::new(file);
    let Some(mut tree) = yaml::parse(text, &mut report) else {
        return Err(report.into_problems());
    };
    let wire = yaml::read::read(&mut tree, &mut report);
    let definition = wire.and_then(|wire| validate(wire, &mut Review::new(&mut report, &tree)));
    match definition {
        Some(definition) if report.len() == 0 => Ok(Located { definition, tree }),
        _ => Err(report.into_problems()),
    }
}

/// `usgs` of `connections/usgs.yaml`: what the definition in the file is called.
fn stem(file: &str) -> &str {
    let name = file.rsplit(['/', '\\']).next().unwrap_or(file);
    name.strip_suffix(".yaml")
        .or_else(|| name.strip_suffix(".yml"))
        .unwrap_or(name)
}
