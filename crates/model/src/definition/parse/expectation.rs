//! Wire expectation → expectation.

use super::value;
use crate::definition::pipeline::{Expectation, Otherwise, RowCount, Rule, Table, WriteMode};
use crate::definition::problem::{Path, Review, nearest, one_of};
use crate::definition::record_schema::{self, RecordSchema};
use crate::definition::wire::expectation::{ExpectationForm, IsForm, RowCountForm};
use std::time::Duration;

/// The oldest that the newest value may be said to be.
const OLDEST: Duration = Duration::from_hours(24 * 366);

/// `earlier` are the tables that stand before the one with the expectation.
pub(super) fn validate(
    form: ExpectationForm,
    write: WriteMode,
    earlier: &[Table],
    at: &Path,
    review: &mut Review<'_, '_>,
) -> Option<Expectation> {
    let (column, otherwise) = (form.column.clone(), form.otherwise);
    let rule = rule(form, earlier, at, review)?;
    let of_a_column = !matches!(rule, Rule::Rows(_) | Rule::Schema(_));
    review.require(column.is_some() == of_a_column, at, || {
        if of_a_column {
            "it is expected of a column: name it as `column`".to_owned()
        } else {
            "that is expected of a whole record or run, and of no `column`".to_owned()
        }
    });
    if let Some(column) = &column {
        review.accept(&at.field("column"), value::identifier(column));
    }
    let quarantine = otherwise == Otherwise::Quarantine;
    let at = at.field("otherwise");
    review.require(!quarantine || !rule.is_of_the_run(), &at, || {
        "no single row breaks that, which could be kept out: `warn` or `fail`".to_owned()
    });
    let in_vain = quarantine && rule.is_joint() && write == WriteMode::History;
    review.require(!in_vain, &at, || {
        "a version of a `history` can be kept out by what it says alone, not by what other rows say: `warn` or `fail`"
            .to_owned()
    });
    Some(Expectation {
        column: column.unwrap_or_default(),
        rule,
        otherwise,
    })
}

fn rule(
    form: ExpectationForm,
    earlier: &[Table],
    at: &Path,
    review: &mut Review<'_, '_>,
) -> Option<Rule> {
    let mut rules: Vec<Option<Rule>> = Vec::new();
    if let Some(is) = form.is {
        rules.push(Some(match is {
            IsForm::Unique => Rule::Unique,
            IsForm::NotNull => Rule::NotNull,
        }));
    }
    if let Some((least, most)) = form.between {
        review.require(least <= most, &at.field("between"), || {
            "the first of the two is the lesser one".to_owned()
        });
        rules.push(Some(Rule::Between(least, most)));
    }
    if let Some(values) = form.one_of {
        rules.push(Some(in_values(values, at, review)));
    }
    if let Some(pattern) = form.matches {
        review.accept(&at.field("matches"), record_schema::pattern(&pattern));
        rules.push(Some(Rule::Matches(pattern)));
    }
    if let Some(text) = form.references {
        let reference = reference(&text, earlier);
        rules.push(review.accept(&at.field("references"), reference));
    }
    if let Some(age) = form.freshness {
        let age = value::duration(&age.0, Duration::from_secs(1), OLDEST);
        let age = review.accept(&at.field("freshness"), age);
        rules.push(age.map(Rule::Freshness));
    }
    if let Some(schema) = form.schema {
        rules.push(match RecordSchema::new(schema.0) {
            Ok(schema) => Some(Rule::Schema(schema)),
            Err(fault) => {
                let at = at.field("schema");
                let at = fault.at.iter().fold(at, |at, keyword| at.field(keyword));
                review.problem(&at, fault.what);
                None
            }
        });
    }
    if let Some(rows) = form.rows {
        rules.push(row_count(&rows, &at.field("rows"), review).map(Rule::Rows));
    }
    if rules.len() == 1 {
        return rules.pop().flatten();
    }
    review.problem(
        at,
        "an expectation says one thing: `is`, `between`, `in`, `matches`, `references` or `freshness` of its column, `schema` \
         of records, or `rows` of a run",
    );
    None
}

fn in_values(values: Vec<serde_json::Value>, at: &Path, review: &mut Review<'_, '_>) -> Rule {
    let plain =
        |value: &serde_json::Value| value.is_string() || value.is_number() || value.is_boolean();
    let sound = !values.is_empty() && values.iter().all(plain);
    review.require(sound, &at.field("in"), || {
        "what is allowed is a list of texts, numbers, `true` or `false`".to_owned()
    });
    Rule::In(values)
}

fn reference(text: &str, earlier: &[Table]) -> Result<Rule, String> {
    let (table, column) = text
        .split_once('.')
        .ok_or("a table and its column are wanted: `customers.id`")?;
    value::identifier(column)?;
    let names = || earlier.iter().map(|table| table.name.as_str());
    if names().any(|name| name == table) {
        return Ok(Rule::References {
            table: table.to_owned(),
            column: column.to_owned(),
        });
    }
    Err(match (nearest(table, names()), earlier.is_empty()) {
        (Some(meant), _) => {
            format!("there is no table `{table}` before this one; did you mean `{meant}`?")
        }
        (None, true) => format!("the table `{table}` has to stand before this one"),
        (None, false) => format!(
            "the table `{table}` has to stand before this one; those that do: {}",
            one_of(names())
        ),
    })
}

fn row_count(form: &RowCountForm, at: &Path, review: &mut Review<'_, '_>) -> Option<RowCount> {
    let within = match &form.within {
        None => None,
        Some(text) => Some(review.accept(&at.field("within"), percent(text))?),
    };
    let says = form.least.is_some() || form.most.is_some() || within.is_some();
    review.require(says, at, || {
        "`least`, `most` or `within` is wanted: `rows: { least: 1, within: 50% }`".to_owned()
    });
    let ordered = form
        .least
        .zip(form.most)
        .is_none_or(|(least, most)| least <= most);
    review.require(ordered, at, || "`least` is not more than `most`".to_owned());
    Some(RowCount {
        least: form.least,
        most: form.most,
        within,
    })
}

fn percent(text: &str) -> Result<f64, String> {
    let number = text
        .strip_suffix('%')
        .and_then(|number| number.trim().parse().ok());
    number
        .filter(|percent: &f64| percent.is_finite() && *percent > 0.0)
        .ok_or_else(|| "so many percent are written `50%`".to_owned())
}
