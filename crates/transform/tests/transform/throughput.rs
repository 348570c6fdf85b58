//! How fast, and in how much memory. Not part of the suite:
//! `cargo test -p millrace-transform --test transform throughput -- --ignored --nocapture --test-threads 1`.

use crate::harness::{Harness, TABLE};
use millrace_model::definition::pipeline::{ColumnType, WriteMode};
use std::time::Instant;

const RUNS: u64 = 20;
const PAGES: u64 = 10;
const RECORDS: u64 = 1_000;

fn feature(number: u64) -> String {
    // Ids that are spread, as those of real sources are, so that no file can be left out by its bounds.
    let spread = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mag = (spread % 900) as f64 / 100.0;
    format!(
        r#"{{"type":"Feature","properties":{{"mag":{mag},"place":"{} km NNE of somewhere, {}","time":{},"updated":{},"tz":null,"url":"https://earthquake.example/event/us{spread:016x}","felt":{},"cdi":null,"mmi":null,"alert":"green","status":"reviewed","tsunami":0,"sig":{},"net":"us","code":"{spread:016x}","ids":",us{spread:016x},","sources":",us,","types":",dyfi,origin,phase-data,","nst":{},"dmin":0.5,"rms":0.67,"gap":34,"magType":"mww","type":"earthquake","title":"M {mag}"}},"geometry":{{"type":"Point","coordinates":[{}.25,-{}.5,10]}},"id":"us{spread:016x}"}}"#,
        spread % 200,
        spread % 50,
        1_700_000_000_000 + number * 1_000,
        1_700_000_500_000 + number * 1_000,
        number % 90,
        number % 1_000,
        number % 150,
        number % 180,
        number % 90,
    )
}

/// The most memory that the process had since the last call, in MiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap_or_default();
    let kib = line
        .split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse::<u64>().ok())
        .unwrap_or_default();
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    kib / 1024
}

async fn measure(name: &str, shop: &Harness) {
    peak();
    let start = Instant::now();
    let counts = shop.run().await.expect("transformed").counts;
    let seconds = start.elapsed().as_secs_f64();
    let mib = counts["bytes"] as f64 / (1024.0 * 1024.0);
    println!(
        "{name}: {} records, {mib:.0} MiB in {seconds:.2} s, {:.0} MiB/s, peak {} MiB",
        counts["rows"],
        mib / seconds,
        peak()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures"]
async fn throughput() {
    for write in [WriteMode::Append, WriteMode::Upsert] {
        let mut shop = Harness::new(write, &["id"])
            .column(
                "properties.time",
                Some("occurred_at"),
                Some(ColumnType::TimestampMs),
            )
            .column("properties.updated", None, Some(ColumnType::TimestampMs));
        shop.records = "features";
        let page = |first: u64, count: u64| {
            let records: Vec<String> = (first..first + count).map(feature).collect();
            format!(
                r#"{{"type":"FeatureCollection","features":[{}]}}"#,
                records.join(",")
            )
        };
        for run in 0..RUNS {
            let pages: Vec<String> = (0..PAGES)
                .map(|number| page((run * PAGES + number) * RECORDS, RECORDS))
                .collect();
            shop.pull(&[&pages.iter().map(String::as_str).collect::<Vec<_>>()])
                .await;
        }
        measure(&format!("{write:?}, all"), &shop).await;
        shop.pull(&[&[&page(1_000, RECORDS)]]).await;
        measure(&format!("{write:?}, some more"), &shop).await;
        let rows = shop
            .lake()
            .table(&format!("tables/shop/{TABLE}"))
            .await
            .expect("opened")
            .expect("there")
            .rows();
        println!("{rows:?} rows");
    }
}
