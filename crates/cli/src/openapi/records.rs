//! Where in an answer the records are, and what names one.

use super::document::Schema;

/// What lists of records are called.
const NAMES: [&str; 17] = [
    "data",
    "items",
    "results",
    "records",
    "value",
    "values",
    "entries",
    "elements",
    "rows",
    "content",
    "objects",
    "hits",
    "resources",
    "collection",
    "list",
    "edges",
    "nodes",
];

/// How deep in an answer a list is looked for.
const DEEPEST: usize = 3;

/// What fields that name a record are called, the surest first.
const KEYS: [&str; 11] = [
    "id", "uuid", "guid", "uid", "_id", "gid", "ID", "Id", "key", "code", "slug",
];

/// A list of records.
pub struct List<'d> {
    /// Where it is: empty where the answer itself is the list.
    pub path: String,
    /// What a record is.
    pub record: Schema<'d>,
}

/// The list in an answer. `name` is what the path speaks of, `is_paged` whether there are parameters that ask for pages.
pub fn list<'d>(answer: Schema<'d>, name: &str, is_paged: bool) -> Option<List<'d>> {
    if let Some(record) = answer.items() {
        let path = String::new();
        return record.is_object().then_some(List { path, record });
    }
    let mut lists = Vec::new();
    collect(answer, "", 1, &mut lists);
    let depth = |list: &List<'_>| list.path.matches('.').count();
    lists.sort_by_key(depth);
    let is_called = |list: &List<'_>, names: &[&str]| {
        let last = list.path.rsplit('.').next().unwrap_or_default();
        names.iter().any(|name| name.eq_ignore_ascii_case(last))
    };
    // One thing may have lists in it as well; a list of things is told by its name, or by its pages.
    let named = lists
        .iter()
        .position(|list| is_called(list, &[name]))
        .or_else(|| lists.iter().position(|list| is_called(list, &NAMES)));
    let is_sole = |lists: &[List<'_>]| {
        lists.len() == 1
            || lists
                .get(1)
                .is_some_and(|second| depth(second) > depth(&lists[0]))
    };
    let at = named.or_else(|| (is_paged && !lists.is_empty() && is_sole(&lists)).then_some(0))?;
    Some(lists.swap_remove(at))
}

fn collect<'d>(schema: Schema<'d>, path: &str, depth: usize, lists: &mut Vec<List<'d>>) {
    for (name, property) in schema.properties() {
        // A path has names with dots between them.
        if name.is_empty() || name.contains(['.', '[', '*']) {
            continue;
        }
        let path = if path.is_empty() {
            name.to_owned()
        } else {
            format!("{path}.{name}")
        };
        if let Some(record) = property.items() {
            if record.is_object() {
                lists.push(List { path, record });
            }
        } else if depth < DEEPEST {
            collect(property, &path, depth + 1, lists);
        }
    }
}

/// The field that names a record of things so called.
pub fn key(record: Schema<'_>, name: &str) -> Option<String> {
    let properties = record.properties();
    let singular = name.strip_suffix('s').unwrap_or(name);
    let own = [
        format!("{singular}_id"),
        format!("{singular}Id"),
        format!("{singular}_uuid"),
        format!("{singular}_code"),
    ];
    let candidates = KEYS
        .iter()
        .take(8)
        .copied()
        .chain(own.iter().map(String::as_str));
    let found = candidates
        .chain(KEYS.iter().skip(8).copied())
        .find(|candidate| {
            properties.iter().any(|(name, schema)| {
                name == candidate
                    && (schema.may_be("string") || schema.may_be("integer"))
                    && schema.items().is_none()
            })
        });
    found.map(ToOwned::to_owned)
}

/// A field that tells when a record was changed last.
pub fn changed_at(record: Schema<'_>) -> Option<String> {
    const NAMES: [&str; 10] = [
        "updated_at",
        "updatedAt",
        "modified_at",
        "modifiedAt",
        "last_modified",
        "lastModified",
        "date_updated",
        "modified",
        "updated",
        "changed_at",
    ];
    let properties = record.properties();
    NAMES
        .into_iter()
        .find(|candidate| properties.iter().any(|(name, _)| name == candidate))
        .map(ToOwned::to_owned)
}
