//! Input of every wrong kind: a clear result by the contract, and the rest of the run unharmed.

use crate::harness::{Harness, PIPELINE, TABLE};
use flate2::Compression;
use flate2::write::GzEncoder;
use millrace_model::definition::pipeline::{
    ColumnType, Contract, OnChange, OnUnreadable, WriteMode,
};
use std::io::Write as _;

const MODES: [WriteMode; 4] = [
    WriteMode::Append,
    WriteMode::Replace,
    WriteMode::Upsert,
    WriteMode::History,
];

fn lenient(write: WriteMode) -> Harness {
    let mut shop = Harness::new(write, &["id"]);
    shop.table.contract = Contract {
        types: OnChange::DiscardRow,
        unreadable: OnUnreadable::Quarantine,
        ..Contract::default()
    };
    shop
}

/// What is wrong with the records, each of which has the key 2: what their kinds are, and their texts.
fn records() -> Vec<(&'static str, String)> {
    let nested = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    vec![
        ("deep", format!(r#"{{"id":2,"v":{nested}}}"#)),
        ("a word", r#"{"id":2,"v":tru}"#.to_owned()),
        ("no comma", r#"{"id":2 "v":1}"#.to_owned()),
        ("no colon", r#"{"id":2,"v" 1}"#.to_owned()),
        ("a number", r#"{"id":2,"v":1.e5}"#.to_owned()),
        ("no key", r#"{"id":2,"v":}"#.to_owned()),
        (
            "400 digits",
            format!(r#"{{"id":2,"n":{}}}"#, "9".repeat(400)),
        ),
        ("type", r#"{"id":2,"n":{"a":1}}"#.to_owned()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_cannot_be_taken_leaves_the_others_alone() {
    for write in MODES {
        for (kind, record) in records() {
            let mut shop = lenient(write).column("n", None, Some(ColumnType::Int));
            if kind == "type" {
                shop.table.contract.columns = OnChange::DiscardRow;
            }
            shop.take(r#"[{"id":2,"n":0,"v":"old"}]"#).await;
            let body = format!(r#"[{{"id":1,"n":1}},{record},{{"id":3,"n":3}}]"#);
            let output = shop.take(&body).await;
            assert_eq!(output.counts["rows_quarantined"], 1, "{write:?} {kind}");
            // What the table had of the row stays.
            let expected = match write {
                WriteMode::Replace => "1 3",
                _ => "1 2 3",
            };
            let there = shop.values(TABLE, &["id"]).await.join(" ");
            assert_eq!(there, expected, "{write:?} {kind}");
            let kept = shop.quarantined().await;
            let text = kept[0]["text"]
                .as_str()
                .map_or_else(|| kept[0]["record"].to_string(), str::to_owned);
            assert!(
                text.contains("\"id\":2") && kept[0]["reason"].is_string(),
                "{kind} {kept:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_cannot_be_read_leaves_the_others_alone() {
    let whole = r#"[{"id":1},{"id":2}]"#;
    let wrong: [&[u8]; 5] = [
        br#"[{"id":8},{"id"#,
        b"<html>bad gateway</html>",
        b"[{\"id\":8,\"v\":\"\xff\xfe\"}]",
        br#"[{"id":8}] and more"#,
        b"\0\0\0",
    ];
    for write in MODES {
        for body in wrong {
            let mut shop = lenient(write);
            shop.pull_bytes(&[whole.as_bytes(), body, br#"[{"id":3}]"#])
                .await;
            let output = shop.run().await.expect("taken");
            let said = String::from_utf8_lossy(body);
            assert_eq!(output.counts["pages_quarantined"], 1, "{said}");
            assert_eq!(shop.values(TABLE, &["id"]).await, ["1", "2", "3"], "{said}");
            let kept = shop.quarantined().await;
            assert_eq!((kept.len(), &kept[0]["page"]), (1, &1.into()), "{kept:?}");

            // Unless the contract says that it matters, nothing is written, and the message says where to look.
            let mut shop = Harness::new(write, &["id"]);
            shop.pull_bytes(&[whole.as_bytes(), body]).await;
            let failure = shop.run().await.expect_err("unreadable");
            assert_eq!(failure.name.as_str(), "BadData");
            assert!(failure.message.contains("page 1"), "{failure}");
            assert_eq!(shop.version(TABLE).await, None);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_odd_but_right_is_kept() {
    let mut shop = Harness::new(WriteMode::Upsert, &["id"]);
    let number = "9".repeat(400);
    let body = format!(r#"[{{"id":1,"nul":"a\u0000b","n":{number},"n":2,"half":"\ud800"}}]"#);
    shop.take(&body).await;
    // Of a field that is there twice the first value stays; a number that no type holds is kept digit by digit.
    let rows = shop.rows(TABLE).await;
    assert_eq!(rows[0]["nul"], "a\0b");
    assert_eq!(rows[0]["n"], number);
    assert_eq!(rows[0]["half"], "\u{fffd}");
}

/// A body with so many records of 64 KiB, whose keys are those of so many rows.
fn large(records: usize, rows: usize) -> String {
    let padding = "x".repeat(64 * 1024);
    let records: Vec<String> = (0..records)
        .map(|number| {
            format!(
                r#"{{"pad":"{padding}","id":{},"n":{number}}}"#,
                number % rows
            )
        })
        .collect();
    format!("[{}]", records.join(",\n"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_body_is_taken_in_slices_as_a_small_one_is_at_once() {
    let (records, rows) = (500, 300);
    let body = large(records, rows);
    assert!(body.len() > 30 * 1024 * 1024);
    for write in MODES {
        let mut shop = Harness::new(write, &["id"]);
        shop.pull(&[&[
            r#"[{"id":0,"n":-1},{"id":-1,"n":0}]"#,
            &body,
            r#"[{"id":299,"n":1000}]"#,
        ]])
        .await;
        let output = shop.run().await.expect("taken");
        assert_eq!(
            (output.counts["pages"], output.counts["rows"]),
            (3, 503),
            "{write:?}"
        );
        let mut expected: Vec<String> = match write {
            WriteMode::Append | WriteMode::Replace => {
                let all = (0..records).map(|number| format!("{} {number}", number % rows));
                all.chain(["0 -1".to_owned(), "299 1000".to_owned()])
                    .collect()
            }
            _ => {
                let last = |id: usize| if id < records - rows { id + rows } else { id };
                (0..299)
                    .map(|id| format!("{id} {}", last(id)))
                    .chain(["299 1000".to_owned()])
                    .collect()
            }
        };
        expected.push("-1 0".to_owned());
        expected.sort();
        let versions = if write == WriteMode::History {
            ["id", "n", "current"].as_slice()
        } else {
            &["id", "n"]
        };
        let found = shop.values(TABLE, versions).await;
        let current = found.iter().filter(|row| !row.ends_with("false"));
        let found: Vec<&str> = current.map(|row| row.trim_end_matches(" true")).collect();
        assert_eq!(found, expected, "{write:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_large_body_is_taken_that_cannot_be_read() {
    let body = large(300, 300);
    let half = &body[..body.len() - 1];
    for write in [WriteMode::Append, WriteMode::Upsert] {
        let mut shop = lenient(write);
        shop.pull(&[&[r#"[{"id":1}]"#, half, r#"[{"id":3}]"#]])
            .await;
        let output = shop.run().await.expect("taken");
        assert_eq!(output.counts["pages_quarantined"], 1);
        assert_eq!(shop.values(TABLE, &["id"]).await, ["1", "3"]);
        let reason = shop.quarantined().await[0]["reason"].to_string();
        assert!(reason.contains(&format!("byte {}", half.len())), "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_too_large_is_kept_out_and_not_kept() {
    let long = std::env::var("MILLRACE_TEST_LENGTH").is_ok_and(|length| length == "long");
    let size = if long { 500 } else { 65 } * 1024 * 1024;
    let mut body = br#"[{"id":1},{"id":2,"v":""#.to_vec();
    body.resize(body.len() + size, b'x');
    body.extend_from_slice(br#""},{"id":3}]"#);
    // As it is, and packed: a small body that becomes a large one.
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(&body).expect("written");
    for body in [body, packed.finish().expect("packed")] {
        let mut shop = lenient(WriteMode::Upsert);
        shop.pull_bytes(&[&body]).await;
        let output = shop.run().await.expect("taken");
        assert_eq!(output.counts["rows_quarantined"], 1);
        assert_eq!(shop.values(TABLE, &["id"]).await, ["1", "3"]);
        let kept = shop.quarantined().await;
        assert!(kept[0]["bytes"].as_u64() > Some(size as u64), "{kept:?}");
        assert_eq!(
            (&kept[0]["at"], &kept[0]["number"]),
            (&10.into(), &1.into())
        );
        assert!(kept[0].get("text").is_none() && kept[0].get("record").is_none());
        assert!(shop.path().join("quarantine").join(PIPELINE).exists());

        let mut shop = Harness::new(WriteMode::Upsert, &["id"]);
        shop.pull_bytes(&[&body]).await;
        let failure = shop.run().await.expect_err("too large");
        let said = ["page 0", "at byte 10", "it is too large"];
        assert!(
            said.iter().all(|said| failure.message.contains(said)),
            "{failure}"
        );
        assert_eq!(shop.version(TABLE).await, None);
    }
}
