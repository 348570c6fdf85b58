//! Wire model → model. Its SELECT is read where all files are known (`set::models`).

use super::{expectation, table, value};
use crate::definition::model::Model;
use crate::definition::pipeline::{Concurrency, Expectation, Otherwise, Rule, Table, WriteMode};
use crate::definition::problem::{Path, Review};
use crate::definition::wire::expectation::ExpectationForm;
use crate::definition::wire::model::ModelForm;

/// The folder of the files that hold models' SELECTs.
const FOLDER: &str = "models";

/// `tables` are the pipeline's.
pub(super) fn validate(
    form: ModelForm,
    concurrency: Concurrency,
    tables: &[Table],
    at: &Path,
    review: &mut Review<'_, '_>,
) -> Model {
    review.accept(&at.field("name"), value::part_name(&form.name));
    table::no_child(&form.name, at, review);
    let is_taken = tables.iter().any(|table| table.name == form.name);
    review.require(!is_taken, &at.field("name"), || {
        format!(
            "a table is called `{}` already; take another name",
            form.name
        )
    });
    review.require(form.file.is_some() != form.query.is_some(), at, || {
        "a model has either a `file` with its SELECT or a `query`".to_owned()
    });
    let file = form.file.and_then(|name| {
        review.accept(&at.field("file"), file_name(&name))?;
        Some(format!("{FOLDER}/{name}"))
    });
    let write = form.write.unwrap_or(WriteMode::Replace);
    check_write(write, concurrency, &form.key, at, review);
    for (index, name) in form.key.iter().enumerate() {
        review.accept(&at.field("key").index(index), value::identifier(name));
    }
    let at = at.clone();
    let expect = expectations(form.expect, tables, &at.field("expect"), review);
    Model {
        name: form.name,
        file,
        sql: form.query.unwrap_or_default(),
        reads: Vec::new(),
        write,
        key: form.key,
        expect,
        keep_versions: table::keep_versions(form.keep_versions, &at, review),
    }
}

fn check_write(
    write: WriteMode,
    concurrency: Concurrency,
    key: &[String],
    at: &Path,
    review: &mut Review<'_, '_>,
) {
    let at = at.field("write");
    review.require(write != WriteMode::History, &at, || {
        "`history` is made of records, one after the other; a model is `replace`, `append` or `upsert`"
            .to_owned()
    });
    review.require(write != WriteMode::Upsert || !key.is_empty(), &at, || {
        "`upsert` needs to know which columns name a row: write `key: [id]`".to_owned()
    });
    let twice = write == WriteMode::Append && concurrency == Concurrency::Allow;
    review.require(!twice, &at, || {
        "`append` of a model does not go with `concurrency: allow`: of two runs at once, one that is tried again would \
         write its rows twice; write `upsert` or `replace`, or `concurrency: forbid` or `queue`"
            .to_owned()
    });
}

fn expectations(
    forms: Vec<ExpectationForm>,
    tables: &[Table],
    at: &Path,
    review: &mut Review<'_, '_>,
) -> Vec<Expectation> {
    let mut expectations = Vec::new();
    for (index, form) in forms.into_iter().enumerate() {
        let at = at.index(index);
        let found = expectation::validate(form, WriteMode::Replace, tables, &at, review);
        let Some(expectation) = found else { continue };
        let picks =
            expectation.rule == Rule::Unique && expectation.otherwise == Otherwise::Quarantine;
        review.require(!picks, &at.field("otherwise"), || {
            "an answer's rows have no order, so that chance would say which of those with one value is kept out: `fail` or \
             `warn`, or let the SELECT decide"
                .to_owned()
        });
        expectations.push(expectation);
    }
    expectations
}

fn file_name(name: &str) -> Result<(), String> {
    let malformed = || {
        Err(
            "a file is named as in `models/`, without the folder: of `a-z`, `0-9`, `_` and `-`, a letter first, with `.sql` \
             at the end"
                .to_owned(),
        )
    };
    let Some(stem) = name.strip_suffix(".sql") else {
        return malformed();
    };
    let plain = |letter: u8| {
        letter.is_ascii_lowercase() || letter.is_ascii_digit() || b"_-".contains(&letter)
    };
    if stem.starts_with(|first: char| first.is_ascii_lowercase()) && stem.bytes().all(plain) {
        Ok(())
    } else {
        malformed()
    }
}
