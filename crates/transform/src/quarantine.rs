//! What is kept out of a table while a step runs, and where it is put when it ends.

use crate::job::Source;
use millrace_expect::check_room;
use millrace_model::step::StepInput;
use millrace_model::{Failure, keys};
use millrace_store::objects::Objects;

/// What is kept out of a table, by the raw run that it came from.
#[derive(Debug, Default)]
pub(crate) struct Quarantine {
    parts: Vec<(u64, Vec<u8>)>,
    bytes: usize,
    table: String,
}

impl Quarantine {
    pub(crate) fn add(&mut self, table: &str, sequence: u64, lines: &[u8]) -> Result<(), Failure> {
        if lines.is_empty() {
            return Ok(());
        }
        table.clone_into(&mut self.table);
        self.bytes += lines.len();
        check_room(table, self.bytes)?;
        match self.parts.iter_mut().find(|(of, _)| *of == sequence) {
            Some((_, part)) => part.extend_from_slice(lines),
            None => self.parts.push((sequence, lines.to_vec())),
        }
        Ok(())
    }

    pub(crate) async fn put(
        mut self,
        objects: &dyn Objects,
        input: &StepInput,
        source: &Source,
    ) -> Result<(), Failure> {
        if let Source::Kept { key, others, .. } = source {
            let mut lines = others.clone();
            for (_, part) in &mut self.parts {
                lines.append(part);
            }
            if !lines.is_empty() {
                let key = keys::quarantine_again(key);
                objects.put(&key, lines.into()).await?;
            }
            return Ok(());
        }
        for (sequence, part) in self.parts {
            let key = keys::quarantine(&input.pipeline, &self.table, &input.run, sequence);
            objects.put(&key, part.into()).await?;
        }
        Ok(())
    }
}
