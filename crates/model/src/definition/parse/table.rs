//! Wire table → table.

use super::{expectation, value};
use crate::definition::FieldPath;
use crate::definition::pipeline::{
    Column, ColumnType, Contract, Delete, Resource, Table, WriteMode, a_week,
};
use crate::definition::problem::{Path, Review, nearest, one_of};
use crate::definition::wire::form::TextOr;
use crate::definition::wire::pipeline::{ColumnForm, DeleteForm, TYPE_NAMES, TableForm, TypeName};
use indexmap::IndexMap;
use std::collections::BTreeSet;
use std::time::Duration;

/// The shortest time for which versions of a table are kept: whoever reads one has to come to its end.
const LEAST_KEPT: Duration = Duration::from_hours(1);
/// The longest: Delta's log is kept for 30 days.
const MOST_KEPT: Duration = Duration::from_hours(30 * 24);

pub(super) fn validate(
    form: TableForm,
    source: Option<&Resource>,
    earlier: &[Table],
    at: &Path,
    review: &mut Review<'_, '_>,
) -> Table {
    review.accept(&at.field("name"), value::part_name(&form.name));
    review.require(!form.name.contains("__"), &at.field("name"), || {
        "two underscores in a row tell a child table from its parent; write one".to_owned()
    });
    let columns = columns(form.columns, &at.field("columns"), review);

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
            .map(|field| column_of(field, &columns))
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
            column.name.clone().unwrap_or_else(|| path.column_name()) == name
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
    let keep_versions = form.keep_versions.and_then(|text| {
        let kept = value::duration(&text.0, LEAST_KEPT, MOST_KEPT);
        review.accept(&at.field("keep_versions"), kept)
    });
    Table {
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
        columns,
        expect,
        keep_versions: keep_versions.unwrap_or_else(a_week),
    }
}

/// The column that a record's field becomes.
fn column_of(field: &FieldPath, columns: &IndexMap<FieldPath, Column>) -> String {
    let declared = columns.get(field).and_then(|column| column.name.clone());
    declared.unwrap_or_else(|| field.column_name())
}

fn columns(
    forms: IndexMap<String, TextOr<TypeName, ColumnForm>>,
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
        let kind = kind.and_then(|text| review.accept(&kind_at, column_type(&text.0)));
        let Some(field) = field else { continue };
        let becomes = name.clone().unwrap_or_else(|| field.column_name());
        review.require(names.insert(becomes.clone()), &at, || {
            format!("two fields become the column `{becomes}`; give one of them another `name`")
        });
        columns.insert(field, Column { name, kind });
    }
    columns
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
