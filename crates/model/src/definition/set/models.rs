//! Models: their SELECTs read, the tables that these name found, and those of a pipeline put in order.

use super::{Located, Parsed, Problem};
use crate::definition::pipeline::{Model, Pipeline, TableName};
use crate::definition::problem::{Path, nearest, one_of};
use crate::query::ModelQuery;
use std::collections::{BTreeMap, BTreeSet};

/// A model of a pipeline.
type Node = (String, String);

impl Parsed {
    /// Reads the models' SELECTs. What is wrong with them, and with what they name, is a problem of their files.
    pub(super) fn resolve_models(&mut self, problems: &mut Vec<Problem>) {
        let made: BTreeMap<String, BTreeSet<String>> = self
            .pipelines
            .iter()
            .map(|(name, (_, located))| (name.clone(), made_by(&located.definition)))
            .collect();
        let known = self.pipelines_are_whole.then_some(&made);
        for (file, located) in self.pipelines.values_mut() {
            for index in 0..located.definition.models.len() {
                resolve(file, located, index, &self.sql, known, problems);
            }
        }
        self.check_cycles(problems);
    }

    /// No model reads itself, through however many others: there is no order in which they could be made.
    fn check_cycles(&self, problems: &mut Vec<Problem>) {
        let mut open: BTreeMap<Node, Vec<Node>> = BTreeMap::new();
        for (name, (_, located)) in &self.pipelines {
            for model in &located.definition.models {
                let reads = model.reads.iter();
                let reads = reads.map(|read| (read.pipeline.clone(), read.table.clone()));
                open.insert((name.clone(), model.name.clone()), reads.collect());
            }
        }
        loop {
            let free: Vec<Node> = open
                .iter()
                .filter(|(_, reads)| !reads.iter().any(|read| open.contains_key(read)))
                .map(|(node, _)| node.clone())
                .collect();
            if free.is_empty() {
                break;
            }
            open.retain(|node, _| !free.contains(node));
        }
        let Some(cycle) = cycle(&open) else { return };
        let Some(((pipeline, model), (file, located))) = cycle
            .first()
            .and_then(|node| Some((node, self.pipelines.get(&node.0)?)))
        else {
            return;
        };
        let models = &located.definition.models;
        let Some(index) = models.iter().position(|known| known.name == *model) else {
            return;
        };
        let way: Vec<String> = cycle
            .iter()
            .chain([&(pipeline.clone(), model.clone())])
            .map(|(pipeline, model)| format!("{pipeline}.{model}"))
            .collect();
        let at = Path::default().field("models").index(index);
        let message = format!(
            "models read one another in a circle, and none can be made first: {}",
            way.join(" reads ")
        );
        problems.push(located.problem(file, &at, message));
    }
}

/// The names of what a pipeline makes: its tables and its models.
fn made_by(pipeline: &Pipeline) -> BTreeSet<String> {
    let tables = pipeline.tables.iter().map(|table| table.name.clone());
    let models = pipeline.models.iter().map(|model| model.name.clone());
    tables.chain(models).collect()
}

/// Reads one model's SELECT; `known` is what all pipelines make, where that is known.
fn resolve(
    file: &str,
    located: &mut Located<Pipeline>,
    index: usize,
    files: &BTreeMap<String, String>,
    known: Option<&BTreeMap<String, BTreeSet<String>>>,
    problems: &mut Vec<Problem>,
) {
    let at = Path::default().field("models").index(index);
    let pipeline = located.definition.name.clone();
    let model = &located.definition.models[index];
    let sql = match &model.file {
        None => model.sql.clone(),
        Some(name) => {
            let Some(text) = files.get(name) else {
                let message = no_file(name, files);
                problems.push(located.problem(file, &at.field("file"), message));
                return;
            };
            text.clone()
        }
    };
    let problem = |line: Option<u64>, message: String| match &model.file {
        Some(name) => Problem {
            file: name.clone(),
            line: line.map(|line| line as u32),
            field: String::new(),
            message,
        },
        None => located.problem(file, &at.field("query"), message),
    };
    match ModelQuery::parse(&sql, &pipeline) {
        Err(error) => problems.push(problem(error.line(), error.to_string())),
        Ok(query) => {
            for read in query.reads() {
                let table = TableName {
                    pipeline: read.pipeline.clone(),
                    table: read.table.clone(),
                };
                if let Some(message) = known.and_then(|known| unknown(&table, known)) {
                    problems.push(problem(Some(read.line), message));
                }
            }
            let reads = query.reads().iter().map(|read| TableName {
                pipeline: read.pipeline.clone(),
                table: read.table.clone(),
            });
            let reads = reads.collect();
            let model = &mut located.definition.models[index];
            *model = Model {
                sql,
                reads,
                ..model.clone()
            };
        }
    }
}

/// What is wrong with the name of a table.
fn unknown(table: &TableName, known: &BTreeMap<String, BTreeSet<String>>) -> Option<String> {
    let Some(made) = known.get(&table.pipeline) else {
        let names = || known.keys().map(String::as_str);
        return Some(match nearest(&table.pipeline, names()) {
            Some(meant) => format!(
                "there is no pipeline `{}`; did you mean `{meant}.{}`?",
                table.pipeline, table.table
            ),
            None => format!(
                "there is no pipeline `{}`; there is {}",
                table.pipeline,
                one_of(names())
            ),
        });
    };
    if made.contains(table.root()) {
        return None;
    }
    let names = || made.iter().map(String::as_str);
    Some(match nearest(table.root(), names()) {
        Some(meant) => format!(
            "`{}` has no table `{}`; did you mean `{meant}`?",
            table.pipeline, table.table
        ),
        None => format!(
            "`{}` has no table `{}`; it has {}",
            table.pipeline,
            table.table,
            one_of(names())
        ),
    })
}

fn no_file(name: &str, files: &BTreeMap<String, String>) -> String {
    let short = |file: &'_ str| file.rsplit('/').next().unwrap_or(file).to_owned();
    let names: Vec<String> = files.keys().map(|file| short(file)).collect();
    match nearest(&short(name), names.iter().map(String::as_str)) {
        Some(meant) => format!("there is no file {name}; did you mean `{meant}`?"),
        None => format!("there is no file {name}; write the SELECT there"),
    }
}

/// Models that read one another in a circle, in the order in which they do.
fn cycle(open: &BTreeMap<Node, Vec<Node>>) -> Option<Vec<Node>> {
    let mut way: Vec<Node> = vec![open.keys().next()?.clone()];
    loop {
        // What is left all reads something that is left.
        let next = open[way.last()?]
            .iter()
            .find(|read| open.contains_key(*read))?;
        if let Some(first) = way.iter().position(|node| node == next) {
            way.drain(..first);
            // The same circle is told from the same model on, wherever it was entered.
            let least = (0..way.len()).min_by_key(|position| &way[*position])?;
            way.rotate_left(least);
            return Some(way);
        }
        way.push(next.clone());
    }
}

/// The models that read one of those tables, directly or by way of others, each behind those that it reads.
pub(super) fn made_of(
    pipelines: &BTreeMap<String, Pipeline>,
    tables: impl IntoIterator<Item = TableName>,
) -> Vec<(&Pipeline, &Model)> {
    let all = pipelines.values();
    let all = all.flat_map(|pipeline| pipeline.models.iter().map(move |model| (pipeline, model)));
    let mut open: Vec<(&Pipeline, &Model)> = all.collect();
    let mut sources: BTreeSet<Node> = tables
        .into_iter()
        .map(|table| (table.pipeline, table.table))
        .collect();
    let mut found: Vec<(&Pipeline, &Model)> = Vec::new();
    loop {
        let before = found.len();
        open.retain(|(pipeline, model)| {
            let mut reads = model.reads.iter();
            let is_made_of = reads
                .any(|read| sources.contains(&(read.pipeline.clone(), read.root().to_owned())));
            if is_made_of {
                sources.insert((pipeline.name.clone(), model.name.clone()));
                found.push((pipeline, model));
            }
            !is_made_of
        });
        if found.len() == before {
            break;
        }
    }
    // A model may read two of them, one of which was found later than it was.
    let mut ordered: Vec<(&Pipeline, &Model)> = Vec::with_capacity(found.len());
    while !found.is_empty() {
        let waits = |(_, model): &(&Pipeline, &Model)| {
            model.reads.iter().any(|read| {
                let is_read = |(pipeline, model): &(&Pipeline, &Model)| {
                    (&read.pipeline, &read.table) == (&pipeline.name, &model.name)
                };
                found.iter().any(is_read)
            })
        };
        // No set that is sound has a circle.
        let next = found.iter().position(|model| !waits(model)).unwrap_or(0);
        ordered.push(found.remove(next));
    }
    ordered
}

/// A pipeline's models in an order in which each stands behind those that it reads.
pub(super) fn in_order(pipeline: &str, mut models: Vec<Model>) -> Vec<Model> {
    let mut ordered: Vec<Model> = Vec::with_capacity(models.len());
    while !models.is_empty() {
        let waits = |model: &Model| {
            model.reads.iter().any(|read| {
                read.pipeline == pipeline && models.iter().any(|other| other.name == read.table)
            })
        };
        // Where there is a circle, which is told elsewhere, any is as good as another.
        let next = models.iter().position(|model| !waits(model)).unwrap_or(0);
        ordered.push(models.remove(next));
    }
    ordered
}
