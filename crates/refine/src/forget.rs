//! The erasure of a key from what models made of tables that had it.

use crate::make::{Make, Occasion};
use crate::{Refine, outside_of_runs};
use futures::TryStreamExt;
use millrace_engine::Engine;
use millrace_lake::{ForgottenKey, until_committed};
use millrace_model::definition::pipeline::{Model, Otherwise, Pipeline, TableName, WriteMode};
use millrace_model::step::{Counts, Deadline, Finding, Unobserved};
use millrace_model::{Failure, FailureName, keys};
use millrace_store::objects;

/// What was erased of models.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForgottenModels {
    /// `models`, `rows`, `objects_removed`, `quarantined`, `versions_removed`.
    pub counts: Counts,
    /// The models that are what they were, and of whose rows nothing tells whether they are of the key: rows that were
    /// appended or merged without the key's columns, or a table that is read and is not there.
    pub kept: Vec<TableName>,
}

impl Refine {
    /// Erases a key from those models, each of which stands behind those that it reads, once it is erased from the tables
    /// that they read: a model that is replaced by each run is made anew, of one that is appended or merged the rows go whose
    /// columns of these names have the key. Earlier versions are removed, and all that was ever kept out of them.
    ///
    /// No run of their pipelines may be under way. What ends too early is done by another call.
    pub async fn forget(
        &self,
        models: &[(&Pipeline, &Model)],
        key: &ForgottenKey,
    ) -> Result<ForgottenModels, Failure> {
        let engine = self.engine()?;
        let mut forgotten = ForgottenModels::default();
        for (pipeline, model) in models {
            let at = keys::table(&pipeline.name, &model.name);
            if self.lake.table(&at).await?.is_none() {
                continue;
            }
            let is_clean = match model.write {
                WriteMode::Replace => self.renew(&engine, pipeline, model, &mut forgotten).await?,
                _ => self.erase(&at, key, &mut forgotten).await?,
            };
            if is_clean {
                forgotten.count("models", 1);
            } else {
                forgotten.kept.push(TableName {
                    pipeline: pipeline.name.clone(),
                    table: model.name.clone(),
                });
            }
            self.empty_quarantine(pipeline, model, &mut forgotten)
                .await?;
        }
        // Last, because all that was done so far left versions of its own.
        for (pipeline, model) in models {
            let table = format!("{}/", keys::table(&pipeline.name, &model.name));
            for prefix in [table, keys::quarantines(&pipeline.name, &model.name)] {
                let versions = self.objects.forget_earlier(&prefix).await?;
                forgotten.count("versions_removed", versions);
            }
        }
        Ok(forgotten)
    }

    /// Makes a model anew, and removes all that it was; says whether that came about.
    async fn renew(
        &self,
        engine: &Engine,
        pipeline: &Pipeline,
        model: &Model,
        forgotten: &mut ForgottenModels,
    ) -> Result<bool, Failure> {
        let mut model = model.clone();
        // What breaks an expectation now is for the next run to tell; the erasure does not wait for it.
        for held in &mut model.expect {
            if held.otherwise == Otherwise::Fail {
                held.otherwise = Otherwise::Warn;
            }
        }
        let at = keys::table(&pipeline.name, &model.name);
        let input = outside_of_runs(&pipeline.name, &model.name);
        let make = Make {
            objects: &*self.objects,
            lake: &self.lake,
            engine,
            input: &input,
            model: &model,
            occasion: Occasion::Erasure,
            deadline: Deadline::NONE,
            observer: &Unobserved,
        };
        let outcome = until_committed(&model.name, || make.attempt()).await?;
        let is_made = |finding: &Finding| !matches!(finding, Finding::NotMade { .. });
        if !outcome.findings.iter().all(is_made) {
            return Ok(false);
        }
        if let Some(table) = self.lake.table(&at).await? {
            forgotten.count("objects_removed", table.purge().await?);
        }
        Ok(true)
    }

    /// Removes the rows of the key, and all earlier versions; says whether the rows tell their key.
    async fn erase(
        &self,
        at: &str,
        key: &ForgottenKey,
        forgotten: &mut ForgottenModels,
    ) -> Result<bool, Failure> {
        let columns: Vec<String> = key.keys().cloned().collect();
        let values: Vec<&str> = key.values().map(String::as_str).collect();
        let erased = until_committed(at, || self.lake.erase(at, &columns, &values)).await;
        match erased {
            Ok(Some(erased)) => {
                forgotten.count("rows", erased.rows);
                forgotten.count("objects_removed", erased.objects);
                Ok(true)
            }
            Ok(None) => Ok(false),
            // A column of another type has the key's name only by chance.
            Err(failure) if failure.name == FailureName::BadDefinition => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// Removes all that was kept out of a model: under which names it tells of the key, nobody knows.
    async fn empty_quarantine(
        &self,
        pipeline: &Pipeline,
        model: &Model,
        forgotten: &mut ForgottenModels,
    ) -> Result<(), Failure> {
        let prefix = keys::quarantines(&pipeline.name, &model.name);
        let mut entries = objects::all(&*self.objects, &prefix);
        while let Some(entry) = entries.try_next().await? {
            self.objects.delete(&entry.key).await?;
            forgotten.count("quarantined", 1);
        }
        Ok(())
    }
}

impl ForgottenModels {
    fn count(&mut self, name: &str, more: u64) {
        if more > 0 {
            *self.counts.entry(name.to_owned()).or_default() += more;
        }
    }
}
