//! A lake in a folder, and the raw runs in it.

use arrow::array::{Array, RecordBatch};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::TryStreamExt;
use indexmap::IndexMap;
use millrace_lake::Lake;
use millrace_model::definition::format::Format;
use millrace_model::definition::pipeline::{
    Column, ColumnType, Concurrency, Contract, Expectation, Keep, Nesting, OnRefusal, Paginate,
    Pipeline, RequestForm, Resource, Slices, Table, WriteMode,
};
use millrace_model::definition::{FieldPath, Pinned};
use millrace_model::ledger::RunId;
use millrace_model::mode::RunMode;
use millrace_model::raw::{Manifest, Origin, Page, Position};
use millrace_model::state::{Extent, PartitionCursors, ResourceState};
use millrace_model::step::{Deadline, StepInput, StepOutput, Unobserved};
use millrace_model::{Failure, keys};
use millrace_store::objects::{Folder, Objects};
use millrace_store::{LakeUrl, definitions, json};
use millrace_transform::Transform;
use std::collections::BTreeMap;
use std::sync::Arc;
use tempfile::TempDir;

pub const PIPELINE: &str = "shop";
pub const RESOURCE: &str = "orders";
pub const TABLE: &str = "orders";

/// A table's rows as text, column by column; null is left out.
pub type Row = BTreeMap<String, String>;

pub struct Harness {
    folder: TempDir,
    pub objects: Arc<dyn Objects>,
    pub table: Table,
    pub format: Format,
    pub records: &'static str,
    /// Other tables, each of a resource of its own name.
    others: Vec<Table>,
    runs: u32,
}

impl Harness {
    pub fn new(write: WriteMode, key: &[&str]) -> Self {
        let folder = TempDir::new().expect("a folder");
        let objects: Arc<dyn Objects> = Arc::new(Folder::new(folder.path()));
        let table = Table {
            name: TABLE.to_owned(),
            from: RESOURCE.to_owned(),
            write,
            key: key.iter().map(ToString::to_string).collect(),
            order: None,
            delete: None,
            contract: Contract::default(),
            nesting: Nesting::default(),
            columns: IndexMap::new(),
            expect: Vec::new(),
            keep_versions: std::time::Duration::from_hours(1),
        };
        Self {
            folder,
            objects,
            table,
            format: Format::default(),
            records: "",
            others: Vec::new(),
            runs: 0,
        }
    }

    /// The same in a folder of its own.
    pub fn fork(&self) -> Self {
        let folder = TempDir::new().expect("a folder");
        copy(self.folder.path(), folder.path());
        Self {
            objects: Arc::new(Folder::new(folder.path())),
            folder,
            table: self.table.clone(),
            format: self.format.clone(),
            records: self.records,
            others: self.others.clone(),
            runs: self.runs,
        }
    }

    /// Another table, of a resource of its own.
    pub fn also(&mut self, name: &str, key: &[&str]) {
        self.others.push(Table {
            name: name.to_owned(),
            from: name.to_owned(),
            write: WriteMode::Upsert,
            key: key.iter().map(ToString::to_string).collect(),
            expect: Vec::new(),
            ..self.table.clone()
        });
    }

    pub fn column(mut self, path: &str, name: Option<&str>, kind: Option<ColumnType>) -> Self {
        let column = Column {
            name: name.map(str::to_owned),
            kind,
            keep: None,
        };
        self.table
            .columns
            .insert(FieldPath(path.to_owned()), column);
        self
    }

    /// Keeps a field's objects or lists as one value.
    pub fn keep(mut self, path: &str, keep: Keep) -> Self {
        let column = Column {
            keep: Some(keep),
            ..Column::default()
        };
        self.table
            .columns
            .insert(FieldPath(path.to_owned()), column);
        self
    }

    pub fn expect(mut self, expectation: Expectation) -> Self {
        self.table.expect.push(expectation);
        self
    }

    pub fn url(&self) -> LakeUrl {
        LakeUrl::Folder {
            path: self.folder.path().to_owned(),
        }
    }

    pub fn path(&self) -> &std::path::Path {
        self.folder.path()
    }

    pub fn lake(&self) -> Lake {
        Lake::at(self.folder.path().to_str().expect("a path")).expect("a lake")
    }

    /// A complete run: segments of pages.
    pub async fn pull(&mut self, segments: &[&[&str]]) -> RunId {
        self.pull_to(Extent::Usual, segments).await
    }

    /// A complete run that pulled so much of the resource.
    pub async fn pull_to(&mut self, extent: Extent, segments: &[&[&str]]) -> RunId {
        self.runs += 1;
        self.put(RESOURCE, extent, segments).await
    }

    /// One segment of bodies, which need not be text.
    pub async fn pull_bytes(&mut self, bodies: &[&[u8]]) -> RunId {
        self.runs += 1;
        self.put(RESOURCE, Extent::Usual, &[bodies]).await
    }

    /// One page of another resource, pulled in the run that [`Self::pull`] makes next.
    pub async fn pull_of(&mut self, resource: &str, body: &str) {
        self.runs += 1;
        self.put(resource, Extent::Usual, &[&[body]]).await;
        self.runs -= 1;
    }

    fn last_run(&self) -> RunId {
        RunId::new(PIPELINE, 1_767_225_600 + i64::from(self.runs), self.runs)
    }

    async fn put<B: AsRef<[u8]>>(
        &self,
        resource: &str,
        extent: Extent,
        segments: &[&[B]],
    ) -> RunId {
        let run = self.last_run();
        let mut records = 0;
        for (number, bodies) in (0_u32..).zip(segments) {
            let object = keys::raw_segment(PIPELINE, resource, &run, number, "test");
            let (mut bytes, mut pages) = (Vec::new(), Vec::new());
            for body in *bodies {
                let body = body.as_ref();
                let frame = zstd::bulk::compress(body, 1).expect("compressed");
                let parsed: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
                let at = self.records.split('.').filter(|name| !name.is_empty());
                let found = at.fold(&parsed, |value, name| &value[name]);
                let count = found.as_array().map_or(1, Vec::len) as u64;
                records += count;
                pages.push(Page {
                    url: "https://shop.test/orders".to_owned(),
                    status: 200,
                    content_type: Some("application/json".to_owned()),
                    requested_at: format!("2026-01-01T00:{:02}:00Z", self.runs),
                    offset: bytes.len() as u64,
                    length: frame.len() as u64,
                    body_length: body.len() as u64,
                    sha256: String::new(),
                    records: count,
                    rewritten: false,
                    origin: Origin::default(),
                });
                bytes.extend(frame);
            }
            self.objects.put(&object, bytes.into()).await.expect("put");
            let manifest = Manifest {
                segment: number,
                start: None,
                starts: PartitionCursors::new(),
                paginate: None,
                object: Some(object),
                pages,
                next: Position::End,
                cursor: None,
                cursors: PartitionCursors::new(),
                requests: 1,
                committed_at: "2026-01-01T00:00:00Z".to_owned(),
                written_by: "cli".to_owned(),
            };
            let key = keys::raw_manifest(PIPELINE, resource, &run, number);
            json::create(&*self.objects, &key, &manifest)
                .await
                .expect("created");
        }
        let key = keys::state(PIPELINE, resource);
        let mut state: ResourceState = json::get(&*self.objects, &key)
            .await
            .expect("read")
            .unwrap_or_default();
        state.complete(&run, segments.len() as u32, records, None, extent);
        json::put(&*self.objects, &key, &state).await.expect("put");
        run
    }

    pub fn pipeline(&self) -> Pipeline {
        let mut tables = self.others.clone();
        tables.push(self.table.clone());
        let resources = tables.iter().map(|table| self.resource(&table.from));
        let resources = resources.collect();
        Pipeline {
            name: PIPELINE.to_owned(),
            description: "A test's.".to_owned(),
            schedule: None,
            concurrency: Concurrency::Forbid,
            config: BTreeMap::new(),
            resources,
            tables,
            models: Vec::new(),
            publish: Vec::new(),
        }
    }

    fn resource(&self, name: &str) -> Resource {
        Resource {
            name: name.to_owned(),
            connection: "shop".to_owned(),
            rate_scope: None,
            path: "/orders".to_owned(),
            params: BTreeMap::new(),
            headers: BTreeMap::new(),
            request: RequestForm::default(),
            slices: Slices::default(),
            on_refusal: OnRefusal::default(),
            report: None,
            paginate: Paginate::None,
            format: self.format.clone(),
            records: FieldPath(self.records.to_owned()),
            incremental: None,
            personal_data: None,
            filter: None,
            answers: Vec::new(),
            key: Vec::new(),
        }
    }

    pub async fn pinned(&self) -> StepInput {
        let pipeline = self.pipeline();
        let pinned = Pinned {
            pipeline,
            connections: Vec::new(),
            endpoints: Vec::new(),
            mode: RunMode::default(),
        };
        let definition = definitions::pin(&*self.objects, &pinned)
            .await
            .expect("pinned");
        StepInput {
            run: self.last_run(),
            pipeline: PIPELINE.to_owned(),
            definition,
            name: TABLE.to_owned(),
            invocation: 0,
        }
    }

    pub fn transform(&self) -> Transform {
        Transform::new(self.objects.clone(), self.url())
    }

    pub async fn run(&self) -> Result<StepOutput, Failure> {
        let input = self.pinned().await;
        self.transform()
            .run(&input, Deadline::NONE, &Unobserved)
            .await
    }

    /// The step for another table.
    pub async fn run_of(&self, table: &str) -> Result<StepOutput, Failure> {
        let input = StepInput {
            name: table.to_owned(),
            ..self.pinned().await
        };
        self.transform()
            .run(&input, Deadline::NONE, &Unobserved)
            .await
    }

    /// The objects in quarantine, by their keys.
    pub async fn quarantine_bytes(&self) -> Vec<(String, bytes::Bytes)> {
        let prefix = keys::quarantines(PIPELINE, TABLE);
        let mut objects = Vec::new();
        for entry in self
            .objects
            .list(&prefix, None, 1_000)
            .await
            .expect("listed")
        {
            let object = self.objects.get(&entry.key).await.expect("read");
            objects.push((entry.key, object.expect("there").bytes));
        }
        objects
    }

    /// The lines in quarantine.
    pub async fn quarantined(&self) -> Vec<serde_json::Value> {
        let mut lines = Vec::new();
        for (_, bytes) in self.quarantine_bytes().await {
            let text = String::from_utf8(bytes.to_vec()).expect("text");
            lines.extend(
                text.lines()
                    .map(|line| serde_json::from_str(line).expect("JSON")),
            );
        }
        lines
    }

    /// Pulls one page and takes it.
    pub async fn take(&mut self, body: &str) -> StepOutput {
        self.pull(&[&[body]]).await;
        self.run().await.expect("transformed")
    }

    pub async fn version(&self, table: &str) -> Option<u64> {
        let key = keys::table(PIPELINE, table);
        self.lake()
            .table(&key)
            .await
            .expect("opened")
            .map(|table| table.version())
    }

    /// The table's rows, sorted.
    pub async fn rows(&self, table: &str) -> Vec<Row> {
        rows(&self.lake(), table).await
    }

    /// The values of some columns of the table's rows, sorted; `-` for null.
    pub async fn values(&self, table: &str, columns: &[&str]) -> Vec<String> {
        let mut values: Vec<String> = self
            .rows(table)
            .await
            .iter()
            .map(|row| {
                let values = columns
                    .iter()
                    .map(|column| row.get(*column).map_or("-", String::as_str));
                values.collect::<Vec<_>>().join(" ")
            })
            .collect();
        values.sort();
        values
    }

    /// The types of the table's columns, by name.
    pub async fn types(&self, table: &str) -> BTreeMap<String, String> {
        let key = keys::table(PIPELINE, table);
        let table = self
            .lake()
            .table(&key)
            .await
            .expect("opened")
            .expect("there");
        let schema = table.schema();
        schema
            .fields()
            .iter()
            .map(|field| (field.name().clone(), field.data_type().to_string()))
            .collect()
    }
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    for entry in std::fs::read_dir(from).expect("listed") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            std::fs::create_dir_all(&target).expect("made");
            copy(&entry.path(), &target);
        } else {
            // The time at which a file was written matters to what removes files.
            let modified = entry.metadata().and_then(|data| data.modified());
            std::fs::copy(entry.path(), &target).expect("copied");
            let file = std::fs::File::options().write(true).open(&target);
            let set = file.and_then(|file| file.set_modified(modified?));
            set.expect("set");
        }
    }
}

pub async fn rows(lake: &Lake, table: &str) -> Vec<Row> {
    let key = keys::table(PIPELINE, table);
    let Some(table) = lake.table(&key).await.expect("opened") else {
        return Vec::new();
    };
    let batches: Vec<RecordBatch> = table.scan().stream().try_collect().await.expect("read");
    let mut rows: Vec<Row> = batches.iter().flat_map(texts).collect();
    rows.sort();
    rows
}

fn texts(batch: &RecordBatch) -> Vec<Row> {
    let options = FormatOptions::default();
    let columns: Vec<_> = batch
        .schema()
        .fields()
        .iter()
        .zip(batch.columns())
        .map(|(field, column)| {
            let formatter =
                ArrayFormatter::try_new(column.as_ref(), &options).expect("a formatter");
            (0..column.len())
                .map(|row| {
                    column
                        .is_valid(row)
                        .then(|| (field.name().clone(), formatter.value(row).to_string()))
                })
                .collect::<Vec<_>>()
        })
        .collect();
    (0..batch.num_rows())
        .map(|row| {
            columns
                .iter()
                .filter_map(|column| column[row].clone())
                .collect()
        })
        .collect()
}
