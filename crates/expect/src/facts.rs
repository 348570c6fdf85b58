//! What is known of a run as a whole, and of those before it.

use jiff::Timestamp;
use millrace_lake::Table;
use millrace_model::Failure;
use millrace_model::definition::pipeline::{Expectation, Rule};
use millrace_model::moment::micros;
use serde_json::Value;
use std::collections::HashMap;

/// How many earlier runs one is compared with.
const RUNS_COMPARED: usize = 10;

/// What is known of a run as a whole, and of those before it.
#[derive(Debug)]
pub struct Facts {
    /// How many rows each run brought.
    pub brought: u64,
    /// How many each of the last ones did.
    pub past: Vec<u64>,
    /// When the run began, in microseconds since 1970.
    pub began: i64,
    /// The newest values that the table has of columns, in microseconds since 1970.
    pub newest: HashMap<String, i64>,
}

/// How many rows each of the last runs brought to a table, where one of its expectations asks for that.
pub async fn past(table: &Table, expectations: &[Expectation]) -> Result<Vec<u64>, Failure> {
    let counts = |expectation: &Expectation| matches!(&expectation.rule, Rule::Rows(count) if count.within.is_some());
    if !expectations.iter().any(counts) {
        return Ok(Vec::new());
    }
    let history = table.history(RUNS_COMPARED).await?;
    Ok(history.iter().filter_map(|entry| entry.brought).collect())
}

/// The newest values that a table has of columns that are held to their freshness, by its files' statistics.
pub fn newest(table: &Table, expectations: &[Expectation]) -> HashMap<String, i64> {
    let mut newest = HashMap::new();
    let fresh = |expectation: &&Expectation| matches!(expectation.rule, Rule::Freshness(_));
    if !expectations.iter().any(|expectation| fresh(&expectation)) {
        return newest;
    }
    for file in table.files() {
        let stats = file.stats.as_deref().map(serde_json::from_str::<Value>);
        let Some(Ok(stats)) = stats else { continue };
        for expectation in expectations.iter().filter(fresh) {
            let column = &expectation.column;
            let greatest = stats["maxValues"][column].as_str();
            if let Some(moment) = greatest.and_then(micros) {
                let known = newest.entry(column.clone()).or_insert(moment);
                *known = moment.max(*known);
            }
        }
    }
    newest
}

/// A moment in microseconds since 1970 as text.
pub(crate) fn moment(micros: i64) -> String {
    Timestamp::from_microsecond(micros).map_or_else(|_| micros.to_string(), |at| at.to_string())
}
