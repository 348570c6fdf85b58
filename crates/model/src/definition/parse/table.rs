//! Wire table → table.

use super::{expectation, value};
use crate::definition::FieldPath;
use crate::definition::pipeline::{
    Column, ColumnType, Contract, Delete, Expectation, Keep, Nesting, Resource, Rule, Table,
    WriteMode, a_week,
};
use crate::definition::problem::{Path, Review, nearest, one_of};
use crate::definition::wire::form::{DurationText, TextOr};
use crate::definition::wire::pipeline::{
    ColumnForm, DeleteForm, NestingForm, TYPE_NAMES, TableForm, TypeName,
};
use indexmap::IndexMap;
use std::collections::BTreeSet;
use std::time::Duration;

/// The shortest time for which versions of a table are kept: whoever reads one has to come to its end.
const LEAST_KEPT: Duration = Duration::from_hours(1);
/// The longest: Delta's log is kept for 30 days.
const MOST_KEPT: Duration = Duration::from_hours(30 * 24);
/// How long a separator may be: names have an end.
const LONGEST_SEPARATOR: usize = 8;

pub(super) fn validate(
    form: TableForm,
    source: Option<&Resource>,
    earlier: &[Table],
    at: &Path,
    review: &mut Review<'_, '_>,
) -> Table {
    review.accept(&at.field("name"), value::part_name(&form.name));
    no_child(&form.name, at, review);
    let nesting = nesting(form.nesting, &at.field("nesting"), review);
    let columns = columns(form.columns, &nesting, &at.field("columns"), review);

    let key = match (form.key, source) {
        (Some(key), _) => {
            for (index, name) in key.iter().enumerate() {
                review.accept(&at.field("key").index(index), value::identifier(name));
            }
            key
        }
        (None, Some(source)) => source
            .key
            .iter()
            .map(|field| column_of(field, &columns, &nesting))
            .collect(),
        (None, None) => Vec::new(),
    };
    let write = form.write;
    let mode = if write == WriteMode::History {
        "history"
    } else {
        "upsert"
    };
    review.require(!write.needs_key() || !key.is_empty() || source.is_none(), &at.field("write"), || {
        format!("`{mode}` needs to know which columns name a row: write `key: [id]` here or in the resource")
    });
    if let Some(order) = &form.order {
        review.accept(&at.field("order"), value::identifier(order));
        review.require(write.needs_key(), &at.field("order"), || {
            "which of several rows is the last one matters to `upsert` and `history` alone"
                .to_owned()
        });
    }
    let delete = form.delete.map(|delete| match delete {
        DeleteForm::Flag(column) => {
            review.accept(
                &at.field("delete").field("flag"),
                value::identifier(&column),
            );
            Delete::Flag(column)
        }
        DeleteForm::Tombstone => Delete::Tombstone,
    });
    review.require(
        delete.is_none() || write.needs_key(),
        &at.field("delete"),
        || "rows are deleted by their key, with `upsert` or `history`".to_owned(),
    );
    for name in ["valid_from", "valid_to", "current"] {
        let taken = columns.iter().any(|(path, column)| {
            column
                .name
                .clone()
                .unwrap_or_else(|| nesting.column_name(path))
                == name
        });
        review.require(
            write != WriteMode::History || !taken,
            &at.field("columns"),
            || format!("`history` has a column `{name}` of its own; give the field another `name`"),
        );
    }

    let expect = form
        .expect
        .into_iter()
        .enumerate()
        .filter_map(|(index, form)| {
            let at = at.field("expect").index(index);
            expectation::validate(form, write, earlier, &at, review)
        })
        .collect();
    let table = Table {
        name: form.name,
        from: form.from,
        write,
        key,
        order: form.order,
        delete,
        contract: Contract {
            columns: form.contract.columns,
            types: form.contract.types,
            tables: form.contract.tables,
            unreadable: form.contract.unreadable,
        },
        nesting,
        columns,
        expect,
        keep_versions: keep_versions(form.keep_versions, at, review),
    };
    review_kept(&table, at, review);
    table
}

fn nesting(form: NestingForm, at: &Path, review: &mut Review<'_, '_>) -> Nesting {
    let default = Nesting::default();
    let separator = form.separator.unwrap_or(default.separator);
    let is_name = |text: &str| {
        let mut letters = text.bytes();
        letters
            .all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == b'_')
    };
    let holds = (1..=LONGEST_SEPARATOR).contains(&separator.len()) && is_name(&separator);
    review.require(holds, &at.field("separator"), || {
        format!("1 to {LONGEST_SEPARATOR} of `a-z`, `0-9` and `_`, so that SQL names a column without quotes")
    });
    Nesting {
        objects: form.objects,
        lists: form.lists,
        separator,
    }
}

/// What is kept as a struct or a list orders no rows, and is held to nothing but being there.
fn review_kept(table: &Table, at: &Path, review: &mut Review<'_, '_>) {
    let kept: Vec<String> = table
        .columns
        .iter()
        .filter(|(_, column)| column.keep.is_some())
        .map(|(path, _)| table.column_name(path))
        .collect();
    let mut plain = |name: &String, at: Path| {
        review.require(!kept.contains(name), &at, || {
            format!("`{name}` is kept as a struct or a list, and one value is needed; name a column that has one")
        });
    };
    for (index, name) in table.key.iter().enumerate() {
        plain(name, at.field("key").index(index));
    }
    if let Some(order) = &table.order {
        plain(order, at.field("order"));
    }
    if let Some(Delete::Flag(flag)) = &table.delete {
        plain(flag, at.field("delete").field("flag"));
    }
    let of_values = |expectation: &Expectation| expectation.rule != Rule::NotNull;
    for (index, expectation) in table.expect.iter().enumerate() {
        if of_values(expectation) {
            plain(
                &expectation.column,
                at.field("expect").index(index).field("column"),
            );
        }
    }
}

/// Reports a name that a child table could have.
pub(super) fn no_child(name: &str, at: &Path, review: &mut Review<'_, '_>) {
    review.require(!name.contains("__"), &at.field("name"), || {
        "two underscores in a row tell a child table from its parent; write one".to_owned()
    });
}

/// How long earlier versions are kept.
pub(super) fn keep_versions(
    text: Option<DurationText>,
    at: &Path,
    review: &mut Review<'_, '_>,
) -> Duration {
    let kept = text.and_then(|text| {
        let kept = value::duration(&text.0, LEAST_KEPT, MOST_KEPT);
        review.accept(&at.field("keep_versions"), kept)
    });
    kept.unwrap_or_else(a_week)
}

/// The column that a record's field becomes.
fn column_of(
    field: &FieldPath,
    columns: &IndexMap<FieldPath, Column>,
    nesting: &Nesting,
) -> String {
    let declared = columns.get(field).and_then(|column| column.name.clone());
    declared.unwrap_or_else(|| nesting.column_name(field))
}

fn columns(
    forms: IndexMap<String, TextOr<TypeName, ColumnForm>>,
    nesting: &Nesting,
    at: &Path,
    review: &mut Review<'_, '_>,
) -> IndexMap<FieldPath, Column> {
    let mut columns = IndexMap::new();
    let mut names = BTreeSet::new();
    for (path, form) in forms {
        let at = at.field(&path);
        let (name, kind, kind_at) = match form {
            TextOr::Text(kind) => (None, Some(kind), at.clone()),
            TextOr::Full(form) => (form.name, form.kind, at.field("type")),
        };
        let field = review.accept(&at, value::field_path(&path));
        if let Some(name) = &name {
            review.accept(&at.field("name"), value::identifier(name));
        }
        let keep = kind.as_ref().and_then(|text| kept_as(&text.0));
        let kind = kind.filter(|_| keep.is_none());
        let kind = kind.and_then(|text| review.accept(&kind_at, column_type(&text.0)));
        let Some(field) = field else { continue };
        let becomes = name.clone().unwrap_or_else(|| nesting.column_name(&field));
        review.require(names.insert(becomes.clone()), &at, || {
            format!("two fields become the column `{becomes}`; give one of them another `name`")
        });
        columns.insert(field, Column { name, kind, keep });
    }
    columns
}

fn kept_as(text: &str) -> Option<Keep> {
    match text {
        "struct" => Some(Keep::Struct),
        "list" => Some(Keep::List),
        _ => None,
    }
}

fn column_type(text: &str) -> Result<ColumnType, String> {
    Ok(match text {
        "string" => ColumnType::String,
        "int" => ColumnType::Int,
        "double" => ColumnType::Double,
        "bool" => ColumnType::Bool,
        "date" => ColumnType::Date,
        "timestamp" => ColumnType::Timestamp,
        "timestamp_s" => ColumnType::TimestampS,
        "timestamp_ms" => ColumnType::TimestampMs,
        "json" => ColumnType::Json,
        _ => {
            let digits = text.strip_prefix("decimal(");
            match digits.and_then(|rest| rest.strip_suffix(')')) {
                Some(digits) => decimal(digits)?,
                None => return Err(no_such_type(text)),
            }
        }
    })
}

fn no_such_type(text: &str) -> String {
    let names = || TYPE_NAMES.into_iter().chain(["decimal(p,s)"]);
    match nearest(text, names()) {
        Some(meant) => format!("there is no such type; did you mean `{meant}`?"),
        None => format!("there is no such type; a column is {}", one_of(names())),
    }
}

fn decimal(digits: &str) -> Result<ColumnType, String> {
    let parsed = digits.split_once(',').and_then(|(precision, scale)| {
        Some((
            precision.trim().parse::<u8>().ok()?,
            scale.trim().parse::<u8>().ok()?,
        ))
    });
    match parsed {
        Some((precision @ 1..=38, scale)) if scale <= precision => Ok(ColumnType::Decimal {
            precision,
            scale: scale as i8,
        }),
        _ => Err("a decimal is written `decimal(10,2)`: up to 38 digits, and how many of them stand behind the point"
            .to_owned()),
    }
}
