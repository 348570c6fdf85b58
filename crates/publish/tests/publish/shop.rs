//! A pipeline of one table, `orders`, in a lake of its own: what there is to publish.

use arrow::array::RecordBatch;
use millrace_lake::{Commit, Lake, Table, WriteKind};
use millrace_model::definition::endpoint::Endpoint;
use millrace_model::definition::{Pinned, parse};
use millrace_model::ledger::RunId;
use millrace_model::step::StepInput;
use millrace_store::definitions;
use millrace_store::objects::{Folder, Objects};
use std::sync::Arc;
use tempfile::TempDir;

/// Where the table lies.
pub const KEY: &str = "tables/shop/orders";

pub struct Shop {
    pub objects: Arc<dyn Objects>,
    pub lake: Lake,
    sequence: u64,
    _dir: TempDir,
}

impl Shop {
    /// Without a table yet.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self {
            objects: Arc::new(Folder::new(dir.path())),
            lake: Lake::at(dir.path().to_str().unwrap()).unwrap(),
            sequence: 0,
            _dir: dir,
        }
    }

    /// The names of the table's files.
    pub async fn files(&self) -> Vec<String> {
        let table = self.lake.table(KEY).await.unwrap();
        let files = table.as_ref().map_or_else(Vec::new, Table::files);
        files.into_iter().map(|file| file.path).collect()
    }

    /// Writes rows; `Replace` puts them in the place of all that are there.
    pub async fn write(&mut self, kind: WriteKind, batch: &RecordBatch) {
        let gone = match kind {
            WriteKind::Replace => self.files().await,
            _ => Vec::new(),
        };
        self.commit(kind, batch, &gone).await;
    }

    /// Commits a file of these rows in the place of the files of those names, and says what it is called.
    pub async fn commit(
        &mut self,
        kind: WriteKind,
        batch: &RecordBatch,
        removed: &[String],
    ) -> String {
        self.sequence += 1;
        let mut writer = self.lake.writer(KEY, batch.schema());
        writer.write(batch).await.unwrap();
        let added = writer.finish().await.unwrap();
        let path = added.first().map(|file| file.path.clone());
        let table = self.lake.table(KEY).await.unwrap();
        let mut gone = table.as_ref().map_or_else(Vec::new, Table::files);
        gone.retain(|file| removed.contains(&file.path));
        let commit = Commit {
            kind,
            added,
            removed: gone,
            schema: batch.schema(),
            sequence: self.sequence,
            brought: None,
            note: None,
        };
        match table {
            Some(table) => table.commit(commit).await.map(drop).unwrap(),
            None => self.lake.create(KEY, commit).await.map(drop).unwrap(),
        }
        path.unwrap_or_default()
    }

    /// The input of a publish of that name, with these definitions.
    pub async fn input(&self, name: &str, pipeline: &str, endpoints: Vec<Endpoint>) -> StepInput {
        let pinned = Pinned {
            pipeline: parse::pipeline("pipelines/shop.yaml", pipeline).unwrap(),
            connections: Vec::new(),
            endpoints,
            mode: millrace_model::mode::RunMode::default(),
        };
        let definition = definitions::pin(&*self.objects, &pinned).await.unwrap();
        StepInput {
            run: RunId::new("shop", 1_800_000_000, 7),
            pipeline: "shop".to_owned(),
            definition,
            name: name.to_owned(),
            invocation: 0,
        }
    }
}
