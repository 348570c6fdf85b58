//! Wire tests of an endpoint → tests.

use super::publish::target;
use super::value;
use crate::definition::endpoint_tests::{Asker, EndpointTest, EndpointTests, Expected, TableRows};
use crate::definition::problem::{Path, Review};
use crate::definition::wire::endpoint_tests::{CallerForm, EndpointTestsFile, TableForm, TestForm};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::collections::BTreeSet;

pub(super) fn validate(
    wire: EndpointTestsFile,
    stem: &str,
    review: &mut Review<'_, '_>,
) -> EndpointTests {
    let root = Path::default();
    let at = root.field("tables");
    let mut tables = Vec::new();
    for (name, form) in wire.tables {
        let at = at.field(&name);
        if let Some((schema, relation)) = review.accept(&at, target(&name)) {
            tables.push(table(schema, relation, form, &at, review));
        }
    }
    let at = root.field("tests");
    review.require(!wire.tests.is_empty(), &at, || {
        "there is at least one test".to_owned()
    });
    let mut names = BTreeSet::new();
    let mut tests = Vec::new();
    for (index, form) in wire.tests.into_iter().enumerate() {
        let at = at.index(index);
        review.require(names.insert(form.name.clone()), &at.field("name"), || {
            format!("`{}` is there twice", form.name)
        });
        tests.extend(test(form, &at, review));
    }
    EndpointTests {
        endpoint: stem.to_owned(),
        tables,
        tests,
    }
}

fn table(
    schema: String,
    relation: String,
    form: TableForm,
    at: &Path,
    review: &mut Review<'_, '_>,
) -> TableRows {
    for name in form.columns.keys() {
        review.accept(&at.field("columns").field(name), value::identifier(name));
    }
    for (index, name) in form.key.iter().enumerate() {
        review.require(
            form.columns.contains_key(name),
            &at.field("key").index(index),
            || format!("the table has no column `{name}`"),
        );
    }
    for (index, row) in form.rows.iter().enumerate() {
        for name in row.keys() {
            let at = at.field("rows").index(index).field(name);
            review.require(form.columns.contains_key(name), &at, || {
                format!("the table has no column `{name}`: write it under `columns`, with its type")
            });
        }
    }
    let recent_from = form.recent_from.as_deref();
    let recent_from =
        recent_from.and_then(|text| review.accept(&at.field("recent_from"), moment(text)));
    TableRows {
        schema,
        relation,
        columns: form.columns.into_iter().collect(),
        key: form.key,
        recent_from,
        rows: form.rows,
    }
}

/// A moment; of a day, its midnight in UTC.
fn moment(text: &str) -> Result<Timestamp, String> {
    let midnight = |day: Date| Some(day.to_zoned(TimeZone::UTC).ok()?.timestamp());
    let moment = text.parse().ok();
    let moment = moment.or_else(|| text.parse().ok().and_then(midnight));
    moment.ok_or_else(|| "a moment is written like 2026-03-01T00:00:00Z, or 2026-03-01".to_owned())
}

fn test(form: TestForm, at: &Path, review: &mut Review<'_, '_>) -> Option<EndpointTest> {
    let post = form.post.is_some();
    let ((Some(path), None) | (None, Some(path))) = (form.get, form.post) else {
        review.problem(at, "a test asks by `get` or by `post`: `get: /quakes`");
        return None;
    };
    let field = at.field(if post { "post" } else { "get" });
    review.require(
        path.starts_with('/') && !path.contains(['?', '#']),
        &field,
        || {
            "a path begins with a slash; what stands behind a question mark goes under `params`"
                .to_owned()
        },
    );
    let expected = match (form.rows, form.count, form.error) {
        (Some(rows), None, None) => Expected::Rows(rows),
        (None, Some(count), None) => Expected::Count(count as usize),
        (None, None, Some(error)) => {
            review.require(
                (400..600).contains(&error.status),
                &at.field("error").field("status"),
                || "a refusal's status is 400 or more".to_owned(),
            );
            Expected::Error {
                status: error.status,
                parameter: error.parameter,
                says: error.says,
            }
        }
        (None, None, None) if form.index.is_some() => Expected::Answer,
        _ => {
            review.problem(
                at,
                "a test expects one of `rows`, `count` and `error`, or an `index`",
            );
            return None;
        }
    };
    let refused = matches!(expected, Expected::Error { .. });
    review.require(
        !(refused && form.index.is_some()),
        &at.field("index"),
        || "what is refused reads no index; leave one of them out".to_owned(),
    );
    Some(EndpointTest {
        name: form.name,
        path,
        post,
        params: form.params.into_iter().collect(),
        asker: asker(form.caller, &at.field("caller"), review),
        expected,
        index: form.index,
    })
}

fn asker(form: Option<CallerForm>, at: &Path, review: &mut Review<'_, '_>) -> Asker {
    let Some(form) = form else {
        return Asker::Caller {
            scopes: None,
            claims: serde_json::Map::new(),
        };
    };
    if !form.anonymous {
        return Asker::Caller {
            scopes: form.scopes,
            claims: form.claims,
        };
    }
    review.require(form.scopes.is_none() && form.claims.is_empty(), at, || {
        "of an anonymous caller nothing is known: leave `scopes` and `claims` out".to_owned()
    });
    Asker::Nobody
}

#[cfg(test)]
mod tests {
    use crate::definition::endpoint_tests::{ColumnKind, Expected};
    use crate::definition::parse;

    const SOUND: &str = "
tables:
  s.quakes:
    columns: { id: string, magnitude: double }
    key: [id]
    recent_from: 2026-03-01
    rows: [{ id: a, magnitude: 5 }, { id: b }]
tests:
  - { name: strong, get: /quakes, params: { min_magnitude: 5 }, rows: [{ id: a }], index: [magnitude] }
  - { name: none, get: /quakes, caller: { anonymous: true }, error: { status: 401 } }
";

    fn problems(text: &str) -> Vec<String> {
        let problems = parse::endpoint_tests("endpoints/tests/quakes.yaml", text).unwrap_err();
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn tests_are_read() {
        let tests = parse::endpoint_tests("endpoints/tests/quakes.yaml", SOUND).unwrap();
        assert_eq!(tests.endpoint, "quakes");
        assert_eq!(tests.tables[0].columns[1].1, ColumnKind::Double);
        let from = tests.tables[0].recent_from.unwrap();
        assert_eq!(from.to_string(), "2026-03-01T00:00:00Z");
        assert_eq!(tests.tests[0].path, "/quakes");
        assert!(matches!(
            tests.tests[1].expected,
            Expected::Error { status: 401, .. }
        ));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (from, to, said) in [
            ("key: [id]", "key: [x]", "no column `x`"),
            ("{ id: b }", "{ ID: b }", "the table has no column `ID`"),
            ("s.quakes:", "quakes:", "schema.table"),
            ("get: /quakes, params", "params", "by `get` or by `post`"),
            (
                "get: /quakes, params",
                "get: /quakes?x=1, params",
                "goes under `params`",
            ),
            (
                "rows: [{ id: a }]",
                "count: 1, rows: [{ id: a }]",
                "one of `rows`, `count`",
            ),
            ("status: 401", "status: 200", "400 or more"),
            (
                "anonymous: true",
                "anonymous: true, scopes: [a]",
                "nothing is known",
            ),
            ("name: none", "name: strong", "there twice"),
            (
                "error: { status: 401 }",
                "error: { status: 401 }, index: [id]",
                "reads no index",
            ),
            ("magnitude: double", "magnitude: float", "double"),
            (
                "recent_from: 2026-03-01",
                "recent_from: 1w",
                "2026-03-01T00:00:00Z",
            ),
            (
                "min_magnitude: 5 }",
                "min_magnitude: 5 }, expect: 3",
                "expect",
            ),
        ] {
            let found = problems(&SOUND.replacen(from, to, 1)).join("\n");
            assert!(found.contains(said), "{to}: {found}");
            assert!(found.starts_with("endpoints/tests/quakes.yaml:"), "{found}");
        }
    }
}
