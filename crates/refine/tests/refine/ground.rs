//! A lake in a folder, with tables as transform leaves them, and a step to run.

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::util::display::array_value_to_string;
use futures::TryStreamExt;
use millrace_lake::{Commit, Lake, Table, WriteKind};
use millrace_model::definition::pipeline::TableName;
use millrace_model::definition::set::DefinitionSet;
use millrace_model::ledger::RunId;
use millrace_model::step::{Deadline, StepInput, StepOutput, Unobserved};
use millrace_model::{Failure, keys};
use millrace_refine::{ForgottenKey, ForgottenModels, Limits, Refine};
use millrace_store::definitions;
use millrace_store::objects::{Folder, Objects};
use serde_json::Value;
use std::sync::Arc;
use tempfile::TempDir;

const CONNECTION: &str = "connection: shop\nbase_url: https://shop.example/api\nauth: none\n";
const PIPELINE: &str = "pipeline: shop\nresources:\n  - { name: orders, connection: shop, path: /orders, key: [id] }\ntables:\n  \
                        - { name: orders, from: orders, write: upsert }\n  - { name: customers, from: orders, write: replace \
                        }\nmodels:\n";
const CRM: &str = "pipeline: crm-eu\nresources:\n  - { name: people, connection: shop, path: /people, key: [id] }\ntables:\n  - { \
                   name: people, from: people, write: upsert }\n";
const MEBIBYTE: usize = 1024 * 1024;

pub struct Ground {
    folder: TempDir,
    pub lake: Lake,
    pub objects: Arc<dyn Objects>,
    refine: Refine,
}

impl Ground {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::at(folder.path().join("lake").to_str().unwrap()).unwrap();
        let objects: Arc<dyn Objects> = Arc::new(Folder::new(folder.path().join("lake")));
        let limits = Limits {
            memory: 64 * MEBIBYTE,
            spill: folder.path().join("spill"),
            spill_bytes: 256 * MEBIBYTE as u64,
            threads: 2,
        };
        Self {
            refine: Refine::new(objects.clone(), lake.clone(), limits),
            folder,
            lake,
            objects,
        }
    }

    /// Puts those rows in the place of a table's.
    pub async fn table(&self, name: &str, rows: &[(i64, &str, i64)]) {
        self.table_of("shop", name, rows).await;
    }

    /// The same for a table of any pipeline.
    pub async fn table_of(&self, pipeline: &str, name: &str, rows: &[(i64, &str, i64)]) {
        let key = keys::table(pipeline, name);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0))),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.1))),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.2))),
        ];
        let schema = Arc::new(Schema::new(vec![
            Field::new("id", DataType::Int64, true),
            Field::new("name", DataType::Utf8, true),
            Field::new("total", DataType::Int64, true),
        ]));
        let batch = RecordBatch::try_new(schema.clone(), columns).unwrap();
        let mut writer = self.lake.writer(&key, schema.clone());
        writer.write(&batch).await.unwrap();
        let there = self.lake.table(&key).await.unwrap();
        let commit = Commit {
            kind: WriteKind::Replace,
            added: writer.finish().await.unwrap(),
            removed: there.as_ref().map(Table::files).unwrap_or_default(),
            schema,
            sequence: 1,
            brought: None,
            note: None,
        };
        match there {
            None => drop(self.lake.create(&key, commit).await.unwrap()),
            Some(there) => drop(there.commit(commit).await.unwrap()),
        }
    }

    /// The version of the pinned definition of those models.
    pub async fn define(&self, models: &str) -> String {
        let pinned = set(models).pin("shop").unwrap();
        definitions::pin(&*self.objects, &pinned).await.unwrap()
    }

    /// Erases an `id` of `orders` from those models.
    pub async fn forget(&self, models: &str, id: &str) -> Result<ForgottenModels, Failure> {
        let set = set(models);
        let orders = TableName {
            pipeline: "shop".to_owned(),
            table: "orders".to_owned(),
        };
        let key = ForgottenKey::from([("id".to_owned(), id.to_owned())]);
        self.refine.forget(&set.models_of([orders]), &key).await
    }

    /// Makes a model in the run of that number.
    pub async fn make(
        &self,
        definition: &str,
        run: u32,
        model: &str,
    ) -> Result<StepOutput, Failure> {
        self.step(&input(definition, run, model), Deadline::NONE)
            .await
    }

    /// The step, by that deadline.
    pub async fn step(&self, input: &StepInput, deadline: Deadline) -> Result<StepOutput, Failure> {
        self.refine.run(input, deadline, &Unobserved).await
    }

    /// Where what a run keeps out of a model lies.
    pub fn quarantine(run: u32, model: &str) -> String {
        keys::quarantine("shop", model, &input("", run, model).run, 0)
    }

    /// What a run kept out of a model: reason, column and record of each row; none where there is no object.
    pub async fn quarantined(&self, run: u32, model: &str) -> Option<Vec<String>> {
        let object = self.objects.get(&Self::quarantine(run, model)).await;
        let bytes = object.unwrap()?.bytes;
        let lines = std::str::from_utf8(&bytes).unwrap().lines();
        let lines = lines.map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            let text = |name: &str| line[name].as_str().unwrap().to_owned();
            format!("{}: {}: {}", text("column"), text("reason"), line["record"])
        });
        let mut lines: Vec<String> = lines.collect();
        lines.sort();
        Some(lines)
    }

    /// The version of a model's table; none where there is none.
    pub async fn version(&self, name: &str) -> Option<u64> {
        let table = self.lake.table(&keys::table("shop", name)).await.unwrap();
        table.map(|table| table.version())
    }

    /// The rows of a model's table, each as text, sorted.
    pub async fn rows(&self, name: &str) -> Vec<String> {
        let table = self.lake.table(&keys::table("shop", name)).await.unwrap();
        let batches: Vec<RecordBatch> = table.unwrap().scan().stream().try_collect().await.unwrap();
        let mut rows = Vec::new();
        for batch in &batches {
            for row in 0..batch.num_rows() {
                let values = batch.columns().iter();
                let values = values.map(|column| array_value_to_string(column, row).unwrap());
                rows.push(values.collect::<Vec<_>>().join(" "));
            }
        }
        rows.sort();
        rows
    }

    /// How many files lie in the folder of a model's table, named by a commit or not.
    pub fn files(&self, name: &str) -> usize {
        let folder = self.folder.path().join("lake/tables/shop").join(name);
        std::fs::read_dir(folder).map_or(0, |entries| {
            let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
            names.filter(|name| name.ends_with(".parquet")).count()
        })
    }
}

/// The pipeline with those models.
fn set(models: &str) -> DefinitionSet {
    let files = [
        ("connections/shop.yaml", CONNECTION.to_owned()),
        ("pipelines/shop.yaml", format!("{PIPELINE}{models}")),
        ("pipelines/crm-eu.yaml", CRM.to_owned()),
    ];
    let files = files.map(|(name, text)| (name.to_owned(), text));
    let (set, problems) = DefinitionSet::parse(files);
    assert_eq!(problems, []);
    set
}

/// What a run of that number gives the step first.
pub fn input(definition: &str, run: u32, model: &str) -> StepInput {
    StepInput {
        run: RunId::new("shop", 1_767_225_600, run),
        pipeline: "shop".to_owned(),
        definition: definition.to_owned(),
        name: model.to_owned(),
        invocation: 0,
    }
}
