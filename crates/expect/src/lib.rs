//! What a table is held to: its expectations, checked batch by batch, whoever makes the rows.

mod facts;
mod quarantine;
mod reference;
mod rules;

pub use self::facts::{Facts, newest, past};
pub use self::quarantine::check_room;
pub use self::reference::{Reference, settle};

use self::facts::moment;
use arrow::array::{BooleanArray, RecordBatch};
use millrace_lake::KeySet;
use millrace_model::definition::pipeline::{Expectation, Otherwise, RowCount, Rule};
use millrace_model::definition::record_schema::{Patterns, pattern};
use millrace_model::step::Finding;
use millrace_model::{Failure, FailureName};
use serde_json::Value;
use std::time::Duration;

/// How many earlier runs have to be known before a run is held against them.
const RUNS_TO_COMPARE: usize = 3;

/// A table's expectations, with what they remember from batch to batch.
#[derive(Debug)]
pub struct Expectations {
    table: String,
    all: Vec<Held>,
}

/// An expectation, and what it remembers.
#[derive(Debug)]
struct Held {
    expectation: Expectation,
    memory: Memory,
    /// How many rows broke it.
    broken: u64,
}

#[derive(Debug)]
enum Memory {
    Nothing,
    /// The values so far.
    Seen(KeySet),
    /// The regular expression.
    Pattern(regex_lite::Regex),
    /// The regular expressions of a schema.
    Patterns(Patterns),
    /// The values that another table has to have.
    Reference(Reference),
    /// The newest value, in microseconds since 1970.
    Newest(Option<i64>),
}

/// A row that breaks an expectation.
#[derive(Debug)]
pub struct Breach {
    /// Its number in the batch.
    pub row: usize,
    /// The column that the expectation is about; empty where it is about the record.
    pub column: String,
    /// Why, in words.
    pub reason: String,
    /// What becomes of it.
    pub otherwise: Otherwise,
}

/// Which expectations are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checks {
    /// All.
    All,
    /// Those that look at a row by itself: before it is known which of several rows with one key stays.
    Alone,
    /// Those that hold a row against others: once that is known.
    Together,
}

impl Checks {
    fn include(self, rule: &Rule) -> bool {
        match self {
            Self::All => true,
            Self::Alone => !rule.is_joint(),
            Self::Together => rule.is_joint(),
        }
    }
}

impl Expectations {
    /// The expectations of a table.
    pub fn new(table: &str, all: &[Expectation]) -> Self {
        let held = |expectation: &Expectation| Held {
            memory: memory(&expectation.rule),
            expectation: expectation.clone(),
            broken: 0,
        };
        Self {
            table: table.to_owned(),
            all: all.iter().map(held).collect(),
        }
    }

    /// Begins anew; what is known of other tables stays.
    pub fn begin(&mut self) {
        for held in &mut self.all {
            held.broken = 0;
            if !matches!(held.memory, Memory::Reference(_)) {
                held.memory = memory(&held.expectation.rule);
            }
        }
    }

    /// Whether values have to be gathered before rows are checked.
    pub fn have_references(&self) -> bool {
        self.all
            .iter()
            .any(|held| matches!(held.memory, Memory::Reference(_)))
    }

    /// Whether records are held to a schema.
    pub fn have_schemas(&self) -> bool {
        self.all
            .iter()
            .any(|held| matches!(held.memory, Memory::Patterns(_)))
    }

    /// Gathers the values that other tables have to have.
    pub fn gather(&mut self, batch: &RecordBatch) -> Result<(), Failure> {
        for held in &mut self.all {
            if let Memory::Reference(reference) = &mut held.memory
                && let Some(column) = batch.column_by_name(&held.expectation.column)
            {
                reference.gather(column)?;
            }
        }
        Ok(())
    }

    /// The references whose values are gathered, each with its column's name.
    pub fn references(&mut self) -> impl Iterator<Item = (&str, &mut Reference)> {
        self.all
            .iter_mut()
            .filter_map(|held| match &mut held.memory {
                Memory::Reference(reference) => Some((held.expectation.column.as_str(), reference)),
                _ => None,
            })
    }

    /// The breaches in a batch of which only the rows of the mask count, in the order of the expectations.
    pub fn check(
        &mut self,
        batch: &RecordBatch,
        rows: &BooleanArray,
        checks: Checks,
    ) -> Result<Vec<Breach>, Failure> {
        let mut breaches = Vec::new();
        for held in &mut self.all {
            let expectation = &held.expectation;
            if !checks.include(&expectation.rule) {
                continue;
            }
            let of_a_column = !matches!(expectation.rule, Rule::Schema(_) | Rule::Rows(_));
            let column = batch.column_by_name(&expectation.column);
            let broken = match (column, &mut held.memory) {
                (Some(column), Memory::Newest(so_far)) => {
                    *so_far = (*so_far).max(rules::newest(&self.table, expectation, column, rows)?);
                    continue;
                }
                (Some(column), memory) if of_a_column => {
                    rules::broken(&self.table, expectation, column, rows, memory)?
                }
                (None, _) if expectation.rule == Rule::NotNull => vec![true; batch.num_rows()],
                _ => continue,
            };
            let found = (0..rows.len()).filter(|row| broken[*row] && rows.value(*row));
            let before = breaches.len();
            breaches.extend(found.map(|row| Breach {
                row,
                column: expectation.column.clone(),
                reason: rules::reason(expectation),
                otherwise: expectation.otherwise,
            }));
            held.broken += (breaches.len() - before) as u64;
        }
        Ok(breaches)
    }

    /// The breaches of schemas in records, of which only the rows of the mask count.
    pub fn check_records<'r>(
        &mut self,
        records: impl Iterator<Item = &'r str>,
        rows: &BooleanArray,
    ) -> Vec<Breach> {
        let mut breaches = Vec::new();
        for (row, text) in records.enumerate().filter(|(row, _)| rows.value(*row)) {
            let Ok(record) = serde_json::from_str::<Value>(text) else {
                continue;
            };
            for held in &mut self.all {
                let (Rule::Schema(schema), Memory::Patterns(patterns)) =
                    (&held.expectation.rule, &held.memory)
                else {
                    continue;
                };
                if let Some((column, reason)) = schema.broken_by(&record, patterns) {
                    held.broken += 1;
                    breaches.push(Breach {
                        row,
                        column,
                        reason,
                        otherwise: held.expectation.otherwise,
                    });
                }
            }
        }
        breaches
    }

    /// Holds the run as a whole to what is expected of it; fails where that is said to matter.
    pub fn judge(&mut self, facts: &Facts) -> Result<(), Failure> {
        for held in &mut self.all {
            let expectation = &held.expectation;
            let found = match (&expectation.rule, &held.memory) {
                (Rule::Rows(count), _) => miscount(count, facts),
                (Rule::Freshness(age), Memory::Newest(newest)) => {
                    let there = facts.newest.get(&expectation.column).copied();
                    stale((*newest).max(there), *age, facts.began)
                }
                _ => None,
            };
            let Some(found) = found else { continue };
            held.broken = 1;
            if expectation.otherwise == Otherwise::Fail {
                return Err(Failure::new(
                    FailureName::BadData,
                    format!(
                        "what is expected of a run of `{}` does not hold ({expectation}): {found}. Nothing was written; look \
                         at the source, or let the expectation say `otherwise: warn`",
                        self.table
                    ),
                ));
            }
        }
        Ok(())
    }

    /// How often each of them did not hold.
    pub fn findings(&self) -> impl Iterator<Item = Finding> {
        self.all.iter().map(|held| Finding::Expectation {
            table: self.table.clone(),
            expectation: held.expectation.to_string(),
            broken: held.broken,
            otherwise: held.expectation.otherwise,
        })
    }
}

fn memory(rule: &Rule) -> Memory {
    match rule {
        // A pattern that is none was refused when it was declared.
        Rule::Matches(text) => pattern(text).map_or(Memory::Nothing, Memory::Pattern),
        Rule::Schema(schema) => Memory::Patterns(schema.patterns()),
        Rule::References { table, column } => Memory::Reference(Reference::new(table, column)),
        Rule::Freshness(_) => Memory::Newest(None),
        _ => Memory::Nothing,
    }
}

/// What is wrong with a run's number of rows.
fn miscount(count: &RowCount, facts: &Facts) -> Option<String> {
    let brought = facts.brought;
    let too_few = count.least.is_some_and(|least| brought < least);
    let too_many = count.most.is_some_and(|most| brought > most);
    if too_few || too_many {
        return Some(format!("it brought {brought} rows"));
    }
    let percent = count.within?;
    if facts.past.len() < RUNS_TO_COMPARE {
        return None;
    }
    let mean = facts.past.iter().sum::<u64>() as f64 / facts.past.len() as f64;
    let far = (brought as f64 - mean).abs() > mean * percent / 100.0;
    far.then(|| {
        format!(
            "it brought {brought} rows, and the last {} runs {mean:.1} on average",
            facts.past.len()
        )
    })
}

/// What is wrong with the age of the newest value.
fn stale(newest: Option<i64>, age: Duration, began: i64) -> Option<String> {
    let Some(newest) = newest else {
        return Some("there is no value".to_owned());
    };
    let oldest = began.saturating_sub(i64::try_from(age.as_micros()).unwrap_or(i64::MAX));
    (newest < oldest).then(|| format!("the newest value is {}", moment(newest)))
}

fn internal(error: &arrow::error::ArrowError) -> Failure {
    Failure::new(
        FailureName::Internal,
        format!("rows could not be checked: {error}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn facts(brought: u64, past: &[u64]) -> Facts {
        Facts {
            brought,
            past: past.to_vec(),
            began: 0,
            newest: HashMap::new(),
        }
    }

    #[test]
    fn rows_are_counted_against_bounds_and_against_earlier_runs() {
        let count = RowCount {
            least: Some(10),
            most: Some(200),
            within: Some(50.0),
        };
        let wrong = |brought, past: &[u64]| miscount(&count, &facts(brought, past)).is_some();
        assert!(wrong(9, &[]) && wrong(201, &[]));
        assert!(!wrong(199, &[100, 100]), "two runs are too few");
        assert!(wrong(151, &[100, 100, 100]) && wrong(49, &[100, 100, 100]));
        assert!(!wrong(150, &[100, 100, 100]) && !wrong(50, &[90, 110, 100]));
    }

    #[test]
    fn the_newest_value_may_be_so_old() {
        let hour = Duration::from_hours(1);
        let began = 7_200_000_000;
        assert_eq!(stale(Some(3_600_000_000), hour, began), None);
        assert!(stale(Some(3_599_999_999), hour, began).is_some());
        assert!(stale(None, hour, began).is_some());
    }
}
