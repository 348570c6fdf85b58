//! An erasure leaves no trace: every object is decompressed and searched.

use crate::harness::{Harness, PIPELINE, TABLE};
use bytes::Bytes;
use millrace_model::definition::format::{Csv, Format, FormatKind};
use millrace_model::definition::pipeline::{CursorValue, Expectation, Otherwise, Rule, WriteMode};
use millrace_model::keys;
use millrace_model::ledger::{RecordedFailure, Run, RunId, RunStatus, Trigger};
use millrace_model::state::ResourceState;
use millrace_store::json;
use millrace_transform::ForgottenKey;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

const SUBJECT: &str = "subject-4711";

/// The objects under a folder whose bytes, decompressed, have the text.
pub fn traces(folder: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("listed") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(traces(&path, text));
            continue;
        }
        let bytes = std::fs::read(&path).expect("read");
        let mut all = String::from_utf8_lossy(&bytes).into_owned();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("zst") => {
                let plain = zstd::stream::decode_all(bytes.as_slice()).expect("decompressed");
                all.push_str(&String::from_utf8_lossy(&plain));
            }
            Some("parquet") => {
                let rows = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes))
                    .and_then(ParquetRecordBatchReaderBuilder::build)
                    .expect("Parquet");
                for batch in rows {
                    let _ = write!(all, "{:?}", batch.expect("rows"));
                }
            }
            _ => {}
        }
        if all.contains(text) {
            found.push(path.display().to_string());
        }
    }
    found
}

fn record(id: &str, v: i64) -> String {
    format!(r#"{{"id":"{id}","v":{v},"mail":"{id}@example.com","lines":[{{"of":"{id}"}}]}}"#)
}

fn failed(run: &RunId, message: &str) -> Run {
    Run {
        run: run.clone(),
        pipeline: PIPELINE.to_owned(),
        status: RunStatus::Failed,
        trigger: Trigger::Cli,
        definition: String::new(),
        created_at: String::new(),
        started_at: None,
        ended_at: None,
        execution: None,
        steps: BTreeMap::new(),
        failure: Some(RecordedFailure {
            name: "BadData".to_owned(),
            message: message.to_owned(),
        }),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_leaves_no_trace_in_any_object() {
    for write in [WriteMode::Upsert, WriteMode::Append, WriteMode::History] {
        let mut shop = Harness::new(write, &["id"]).expect(Expectation {
            column: "v".to_owned(),
            rule: Rule::Between(0.0, 90.0),
            otherwise: Otherwise::Quarantine,
        });
        shop.records = "items";
        let page = |records: &[String]| {
            let records = records.join(",");
            format!(
                r#"{{"self":"/orders?after={SUBJECT}","items":[{records}],"last":"{SUBJECT}"}}"#
            )
        };
        shop.take(&page(&[record("a", 1), record(SUBJECT, 2), record("b", 3)]))
            .await;
        shop.take(&page(&[record(SUBJECT, 4)])).await;
        shop.take(&page(&[record(SUBJECT, 99), record("c", 5)]))
            .await;
        // A segment that lost its race, and that no manifest names.
        let orphan =
            zstd::bulk::compress(page(&[record(SUBJECT, 7)]).as_bytes(), 1).expect("compressed");
        let run = "raw/shop/orders/shop-20260101T000001Z-00000001/segment/00000000-lost.zst";
        shop.objects.put(run, orphan.into()).await.expect("put");
        let dead = format!(r#"{{"url":"https://shop.test/orders/{SUBJECT}","answer":"gone"}}"#);
        shop.objects
            .put("dead/shop/orders/x/1.json", dead.into())
            .await
            .expect("put");
        // A cursor that is the key, and a failure that tells of it.
        let state = keys::state(PIPELINE, "orders");
        let mut remembered: ResourceState = json::get(&*shop.objects, &state)
            .await
            .expect("read")
            .expect("there");
        remembered.cursor = Some(CursorValue::Text(SUBJECT.to_owned()));
        json::put(&*shop.objects, &state, &remembered)
            .await
            .expect("put");
        let run = RunId::new(PIPELINE, 1_767_225_600, 99);
        let failed = failed(&run, &format!("the answer to /orders/{SUBJECT} was gone"));
        json::put(&*shop.objects, &keys::run(&run), &failed)
            .await
            .expect("put");
        let before = traces(shop.path(), SUBJECT);
        for prefix in [
            "/tables/",
            "/raw/",
            "/quarantine/",
            "/dead/",
            "/state/",
            "/runs/",
        ] {
            assert!(
                before.iter().any(|path| path.contains(prefix)),
                "{write:?} {prefix}: {before:?}"
            );
        }

        let pipeline = shop.pipeline();
        let key = ForgottenKey::from([("id".to_owned(), SUBJECT.to_owned())]);
        let counts = shop
            .transform()
            .forget(&pipeline, &key)
            .await
            .expect("forgotten");
        assert_eq!(
            traces(shop.path(), SUBJECT),
            [""; 0],
            "{write:?} {counts:?}"
        );
        assert_eq!(
            (counts["records"], counts["quarantined"], counts["dead"]),
            (3, 1, 1)
        );

        let ids = shop.values(TABLE, &["id"]).await;
        assert_eq!(ids, ["a", "b", "c"], "{write:?}");
        assert_eq!(shop.values("orders__lines", &["of"]).await, ["a", "b", "c"]);
        // Once more finds nothing, and the pipeline goes on.
        let again = shop
            .transform()
            .forget(&pipeline, &key)
            .await
            .expect("nothing left");
        assert_eq!(again.get("records"), None);
        let later = format!(r#"{{"items":[{}]}}"#, record("d", 1));
        shop.take(&later).await;
        assert_eq!(shop.values(TABLE, &["id"]).await, ["a", "b", "c", "d"]);
        // A table that is made anew of what is raw knows nothing of it either.
        std::fs::remove_dir_all(shop.path().join("tables").join(PIPELINE)).expect("removed");
        shop.run().await.expect("transformed");
        assert_eq!(shop.values(TABLE, &["id"]).await, ["a", "b", "c", "d"]);
        assert_eq!(traces(shop.path(), SUBJECT), [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_no_table_has_is_refused_with_those_that_are_there() {
    let shop = Harness::new(WriteMode::Upsert, &["id"]);
    let key = ForgottenKey::from([("mail".to_owned(), "x".to_owned())]);
    let failure = shop
        .transform()
        .forget(&shop.pipeline(), &key)
        .await
        .expect_err("unknown");
    assert!(failure.message.contains("`orders` has id"), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_cannot_be_read_is_kept_unless_it_names_the_key() {
    let mut shop = Harness::new(WriteMode::Upsert, &["id"]);
    shop.take(&format!("[{}]", record(SUBJECT, 1))).await;
    let half = format!(r#"[{{"id":"{SUBJECT}","v":2}},{{"id""#);
    shop.pull(&[&[half.as_str()], &[r#"[{"id":"other"#]]).await;
    let key = ForgottenKey::from([("id".to_owned(), SUBJECT.to_owned())]);
    let transform = shop.transform();
    let counts = transform.forget(&shop.pipeline(), &key).await;
    let counts = counts.expect("forgotten");
    assert_eq!((counts["records"], counts["pages"]), (1, 2));
    assert_eq!(traces(shop.path(), SUBJECT), [""; 0]);
    assert_eq!(traces(shop.path(), r#"{"id":"other"#).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_of_another_form_goes_and_the_others_stay() {
    let mut shop = Harness::new(WriteMode::Upsert, &["id"]);
    shop.format = Format {
        kind: FormatKind::Csv(Csv::default()),
        ..Format::default()
    };
    shop.take(&format!("id,v\n{SUBJECT},1\nother,2\n")).await;
    let key = ForgottenKey::from([("id".to_owned(), SUBJECT.to_owned())]);
    let counts = shop.transform().forget(&shop.pipeline(), &key).await;
    assert_eq!(counts.expect("forgotten")["records"], 1);
    assert_eq!(traces(shop.path(), SUBJECT), [""; 0]);
    shop.take("id,v\nother,3\nthird,4\n").await;
    assert_eq!(
        shop.values(TABLE, &["id", "v"]).await,
        ["other 3", "third 4"]
    );
}
