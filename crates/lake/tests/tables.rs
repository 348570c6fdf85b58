//! Tables in a folder: what is committed is what is read, and of two commits at once one is told so.

#![allow(clippy::unwrap_used, reason = "a test's way to fail")]

use arrow::array::{
    ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit};
use futures::TryStreamExt;
use millrace_lake::{Commit, DataFile, ErrorKind, KeySet, Lake, Table, WriteKind};
use std::sync::Arc;
use tempfile::TempDir;

const KEY: &str = "tables/shop/orders";

fn schema(extra: &[&str]) -> SchemaRef {
    let mut fields = vec![
        Field::new("id", DataType::Int64, true),
        Field::new("name", DataType::Utf8, true),
        Field::new(
            "at",
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            true,
        ),
    ];
    fields.extend(
        extra
            .iter()
            .map(|name| Field::new(*name, DataType::Utf8, true)),
    );
    Arc::new(Schema::new(fields))
}

fn rows(schema: &SchemaRef, rows: &[(i64, &str)]) -> RecordBatch {
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(
        rows.iter().map(|(_, name)| *name),
    ));
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|(id, _)| *id))),
        names.clone(),
        Arc::new(
            TimestampMicrosecondArray::from_iter_values(rows.iter().map(|(id, _)| id * 1_000_001))
                .with_timezone("UTC"),
        ),
    ];
    columns.resize(schema.fields().len(), names);
    RecordBatch::try_new(schema.clone(), columns).expect("a batch")
}

async fn files(lake: &Lake, batch: &RecordBatch) -> Vec<DataFile> {
    let mut writer = lake.writer(KEY, batch.schema());
    writer.write(batch).await.expect("written");
    writer.finish().await.expect("finished")
}

async fn change(lake: &Lake, kind: WriteKind, batch: &RecordBatch, sequence: u64) -> Commit {
    Commit {
        kind,
        added: files(lake, batch).await,
        removed: Vec::new(),
        schema: batch.schema(),
        sequence,
        brought: None,
        note: None,
    }
}

async fn orders(lake: &Lake) -> Table {
    let batch = rows(&schema(&[]), &[(1, "ada"), (2, "bob"), (3, "cleo")]);
    let commit = change(lake, WriteKind::Append, &batch, 1).await;
    lake.create(KEY, commit).await.expect("created")
}

async fn content(table: &Table) -> Vec<(i64, String)> {
    let batches: Vec<RecordBatch> = table.scan().stream().try_collect().await.expect("read");
    let all = concat_batches(&table.schema(), &batches).expect("one batch");
    let ids = all.column(0).as_primitive::<Int64Type>();
    let names = all.column(1).as_string::<i32>();
    let mut rows: Vec<_> = (0..all.num_rows())
        .map(|row| (ids.value(row), names.value(row).to_owned()))
        .collect();
    rows.sort();
    rows
}

fn lake() -> (TempDir, Lake) {
    let folder = TempDir::new().expect("a folder");
    let lake = Lake::at(folder.path().to_str().expect("a path")).expect("a lake");
    (folder, lake)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_read_as_it_was_committed() {
    let (_folder, lake) = lake();
    assert!(lake.table(KEY).await.expect("asked").is_none());
    assert!(
        lake.tables("tables/shop/")
            .await
            .expect("listed")
            .is_empty()
    );
    orders(&lake).await;

    let table = lake.table(KEY).await.expect("opened").expect("there");
    assert_eq!(table.version(), 0);
    assert_eq!(table.schema(), schema(&[]));
    assert_eq!(table.sequence().await.expect("a sequence"), 1);
    assert_eq!(table.rows(), Some(3));
    assert_eq!(
        content(&table).await,
        [(1, "ada".into()), (2, "bob".into()), (3, "cleo".into())]
    );
    assert_eq!(lake.tables("tables/shop/ord").await.expect("listed"), [KEY]);
    let first: usize = table
        .preview(2)
        .await
        .expect("read")
        .iter()
        .map(RecordBatch::num_rows)
        .sum();
    assert_eq!(first, 2);
}

#[tokio::test]
async fn a_file_says_what_lies_in_it() {
    let (_folder, lake) = lake();
    let table = orders(&lake).await;
    let stats = table.files()[0].stats.clone().expect("statistics");
    let stats: serde_json::Value = serde_json::from_str(&stats).expect("JSON");
    assert_eq!(stats["numRecords"], 3);
    assert_eq!(stats["minValues"]["id"], 1);
    assert_eq!(stats["maxValues"]["name"], "cleo");
    assert_eq!(stats["maxValues"]["at"], "1970-01-01T00:00:03.000003Z");
    assert_eq!(stats["nullCount"]["name"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_commits_upon_one_version_the_second_conflicts() {
    let (_folder, lake) = lake();
    let table = orders(&lake).await;
    let batch = rows(&schema(&[]), &[(4, "dan")]);
    let (one, other) = (
        change(&lake, WriteKind::Append, &batch, 2).await,
        change(&lake, WriteKind::Append, &batch, 2).await,
    );
    table.commit(one).await.expect("committed");
    let error = table.commit(other).await.expect_err("too late");
    assert_eq!(error.kind, ErrorKind::Conflict, "{error}");

    let again = change(&lake, WriteKind::Append, &batch, 2).await;
    let error = lake.create(KEY, again).await.expect_err("there is one");
    assert_eq!(error.kind, ErrorKind::Conflict, "{error}");
    let table = lake.table(KEY).await.expect("opened").expect("there");
    assert_eq!((table.version(), table.rows()), (1, Some(4)));
}

#[tokio::test]
async fn columns_are_added_and_older_rows_have_none_of_them() {
    let (_folder, lake) = lake();
    let table = orders(&lake).await;
    let wider = schema(&["city"]);
    let commit = change(&lake, WriteKind::Append, &rows(&wider, &[(4, "dan")]), 2).await;
    let table = table.commit(commit).await.expect("committed");
    assert_eq!(table.schema(), wider);
    let batches: Vec<RecordBatch> = table
        .scan()
        .columns(&["city"])
        .stream()
        .try_collect()
        .await
        .expect("read");
    let nulls: usize = batches
        .iter()
        .map(|batch| batch.column(0).null_count())
        .sum();
    assert_eq!(nulls, 3);
    assert_eq!(table.changes_since(0).await.expect("asked"), None);
}

#[tokio::test]
async fn rows_with_a_key_are_taken_out_of_the_files_that_hold_it() {
    let (_folder, lake) = lake();
    let table = orders(&lake).await;
    let commit = change(
        &lake,
        WriteKind::Append,
        &rows(&schema(&[]), &[(90, "yan"), (91, "zoe")]),
        2,
    )
    .await;
    let table = table.commit(commit).await.expect("committed");

    let incoming = rows(&schema(&[]), &[(2, "BOB"), (7, "gus"), (2, "again")]);
    let mut keys = KeySet::new(&[DataType::Int64]).expect("a set");
    let new = keys.insert(&incoming.columns()[..1]).expect("inserted");
    assert_eq!(
        new.iter().collect::<Vec<_>>(),
        [Some(true), Some(true), Some(false)]
    );
    let mut writer = lake.writer(KEY, table.schema());
    let rewritten = keys
        .take_out(&table, &["id".to_owned()], &mut writer, false)
        .await
        .expect("taken out");
    assert_eq!((rewritten.removed.len(), rewritten.rows), (1, 1));
    writer.write(&incoming.slice(0, 2)).await.expect("written");
    let commit = Commit {
        kind: WriteKind::Upsert,
        added: writer.finish().await.expect("finished"),
        removed: rewritten.removed,
        schema: table.schema(),
        sequence: 3,
        brought: None,
        note: None,
    };
    let table = table.commit(commit).await.expect("committed");
    let names: Vec<String> = content(&table)
        .await
        .into_iter()
        .map(|(_, name)| name)
        .collect();
    assert_eq!(names, ["ada", "BOB", "cleo", "gus", "yan", "zoe"]);

    let changed = table
        .changes_since(1)
        .await
        .expect("asked")
        .expect("to be followed");
    assert_eq!(
        changed.iter().map(|file| file.rows).sum::<Option<u64>>(),
        Some(4)
    );
    assert_eq!(
        table.changes_since(2).await.expect("asked"),
        Some(Vec::new())
    );
}

#[tokio::test]
async fn what_was_replaced_has_to_be_read_as_a_whole() {
    let (_folder, lake) = lake();
    for (kind, followed) in [
        (WriteKind::Append, true),
        (WriteKind::Replace, false),
        (WriteKind::Follow, false),
    ] {
        let table = match lake.table(KEY).await.expect("opened") {
            Some(table) => table,
            None => orders(&lake).await,
        };
        let mut commit = change(&lake, kind, &rows(&schema(&[]), &[(4, "dan")]), 2).await;
        if kind == WriteKind::Replace {
            commit.removed = table.files();
        }
        let before = table.version();
        let table = table.commit(commit).await.expect("committed");
        let changes = table.changes_since(before).await.expect("asked");
        assert_eq!(changes.is_some(), followed, "{kind:?}");
    }
}

#[tokio::test]
async fn a_long_log_is_folded_into_a_checkpoint() {
    let (folder, lake) = lake();
    let mut table = orders(&lake).await;
    for sequence in 2..=25 {
        let batch = rows(&schema(&[]), &[(sequence, "more")]);
        let commit = change(&lake, WriteKind::Append, &batch, sequence.cast_unsigned()).await;
        table = table.commit(commit).await.expect("committed");
    }
    let log = folder.path().join(KEY).join("_delta_log/_last_checkpoint");
    assert!(log.exists());
    let table = lake.table(KEY).await.expect("opened").expect("there");
    assert_eq!(table.sequence().await.expect("a sequence"), 25);
    assert_eq!(table.rows(), Some(27));
}

/// The same over S3: `MILLRACE_TEST_BUCKET` names a bucket, the SDK's variables how it is reached.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a bucket in MILLRACE_TEST_BUCKET"]
async fn a_bucket_holds_tables_as_a_folder_does() {
    let bucket = std::env::var("MILLRACE_TEST_BUCKET").expect("MILLRACE_TEST_BUCKET");
    let lake = Lake::at(&format!("s3://{bucket}")).expect("a lake");
    assert!(lake.table(KEY).await.expect("asked").is_none());
    let table = orders(&lake).await;
    let batch = rows(&schema(&["city"]), &[(4, "dan")]);
    let (one, other) = (
        change(&lake, WriteKind::Append, &batch, 2).await,
        change(&lake, WriteKind::Append, &batch, 2).await,
    );
    table.commit(one).await.expect("committed");
    let unnamed = other.added.clone();
    let error = table.commit(other).await.expect_err("too late");
    assert_eq!(error.kind, ErrorKind::Conflict, "{error}");
    lake.discard(KEY, &unnamed).await;
    let table = lake.table(KEY).await.expect("opened").expect("there");
    assert_eq!((table.version(), table.rows()), (1, Some(4)));
    assert_eq!(content(&table).await.len(), 4);
    assert_eq!(lake.tables("tables/shop/").await.expect("listed"), [KEY]);

    let elsewhere = Lake::at("s3://a-bucket-that-nobody-has").expect("a lake");
    let error = elsewhere.table(KEY).await.expect_err("no bucket");
    assert_ne!(error.kind, ErrorKind::Malformed, "{error}");
}
