//! Rows that were kept out of a model's table while a step makes it, and where they are put.

use crate::record::records;
use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use millrace_expect::{Breach, check_room};
use millrace_model::definition::pipeline::{Model, Otherwise};
use millrace_model::step::StepInput;
use millrace_model::{Failure, keys};
use millrace_store::objects::Objects;
use serde_json::json;

/// A model has one part in a run.
const PART: u64 = 0;

/// What is kept out of a model's table in a run.
#[derive(Debug, Default)]
pub(crate) struct Quarantine {
    lines: Vec<u8>,
    rows: u64,
}

impl Quarantine {
    /// How many rows there are.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// Takes rows, each with the breach for which it is kept out.
    pub(crate) fn add(
        &mut self,
        model: &Model,
        rows: &RecordBatch,
        breaches: &[&Breach],
    ) -> Result<(), Failure> {
        let records = records(rows).map_err(|error| internal(&error))?;
        for (record, breach) in records.iter().zip(breaches) {
            let line = json!({ "reason": breach.reason, "column": breach.column }).to_string();
            // Verbatim, so that no digit of a number is lost.
            let line = format!("{},\"record\":{record}}}\n", &line[..line.len() - 1]);
            self.lines.extend_from_slice(line.as_bytes());
            check_room(&model.name, self.lines.len())?;
        }
        self.rows += breaches.len() as u64;
        Ok(())
    }

    /// Puts them where a person finds them, in the place of what an attempt of the same run put there that ended too early.
    pub(crate) async fn put(
        self,
        objects: &dyn Objects,
        input: &StepInput,
        model: &Model,
    ) -> Result<(), Failure> {
        let mut all = model.expect.iter();
        if !all.any(|held| held.otherwise == Otherwise::Quarantine) {
            return Ok(());
        }
        let key = keys::quarantine(&input.pipeline, &model.name, &input.run, PART);
        if !self.lines.is_empty() || objects.get(&key).await?.is_some() {
            objects.put(&key, self.lines.into()).await?;
        }
        Ok(())
    }
}

fn internal(error: &ArrowError) -> Failure {
    Failure::new(
        millrace_model::FailureName::Internal,
        format!("a model's rows could not be kept out: {error}"),
    )
}
