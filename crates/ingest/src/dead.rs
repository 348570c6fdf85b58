//! Requests that failed for good: kept under `dead/`, and read from there by a run that sends them again.

use crate::checkpoint;
use futures::TryStreamExt;
use millrace_model::dead::DeadRequest;
use millrace_model::ledger::RunId;
use millrace_model::step::StepInput;
use millrace_model::{Failure, FailureName, keys};
use millrace_store::json;
use millrace_store::objects::{self, Objects};

/// Keeps a request that failed for good. `name` tells it from the run's others.
pub(crate) async fn bury(
    objects: &dyn Objects,
    input: &StepInput,
    name: &str,
    dead: &DeadRequest,
) -> Result<(), Failure> {
    let name = checkpoint::name_of(name);
    let key = keys::dead(&input.pipeline, &input.name, &input.run, &name);
    json::put(objects, &key, dead).await?;
    Ok(())
}

/// The requests that a run has given up and that are to be sent again, in a fixed order.
#[derive(Debug)]
pub(crate) struct Letters<'a> {
    objects: &'a dyn Objects,
    keys: Vec<String>,
}

impl<'a> Letters<'a> {
    /// What is there of a resource's requests in that run. Those with which it ended are none of them: the run failed, and
    /// the next one asks for all that it would have brought.
    pub(crate) async fn read(
        objects: &'a dyn Objects,
        input: &StepInput,
        run: &RunId,
    ) -> Result<Self, Failure> {
        let folder = keys::dead_requests(&input.pipeline, &input.name, run);
        let mut letters = Self {
            objects,
            keys: Vec::new(),
        };
        let mut entries = objects::all(objects, &folder);
        while let Some(entry) = entries.try_next().await? {
            if letters.get(&entry.key).await?.was_skipped {
                letters.keys.push(entry.key);
            }
        }
        Ok(letters)
    }

    pub(crate) fn count(&self) -> u64 {
        self.keys.len() as u64
    }

    /// The request of that number, if there is one.
    pub(crate) async fn at(&self, number: u64) -> Result<Option<DeadRequest>, Failure> {
        match usize::try_from(number)
            .ok()
            .and_then(|number| self.keys.get(number))
        {
            Some(key) => self.get(key).await.map(Some),
            None => Ok(None),
        }
    }

    async fn get(&self, key: &str) -> Result<DeadRequest, Failure> {
        json::get(self.objects, key).await?.ok_or_else(|| {
            let message =
                format!("`{key}` was listed and is gone; somebody else retries the same run");
            Failure::new(FailureName::Internal, message)
        })
    }

    /// Removes them, once what they ask for is there.
    pub(crate) async fn remove(&self) -> Result<(), Failure> {
        for key in &self.keys {
            self.objects.delete(key).await?;
        }
        Ok(())
    }
}
