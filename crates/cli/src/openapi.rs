//! `millrace new pipeline --from-openapi`: a first connection and a first pipeline, from an API's own description.

mod document;
mod pagination;
mod path;
mod records;
mod security;
mod write;
mod yaml;

pub use document::Document;

use anyhow::{Context, ensure};
use document::{Operation, Parameter};
use millrace_model::definition::FieldPath;
use pagination::Paging;
use path::Parent;
use std::collections::BTreeMap;

/// What an author asks for.
pub struct Wish<'w> {
    /// The pipeline's name; the API's title unless said otherwise.
    pub name: Option<&'w str>,
    /// The connection's name; the pipeline's unless said otherwise.
    pub connection: Option<&'w str>,
    /// Where the API is, in the place of what the document says.
    pub base_url: Option<&'w str>,
    /// Beginnings of paths; what begins with none of them is left out. Empty for all.
    pub only: &'w [String],
}

/// What was made of a document.
pub struct Made {
    /// The pipeline's name.
    pub name: String,
    /// The connection's name.
    pub connection: String,
    /// `connections/<connection>.yaml`.
    pub connection_yaml: String,
    /// `pipelines/<name>.yaml`.
    pub pipeline_yaml: String,
    /// How many resources it has.
    pub resources: usize,
    /// What an author should know.
    pub notes: Vec<String>,
}

/// A list of records that can be pulled.
struct Resource<'d> {
    operation: Operation<'d>,
    name: String,
    /// The path with the parent's value in it.
    path: String,
    parent: Option<Parent>,
    params: BTreeMap<String, String>,
    headers: BTreeMap<String, String>,
    paging: Paging,
    records: String,
    /// The field that names a record.
    key: Option<String>,
    /// The fields that its records get from the parent's.
    carry: Vec<(String, String)>,
    incremental: Option<String>,
}

/// Makes a connection and a pipeline of a document.
pub fn make(document: &Document, wish: &Wish<'_>) -> anyhow::Result<Made> {
    let name = wish
        .name
        .map_or_else(|| name_of(document.title()), ToOwned::to_owned);
    let connection = wish.connection.unwrap_or(&name).to_owned();
    let (base_url, mut notes) = base_url(document, wish.base_url);
    let is_wanted = |operation: &Operation<'_>| {
        wish.only.is_empty()
            || wish
                .only
                .iter()
                .any(|start| operation.path.starts_with(start))
    };
    let operations: Vec<_> = document
        .operations()
        .into_iter()
        .filter(is_wanted)
        .collect();
    let lists: Vec<_> = operations.iter().copied().filter(answers_list).collect();
    let secret = format!("millrace/{connection}");
    let auth = security::auth(document, &lists, &base_url, &secret);
    let (resources, left_out) = resources(&operations, &auth.params);
    ensure!(
        !resources.is_empty(),
        "none of its {} GETs{} answers a list that can be asked for as it stands; `millrace new pipeline NAME --path …` \
         begins with one of them",
        operations.len(),
        if wish.only.is_empty() {
            ""
        } else {
            " that --only leaves"
        }
    );
    if let Some(secret) = &auth.secret {
        notes.push(format!(
            "the secret millrace/{connection} has to hold {secret}"
        ));
    }
    let paged = resources
        .iter()
        .filter(|resource| resource.paging.paginate.is_some())
        .count();
    if paged < resources.len() {
        notes.push(format!(
            "of {} resources the document does not show how they page: the first answer will, or `millrace try` tells",
            resources.len() - paged
        ));
    }
    if !left_out.is_empty() {
        notes.push(format!(
            "{} lists are left out because they need values that only you know: see the end of pipelines/{name}.yaml",
            left_out.len()
        ));
    }
    Ok(Made {
        connection_yaml: write::connection(&connection, document, &base_url, &auth),
        pipeline_yaml: write::pipeline(&name, &connection, document, &resources, &left_out),
        resources: resources.len(),
        name,
        connection,
        notes,
    })
}

/// A name that a definition may have: at most 48 of `a-z`, `0-9` and `_`, a letter first.
fn name_of(text: &str) -> String {
    let mut name = String::new();
    for letter in FieldPath(text.trim().to_owned()).column_name().chars() {
        if !(letter == '_' && name.ends_with('_')) {
            name.push(letter);
        }
    }
    name.truncate(48);
    let name = name.trim_matches('_').to_owned();
    if name.is_empty() {
        "api".to_owned()
    } else {
        name
    }
}

fn base_url(document: &Document, wished: Option<&str>) -> (String, Vec<String>) {
    const PLACEHOLDER: &str = "https://api.example.com";
    let server = document.server().unwrap_or_default();
    let url = match wished {
        Some(url) => url.to_owned(),
        None if server.starts_with("http") => server,
        None => {
            let note = format!(
                "the document does not say where the API is: put it in the place of {PLACEHOLDER}"
            );
            let path = server.trim_start_matches('/');
            return (
                format!("{PLACEHOLDER}/{path}")
                    .trim_end_matches('/')
                    .to_owned(),
                vec![note],
            );
        }
    };
    let end = url.find(['?', '#']).unwrap_or(url.len());
    (url[..end].trim_end_matches('/').to_owned(), Vec::new())
}

/// What can be pulled, parents before their children, and what cannot for want of values.
fn resources<'d>(
    operations: &[Operation<'d>],
    credential: &[String],
) -> (Vec<Resource<'d>>, Vec<String>) {
    let (mut resources, mut left_out) = (Vec::<Resource<'_>>::new(), Vec::new());
    let mut by_depth = operations.to_vec();
    by_depth.sort_by_key(|operation| operation.path.matches('{').count());
    for operation in by_depth {
        match resource(operation, &resources, credential) {
            Some(Ok(resource)) => resources.push(resource),
            Some(Err(missing)) => left_out.push(format!("{}: {missing}", operation.path)),
            None => {}
        }
    }
    (resources, left_out)
}

/// Whether an operation answers a list, be it that more is needed to ask for it.
fn answers_list(operation: &Operation<'_>) -> bool {
    let is_paged = pagination::is_paged(&operation.parameters());
    let list = |(answer, _)| records::list(answer, subject(operation.path), is_paged);
    operation.answer().and_then(list).is_some()
}

/// The resource of an operation, or what it lacks; none where it answers no list.
fn resource<'d>(
    operation: Operation<'d>,
    known: &[Resource<'_>],
    credential: &[String],
) -> Option<Result<Resource<'d>, String>> {
    let mut parameters = operation.parameters();
    parameters.retain(|parameter| !credential.iter().any(|name| name == parameter.name));
    let subject = subject(operation.path);
    let (answer, has_link) = operation.answer()?;
    let list = records::list(answer, subject, pagination::is_paged(&parameters))?;
    let (path, parent) = match path::filled(operation.path, &parameters, known) {
        Ok(path) => path,
        Err(missing) => return Some(Err(missing)),
    };
    let key = records::key(list.record, subject);
    let paging = pagination::paging(&parameters, answer, has_link, key.as_deref());
    let mut params = match required(&parameters, "query", &paging) {
        Ok(params) => params,
        Err(missing) => return Some(Err(missing)),
    };
    let headers = match required(&parameters, "header", &paging) {
        Ok(headers) => headers,
        Err(missing) => return Some(Err(missing)),
    };
    if let Some((name, size)) = &paging.size {
        params.insert(name.clone(), size.to_string());
    }
    // What a record has itself needs not be carried.
    let links = parent.iter().flat_map(|parent: &Parent| &parent.links);
    let carry = links
        .filter(|link| list.record.at(&link.field).is_none())
        .map(|link| (link.field.clone(), link.of_parent.clone()))
        .collect();
    Some(Ok(Resource {
        carry,
        incremental: incremental(&parameters, records::changed_at(list.record).as_ref()),
        name: unique(operation.path, known),
        operation,
        path,
        parent,
        params,
        headers,
        paging,
        records: list.path,
        key,
    }))
}

/// Words in paths that say what is done and not with what.
const VERBS: [&str; 6] = ["all", "find", "list", "query", "search", "index"];

/// What a path speaks of: `orders` in `/v1/shops/{id}/orders`.
fn subject(path: &str) -> &str {
    let mut segments = path
        .rsplit('/')
        .map(|segment| segment.split('.').next().unwrap_or(segment))
        .filter(|segment| !segment.is_empty() && !segment.contains('{'));
    let mut named = segments.clone().filter(|segment| !VERBS.contains(segment));
    named.next().or(segments.next_back()).unwrap_or("records")
}

/// A name for a path's resource that no other has.
fn unique(path: &str, known: &[Resource<'_>]) -> String {
    let is_version = |segment: &str| {
        segment == "api"
            || segment.strip_prefix('v').is_some_and(|number| {
                !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
            })
    };
    let segments: Vec<&str> = path
        .split('/')
        .filter(|segment| !segment.is_empty() && !segment.contains('{') && !is_version(segment))
        .collect();
    let named: Vec<&str> = segments
        .iter()
        .copied()
        .filter(|segment| !VERBS.contains(segment))
        .collect();
    let segments = if named.is_empty() { segments } else { named };
    let taken = |name: &str| known.iter().any(|resource| resource.name == name);
    // The last word, with as many of those before it as it takes.
    for count in 1..=segments.len() {
        let name = name_of(&segments[segments.len() - count..].join("_"));
        if !taken(&name) {
            return name;
        }
    }
    let base: String = name_of(&segments.join("_")).chars().take(44).collect();
    let numbered = (2..).map(|number| format!("{base}_{number}"));
    numbered
        .into_iter()
        .find(|name| !taken(name))
        .unwrap_or(base)
}

/// Values for the parameters that have to be there.
fn required(
    parameters: &[Parameter<'_>],
    place: &str,
    paging: &Paging,
) -> Result<BTreeMap<String, String>, String> {
    const OWN: [&str; 4] = ["accept", "authorization", "content-type", "cookie"];
    let mut values = BTreeMap::new();
    for parameter in parameters
        .iter()
        .filter(|known| known.place == place && known.is_required)
    {
        let is_own = place == "header" && OWN.contains(&parameter.name.to_lowercase().as_str());
        let is_size = paging
            .size
            .as_ref()
            .is_some_and(|(name, _)| name == parameter.name);
        if is_own || is_size || paging.params.iter().any(|name| name == parameter.name) {
            continue;
        }
        let given = parameter
            .given()
            .filter(|value| !value.contains("{{") && !value.contains("{%"));
        let value = given.ok_or_else(|| format!("needs `{}`", parameter.name))?;
        values.insert(parameter.name.to_owned(), value);
    }
    Ok(values)
}

/// A guess at how only what changed is asked for, for the author to judge.
fn incremental(parameters: &[Parameter<'_>], field: Option<&String>) -> Option<String> {
    const NAMES: [&str; 9] = [
        "since",
        "updated_since",
        "updatedsince",
        "updated_after",
        "updatedafter",
        "modified_since",
        "modifiedsince",
        "updated_at_min",
        "changed_since",
    ];
    let field = field?;
    let param = parameters.iter().find(|known| {
        known.place == "query" && NAMES.contains(&known.name.to_lowercase().as_str())
    })?;
    let name = yaml::text(param.name);
    Some(format!(
        "incremental: {{ field: {field}, param: {name}, start: 2026-01-01T00:00:00Z, lookback: 1h }}"
    ))
}

/// Reads a document and makes a connection and a pipeline of it.
pub fn from_file(file: &std::path::Path, wish: &Wish<'_>) -> anyhow::Result<Made> {
    let document = Document::read(file)?;
    make(&document, wish).with_context(|| file.display().to_string())
}

#[cfg(test)]
#[path = "openapi/tests.rs"]
mod tests;
