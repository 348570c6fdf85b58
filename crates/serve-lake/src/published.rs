//! What pipelines publish to the lake, as their definitions say it.

use millrace_model::definition::{Datasource, Pipeline, parse};
use millrace_model::keys;
use millrace_store::definitions;
use millrace_store::objects::{Error, Objects, Version};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// How old the last look at the definitions may be.
const FRESH: Duration = Duration::from_secs(10);

/// A table that routes may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its key in the lake.
    pub table: String,
    /// The columns that name a row; empty where none are known to.
    pub key: Vec<String>,
    /// The columns that hold JSON.
    pub json: Vec<String>,
}

/// Targets by the `schema.table` under which routes read them.
pub type Targets = BTreeMap<String, Target>;

/// What is published, read again when the last look is too old.
#[derive(Debug)]
pub struct Published {
    objects: Arc<dyn Objects>,
    looked: Mutex<Looked>,
}

#[derive(Debug, Default)]
struct Looked {
    at: Option<Instant>,
    /// By the files' keys.
    files: BTreeMap<String, (Version, Targets)>,
    all: Arc<Targets>,
}

impl Published {
    /// What the definitions in these objects say. Nothing is read yet.
    pub fn new(objects: Arc<dyn Objects>) -> Self {
        Self {
            objects,
            looked: Mutex::default(),
        }
    }

    /// All targets; at most ten seconds old, unless the definitions cannot be read: then those that were read last. An error
    /// where they never could.
    pub async fn targets(&self) -> Result<Arc<Targets>, Error> {
        let mut looked = self.looked.lock().await;
        if looked.at.is_some_and(|at| at.elapsed() < FRESH) {
            return Ok(looked.all.clone());
        }
        match self.look(&looked.files).await {
            Ok(files) => {
                let targets = files.values().flat_map(|(_, targets)| targets.clone());
                looked.all = Arc::new(targets.collect());
                looked.files = files;
            }
            Err(error) if looked.at.is_none() => return Err(error),
            Err(error) => tracing::error!(%error, "the pipelines' definitions were not read again"),
        }
        looked.at = Some(Instant::now());
        Ok(looked.all.clone())
    }

    async fn look(
        &self,
        known: &BTreeMap<String, (Version, Targets)>,
    ) -> Result<BTreeMap<String, (Version, Targets)>, Error> {
        let mut files = BTreeMap::new();
        for (key, version) in definitions::versions(&*self.objects, "pipeline").await? {
            let before = known.get(&key);
            if let Some(same) = before.filter(|(known, _)| *known == version) {
                files.insert(key, same.clone());
                continue;
            }
            // Between the list and the look it may have gone.
            let Some(object) = self.objects.get(&key).await? else {
                continue;
            };
            let text = String::from_utf8_lossy(&object.bytes);
            let targets = match parse::pipeline(&key, &text) {
                Ok(pipeline) => targets(&pipeline),
                // What it was before stays; where that is not known, its routes say that nothing is published yet.
                Err(problems) => {
                    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
                    let problems = problems.join("; ");
                    tracing::error!(definition = key, problems, "the definition is broken");
                    before
                        .map(|(_, targets)| targets.clone())
                        .unwrap_or_default()
                }
            };
            files.insert(key, (object.version, targets));
        }
        Ok(files)
    }
}

fn targets(pipeline: &Pipeline) -> Targets {
    let target = |publish: &millrace_model::definition::pipeline::Publish| {
        let rows = pipeline.rows(&publish.table)?;
        let target = Target {
            table: keys::table(&pipeline.name, &publish.table),
            key: rows.key,
            json: rows.json,
        };
        Some((publish.target(), target))
    };
    let published = pipeline.published_to(Datasource::Lake);
    published.filter_map(target).collect()
}
