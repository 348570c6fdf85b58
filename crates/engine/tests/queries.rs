//! Queries over tables in a folder: right answers, files left out by their bounds, tables whose columns have changed, and
//! memory that does not suffice.

#![allow(clippy::unwrap_used, reason = "a test's way to fail")]

use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema, SchemaRef};
use arrow::util::pretty::pretty_format_batches;
use jiff::Timestamp;
use millrace_engine::{Engine, Error, ErrorKind, Limits, Manner, Plan};
use millrace_lake::{Commit, Lake, Table, WriteKind};
use std::sync::Arc;
use tempfile::TempDir;

const KEY: &str = "tables/shop/orders";
const MEBIBYTE: usize = 1024 * 1024;

struct Ground {
    folder: TempDir,
    lake: Lake,
}

impl Ground {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::at(folder.path().join("lake").to_str().unwrap()).unwrap();
        Self { folder, lake }
    }

    fn engine(&self, memory: usize) -> Engine {
        Engine::new(Limits {
            memory,
            spill: self.folder.path().join("spill"),
            spill_bytes: 1024 * MEBIBYTE as u64,
            threads: 2,
        })
        .unwrap()
    }

    /// Adds a file with those rows to the table; its columns are those of the rows from then on.
    async fn append(&self, rows: RecordBatch) -> Table {
        let mut writer = self.lake.writer(KEY, rows.schema());
        writer.write(&rows).await.unwrap();
        let there = self.lake.table(KEY).await.unwrap();
        let commit = Commit {
            kind: WriteKind::Append,
            added: writer.finish().await.unwrap(),
            removed: Vec::new(),
            schema: rows.schema(),
            sequence: 1,
            brought: None,
            note: None,
        };
        match there {
            None => self.lake.create(KEY, commit).await.unwrap(),
            Some(there) => there.commit(commit).await.unwrap(),
        }
    }

    /// Loses the bytes of one of its files.
    fn lose(&self, table: &Table, path: &str) {
        let place = self.folder.path().join("lake").join(table.key()).join(path);
        std::fs::remove_file(place).unwrap();
    }

    async fn plan(&self, engine: &Engine, table: &Table, sql: &str) -> Result<Plan, Error> {
        let session = engine.session("shop", Timestamp::UNIX_EPOCH, Manner::Quick);
        session.add("shop", "orders", table)?;
        session.plan(sql).await
    }

    async fn answer(&self, table: &Table, sql: &str) -> Result<Vec<RecordBatch>, Error> {
        let engine = self.engine(64 * MEBIBYTE);
        all(&self.plan(&engine, table, sql).await?).await
    }
}

async fn all(plan: &Plan) -> Result<Vec<RecordBatch>, Error> {
    let mut rows = plan.rows().await?;
    let mut batches = Vec::new();
    while let Some(batch) = rows.next().await? {
        batches.push(batch);
    }
    Ok(batches)
}

fn schema(extra: Option<Field>) -> SchemaRef {
    let mut fields = vec![
        Field::new("id", DataType::Int64, true),
        Field::new("total", DataType::Float64, true),
    ];
    fields.extend(extra);
    Arc::new(Schema::new(fields))
}

fn orders(ids: std::ops::Range<i64>) -> RecordBatch {
    let totals = ids.clone().map(|id| id as f64 / 2.0);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Float64Array::from_iter_values(totals)),
        Arc::new(Int64Array::from_iter_values(ids)),
    ];
    RecordBatch::try_new(schema(None), columns.into_iter().rev().collect()).unwrap()
}

fn number(batches: &[RecordBatch]) -> i64 {
    batches[0].column(0).as_primitive::<Int64Type>().value(0)
}

#[tokio::test]
async fn answers_with_the_rows_of_all_files() {
    let ground = Ground::new();
    ground.append(orders(0..10)).await;
    let table = ground.append(orders(10..20)).await;
    let rows = ground
        .answer(
            &table,
            "SELECT id % 2 AS odd, count(*) AS n, sum(total) AS total FROM orders GROUP BY 1 ORDER BY 1",
        )
        .await
        .unwrap();
    shows(
        &rows,
        "+-----+----+-------+\n| odd | n  | total |\n+-----+----+-------+\n| 0   | 10 | 45.0  |\n| 1   | 10 | 50.0  \
         |\n+-----+----+-------+",
    );
}

fn shows(rows: &[RecordBatch], expected: &str) {
    assert_eq!(pretty_format_batches(rows).unwrap().to_string(), expected);
}

#[tokio::test]
async fn a_file_that_can_hold_nothing_of_it_is_not_read() {
    let ground = Ground::new();
    ground.append(orders(0..1000)).await;
    let table = ground.append(orders(1000..2000)).await;
    let lost = table
        .files()
        .into_iter()
        .find(|file| file.stats.as_deref().unwrap().contains("\"id\":1999"))
        .unwrap();
    ground.lose(&table, &lost.path);

    let sum = ground
        .answer(&table, "SELECT sum(id) FROM orders WHERE id < 1000")
        .await;
    assert_eq!(number(&sum.unwrap()), 499_500);
    let count = ground.answer(&table, "SELECT count(*) FROM orders").await;
    assert_eq!(number(&count.unwrap()), 2000, "the log knows");
    let missing = ground
        .answer(&table, "SELECT sum(id) FROM orders WHERE id <= 1000")
        .await
        .unwrap_err();
    assert_eq!(missing.kind, ErrorKind::Store, "{missing}");
}

#[tokio::test]
async fn files_from_before_a_column_came_and_a_type_widened_are_read_as_the_table_is_now() {
    let ground = Ground::new();
    let old = RecordBatch::try_new(
        Arc::new(Schema::new(vec![Field::new(
            "total",
            DataType::Int64,
            true,
        )])),
        vec![Arc::new(Int64Array::from(vec![7]))],
    );
    ground.append(old.unwrap()).await;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![1])),
        Arc::new(Float64Array::from(vec![0.5])),
        Arc::new(StringArray::from(vec!["EUR"])),
    ];
    let now = schema(Some(Field::new("currency", DataType::Utf8, true)));
    let table = ground
        .append(RecordBatch::try_new(now, columns).unwrap())
        .await;
    let rows = ground
        .answer(
            &table,
            "SELECT sum(total) AS total, count(currency) AS known, count(*) FILTER (WHERE id IS NULL) AS old FROM orders",
        )
        .await
        .unwrap();
    let total = rows[0].column(0).as_primitive::<Float64Type>().value(0);
    assert!((total - 7.5).abs() < f64::EPSILON);
    let counts = |column: usize| rows[0].column(column).as_primitive::<Int64Type>().value(0);
    assert_eq!((counts(1), counts(2)), (1, 1));
}

#[tokio::test]
async fn what_is_wrong_is_told_with_its_place() {
    let ground = Ground::new();
    let table = ground.append(orders(0..3)).await;
    for (sql, kind, told) in [
        (
            "SELECT id,\n  totl FROM orders",
            ErrorKind::Query,
            "line 2, column 3",
        ),
        ("SELECT id FROM customers", ErrorKind::Query, "customers"),
        ("SELECT id + 'x' FROM orders", ErrorKind::Query, ""),
        ("SELECT FROM WHERE", ErrorKind::Query, ""),
        (
            "SELECT id / (id - id) FROM orders",
            ErrorKind::Data,
            "ivide by zero",
        ),
        ("DELETE FROM orders", ErrorKind::Query, ""),
        ("CREATE TABLE x AS SELECT 1", ErrorKind::Query, ""),
        ("COPY orders TO '/tmp/x.csv'", ErrorKind::Query, ""),
        (
            "SET datafusion.execution.batch_size = 1",
            ErrorKind::Query,
            "",
        ),
    ] {
        let error = ground.answer(&table, sql).await.expect_err(sql);
        assert_eq!(error.kind, kind, "{sql}: {error}");
        assert!(error.to_string().contains(told), "{sql}: {error}");
    }
}

#[tokio::test]
async fn now_is_what_the_session_says() {
    let ground = Ground::new();
    let table = ground.append(orders(0..1)).await;
    let rows = ground
        .answer(
            &table,
            "SELECT CAST(extract(epoch FROM now()) AS bigint) AS now",
        )
        .await
        .unwrap();
    assert_eq!(number(&rows), 0);
}

#[tokio::test]
async fn what_does_not_fit_into_memory_goes_to_disk() {
    let ground = Ground::new();
    for part in 0..8 {
        ground
            .append(orders(part * 250_000..(part + 1) * 250_000))
            .await;
    }
    let table = ground.lake.table(KEY).await.unwrap().unwrap();
    // Two million rows of 24 bytes do not fit into half of that.
    let engine = ground.engine(16 * MEBIBYTE);
    let sql = "SELECT id, total FROM orders ORDER BY total * -1, id";
    let session = engine.session("shop", Timestamp::UNIX_EPOCH, Manner::Frugal);
    session.add("shop", "orders", &table).unwrap();
    let plan = session.plan(sql).await.unwrap();
    let mut rows = plan.rows().await.unwrap();
    let (mut next, mut counted) = (1_999_999, 0);
    while let Some(batch) = rows.next().await.unwrap() {
        for id in batch.column(0).as_primitive::<Int64Type>().values() {
            assert_eq!(*id, next);
            next -= 1;
            counted += 1;
        }
    }
    assert_eq!(counted, 2_000_000);
    assert!(rows.spilled() > 0, "the rows were sorted in memory");
    drop(rows);
    let left = std::fs::read_dir(ground.folder.path().join("spill"));
    let left = left.map_or(0, |entries| {
        let folders = entries.filter_map(|entry| std::fs::read_dir(entry.ok()?.path()).ok());
        folders.map(Iterator::count).sum()
    });
    assert_eq!(left, 0, "files were left behind");
}

#[tokio::test]
async fn a_side_of_a_join_that_does_not_fit_is_sorted_instead() {
    let ground = Ground::new();
    for part in 0..4 {
        ground
            .append(orders(part * 200_000..(part + 1) * 200_000))
            .await;
    }
    let table = ground.lake.table(KEY).await.unwrap().unwrap();
    let engine = ground.engine(16 * MEBIBYTE);
    let sql = "SELECT count(*) FROM orders a JOIN orders b ON a.id = b.id AND a.total = b.total";
    let answer = async |manner| {
        let session = engine.session("shop", Timestamp::UNIX_EPOCH, manner);
        session.add("shop", "orders", &table)?;
        all(&session.plan(sql).await?).await
    };
    let error = answer(Manner::Quick).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Exhausted, "{error}");
    assert_eq!(number(&answer(Manner::Frugal).await.unwrap()), 800_000);
}
