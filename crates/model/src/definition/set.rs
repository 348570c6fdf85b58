//! All definitions together, and what only all of them together can tell.

mod endpoint_tests;
mod lookups;
mod models;
mod older;

use super::parse::{self, Located};
use super::pipeline::{Model, TableName};
use super::problem::{Path, Problem, nearest, one_of};
use super::{Connection, Datasource, Endpoint, Pinned, Pipeline};
use crate::query::Query;
use std::collections::BTreeMap;

/// All definitions of a repository, by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DefinitionSet {
    /// The connections.
    pub connections: BTreeMap<String, Connection>,
    /// The pipelines.
    pub pipelines: BTreeMap<String, Pipeline>,
    /// The endpoints.
    pub endpoints: BTreeMap<String, Endpoint>,
}

/// The definitions that are sound by themselves, with their files and trees.
#[derive(Default)]
struct Parsed {
    connections: BTreeMap<String, (String, Located<Connection>)>,
    pipelines: BTreeMap<String, (String, Located<Pipeline>)>,
    endpoints: BTreeMap<String, (String, Located<Endpoint>)>,
    /// The files that hold models' SELECTs, by name: `models/daily.sql`.
    sql: BTreeMap<String, String>,
    /// Names of connections and targets that definitions with problems would have given: what refers to them is told
    /// nothing that the first problem does not say already.
    connections_are_whole: bool,
    pipelines_are_whole: bool,
}

impl DefinitionSet {
    /// Reads files, each with its text; the folder in a file's name (`connections/…`, `pipelines/…`, `models/…`,
    /// `endpoints/…`) tells its kind. The set holds what is sound; everything else is a problem.
    pub fn parse(files: impl IntoIterator<Item = (String, String)>) -> (Self, Vec<Problem>) {
        let mut problems = Vec::new();
        let mut parsed = Parsed {
            connections_are_whole: true,
            pipelines_are_whole: true,
            ..Parsed::default()
        };
        for (file, text) in files {
            parsed.read(file, text, &mut problems);
        }
        parsed.resolve_models(&mut problems);
        parsed.check(&mut problems);
        problems.sort();
        problems.dedup();
        (parsed.into_set(), problems)
    }

    /// What a run of a pipeline needs: the pipeline, its connections, and the endpoints that read what it publishes.
    pub fn pin(&self, pipeline: &str) -> Result<Pinned, Vec<Problem>> {
        let Some(found) = self.pipelines.get(pipeline) else {
            return Err(vec![unknown("pipeline", pipeline, self.pipelines.keys())]);
        };
        let mut connections: BTreeMap<&str, &Connection> = BTreeMap::new();
        let mut problems = Vec::new();
        for (index, resource) in found.resources.iter().enumerate() {
            match self.connections.get(&resource.connection) {
                Some(connection) => {
                    connections.insert(&resource.connection, connection);
                }
                None => problems.push(Problem {
                    file: format!("pipelines/{pipeline}.yaml"),
                    line: None,
                    field: format!("resources[{index}].connection"),
                    message: no_connection(&resource.connection, self.connections.keys()),
                }),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let reads = |endpoint: &&Endpoint| {
            endpoint
                .routes
                .iter()
                .filter(|route| route.datasource == Datasource::OperationalStore)
                .filter_map(|route| Query::parse(&route.query).ok())
                .any(|query| {
                    let mut relations = query.relations().iter();
                    relations.any(|(schema, table)| {
                        let target = format!("{schema}.{table}");
                        found
                            .published(Datasource::OperationalStore, &target)
                            .is_some()
                    })
                })
        };
        Ok(Pinned {
            pipeline: found.clone(),
            connections: connections.into_values().cloned().collect(),
            endpoints: self.endpoints.values().filter(reads).cloned().collect(),
            mode: crate::mode::RunMode::default(),
        })
    }

    /// The models of all pipelines that read one of those tables, or what such a model makes, each behind those that it
    /// reads.
    pub fn models_of(
        &self,
        tables: impl IntoIterator<Item = TableName>,
    ) -> Vec<(&Pipeline, &Model)> {
        models::made_of(&self.pipelines, tables)
    }

    /// The set with another `base_url` for one connection: how a laptop or CI puts a system of its own in the place of
    /// the real one.
    pub fn with_base_url(mut self, connection: &str, url: &str) -> Result<Self, Problem> {
        let Some(found) = self.connections.get_mut(connection) else {
            return Err(unknown("connection", connection, self.connections.keys()));
        };
        found.base_url = parse::base_url(url).map_err(|message| Problem {
            file: format!("connections/{connection}.yaml"),
            line: None,
            field: "base_url".to_owned(),
            message,
        })?;
        Ok(self)
    }
}

impl Parsed {
    fn read(&mut self, file: String, text: String, problems: &mut Vec<Problem>) {
        let folder = file
            .rsplit(['/', '\\'])
            .nth(1)
            .unwrap_or_default()
            .to_owned();
        match folder.as_str() {
            "models" => drop(self.sql.insert(file, text)),
            "connections" => match parse::located_connection(&file, &text) {
                Ok(located) => {
                    let name = located.definition.name.clone();
                    keep(&mut self.connections, name, file, located, problems);
                }
                Err(found) => {
                    self.connections_are_whole = false;
                    problems.extend(found);
                }
            },
            "pipelines" => match parse::located_pipeline(&file, &text) {
                Ok(located) => {
                    let name = located.definition.name.clone();
                    keep(&mut self.pipelines, name, file, located, problems);
                }
                Err(found) => {
                    self.pipelines_are_whole = false;
                    problems.extend(found);
                }
            },
            "endpoints" => match parse::located_endpoint(&file, &text) {
                Ok(located) => {
                    let name = located.definition.name.clone();
                    keep(&mut self.endpoints, name, file, located, problems);
                }
                Err(found) => problems.extend(found),
            },
            _ => problems.push(Problem {
                file,
                line: None,
                field: String::new(),
                message:
                    "a definition lies in `connections/`, `pipelines/`, `models/` or `endpoints/`"
                        .to_owned(),
            }),
        }
    }

    fn check(&self, problems: &mut Vec<Problem>) {
        self.check_connections(problems);
        self.check_targets(problems);
        lookups::check_keys(&self.pipelines, problems);
        self.check_routes(problems);
        if self.pipelines_are_whole {
            self.check_relations(problems);
            lookups::check_routes(&self.pipelines, &self.endpoints, problems);
            self.check_older(problems);
        }
    }

    /// Resources name connections that there are, and limits that these have.
    fn check_connections(&self, problems: &mut Vec<Problem>) {
        if !self.connections_are_whole {
            return;
        }
        for (file, located) in self.pipelines.values() {
            for (index, resource) in located.definition.resources.iter().enumerate() {
                let at = Path::default().field("resources").index(index);
                let Some((_, connection)) = self.connections.get(&resource.connection) else {
                    let message = no_connection(&resource.connection, self.connections.keys());
                    problems.push(located.problem(file, &at.field("connection"), message));
                    continue;
                };
                let scopes = &connection.definition.politeness.scopes;
                if let Some(scope) = &resource.rate_scope
                    && !scopes.contains_key(scope)
                {
                    let message = no_scope(scope, &resource.connection, scopes.keys());
                    problems.push(located.problem(file, &at.field("rate_scope"), message));
                }
            }
        }
    }

    /// No two pipelines publish under one name.
    fn check_targets(&self, problems: &mut Vec<Problem>) {
        let mut taken: BTreeMap<(Datasource, String), &str> = BTreeMap::new();
        for (file, located) in self.pipelines.values() {
            for (index, publish) in located.definition.publish.iter().enumerate() {
                let target = (publish.to, publish.target());
                match taken.get(&target) {
                    Some(other) if other != file => {
                        let path = Path::default().field("publish").index(index).field("as");
                        let message = format!(
                            "`{}` is published by {other} already; take another name",
                            publish.target()
                        );
                        problems.push(located.problem(file, &path, message));
                    }
                    _ => {
                        taken.insert(target, file);
                    }
                }
            }
        }
    }

    /// No two routes answer the same requests, as `/quakes/{id}` and `/quakes/{code}` would; and the parameter at one
    /// place has one name, as API Gateway wants it: not `/quakes/{id}` beside `/quakes/{code}/places`.
    fn check_routes(&self, problems: &mut Vec<Problem>) {
        let mut taken: BTreeMap<String, (&str, &str)> = BTreeMap::new();
        let mut named: BTreeMap<String, (&str, &str)> = BTreeMap::new();
        for (file, located) in self.endpoints.values() {
            for route in &located.definition.routes {
                let at = Path::default().field("routes").field(&route.path);
                let mut shape = String::new();
                let mut renamed = None;
                for segment in route.path.split('/').skip(1) {
                    shape.push('/');
                    if !segment.starts_with('{') {
                        shape.push_str(segment);
                        continue;
                    }
                    shape.push_str("{}");
                    let (name, other) = *named.entry(shape.clone()).or_insert((segment, file));
                    if name != segment {
                        renamed = Some(format!(
                            "`{segment}` is called `{name}` in {other}; a parameter at one place of the path has one name"
                        ));
                    }
                }
                let message = match taken.get(&shape) {
                    Some((other, other_file)) => Some(format!(
                        "{other_file} has the route `{other}` already, which answers the same requests"
                    )),
                    None => renamed,
                };
                taken.entry(shape).or_insert((&route.path, file));
                problems.extend(message.map(|message| located.problem(file, &at, message)));
            }
        }
    }

    /// Endpoints read what pipelines publish, where they read it.
    fn check_relations(&self, problems: &mut Vec<Problem>) {
        let published: Vec<(Datasource, String)> = self
            .pipelines
            .values()
            .flat_map(|(_, located)| &located.definition.publish)
            .map(|publish| (publish.to, publish.target()))
            .collect();
        for (file, located) in self.endpoints.values() {
            let routes = located.definition.routes.iter();
            for route in routes.filter(|route| route.lookup.is_none()) {
                let Ok(query) = Query::parse(&route.query) else {
                    continue;
                };
                for (schema, table) in query.relations() {
                    let relation = format!("{schema}.{table}");
                    let path = Path::default()
                        .field("routes")
                        .field(&route.path)
                        .field("query");
                    let message = not_published(&published, route.datasource, &relation);
                    problems.extend(message.map(|message| located.problem(file, &path, message)));
                }
            }
        }
    }

    fn into_set(self) -> DefinitionSet {
        let mut pipelines = definitions(self.pipelines);
        for (name, pipeline) in &mut pipelines {
            pipeline.models = models::in_order(name, std::mem::take(&mut pipeline.models));
        }
        DefinitionSet {
            connections: definitions(self.connections),
            pipelines,
            endpoints: definitions(self.endpoints),
        }
    }
}

/// What is to be said where nobody publishes a table to the store that is to be read.
fn not_published(
    published: &[(Datasource, String)],
    to: Datasource,
    relation: &str,
) -> Option<String> {
    let names = || {
        let there = published.iter().filter(|(store, _)| *store == to);
        there.map(|(_, name)| name.as_str())
    };
    if names().any(|name| name == relation) {
        return None;
    }
    if let Some((elsewhere, _)) = published.iter().find(|(_, name)| name == relation) {
        return Some(format!(
            "`{relation}` is published to `{elsewhere}`, and this route reads `{to}`; add it to the pipeline's \
             `publish` with `to: {to}`, or change the route's `datasource`"
        ));
    }
    Some(match nearest(relation, names()) {
        Some(meant) => format!("no pipeline publishes `{relation}`; did you mean `{meant}`?"),
        None if names().next().is_none() => format!(
            "no pipeline publishes `{relation}`, nor anything else; add it to a pipeline's `publish`"
        ),
        None => format!(
            "no pipeline publishes `{relation}`; published are {}",
            one_of(names())
        ),
    })
}

fn definitions<T>(parsed: BTreeMap<String, (String, Located<T>)>) -> BTreeMap<String, T> {
    parsed
        .into_iter()
        .map(|(name, (_, located))| (name, located.definition))
        .collect()
}

impl<T> Located<T> {
    fn problem(&self, file: &str, path: &Path, message: String) -> Problem {
        Problem {
            file: file.to_owned(),
            line: Some(self.line_of(path)),
            field: path.to_string(),
            message,
        }
    }
}

/// Keeps a definition, unless another file has one of that name: `usgs.yaml` beside `usgs.yml`.
fn keep<T>(
    into: &mut BTreeMap<String, (String, Located<T>)>,
    name: String,
    file: String,
    located: Located<T>,
    problems: &mut Vec<Problem>,
) {
    if let Some((other, _)) = into.get(&name) {
        problems.push(Problem {
            message: format!("`{name}` is defined in {other} already; keep one of the two files"),
            file,
            line: None,
            field: String::new(),
        });
        return;
    }
    into.insert(name, (file, located));
}

fn no_connection<'n>(name: &str, known: impl Iterator<Item = &'n String>) -> String {
    let known: Vec<&str> = known.map(String::as_str).collect();
    match nearest(name, known.iter().copied()) {
        Some(meant) => format!("there is no connection `{name}`; did you mean `{meant}`?"),
        None => format!("there is no connection `{name}`; write it in connections/{name}.yaml"),
    }
}

fn no_scope<'n>(name: &str, connection: &str, known: impl Iterator<Item = &'n String>) -> String {
    let known: Vec<&str> = known.map(String::as_str).collect();
    match nearest(name, known.iter().copied()) {
        Some(meant) => format!("there is no such scope; did you mean `{meant}`?"),
        None => format!(
            "there is no such scope; write `rate_scopes: {{ {name}: 5/s }}` in connections/{connection}.yaml"
        ),
    }
}

fn unknown<'n>(kind: &str, name: &str, known: impl Iterator<Item = &'n String>) -> Problem {
    let known: Vec<&str> = known.map(String::as_str).collect();
    let message = match nearest(name, known.iter().copied()) {
        Some(meant) => format!("there is no such {kind}; did you mean `{meant}`?"),
        None if known.is_empty() => format!("there is no such {kind}, nor any other"),
        None => format!("there is no such {kind}; there is {}", one_of(known)),
    };
    Problem {
        file: format!("{kind}s/{name}.yaml"),
        line: None,
        field: String::new(),
        message,
    }
}
