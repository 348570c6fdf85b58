//! Upserts against a map from key to record.

use crate::harness::{Harness, TABLE};
use millrace_model::definition::pipeline::WriteMode;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// A run's records, page by page: a key, a value, and how many children.
type Run = Vec<Vec<(u8, i64, usize)>>;

fn body(page: &[(u8, i64, usize)]) -> String {
    let records: Vec<String> = page
        .iter()
        .map(|(key, value, children)| {
            let list: Vec<String> = (0..*children)
                .map(|child| format!("{}", value * 10 + child as i64))
                .collect();
            format!(
                r#"{{"id":"k{key}","v":{value},"list":[{}]}}"#,
                list.join(",")
            )
        })
        .collect();
    format!("[{}]", records.join(","))
}

fn runs() -> impl Strategy<Value = Vec<Run>> {
    let record = (0..12_u8, 0..100_i64, 0..3_usize);
    let page = prop::collection::vec(record, 0..8);
    prop::collection::vec(prop::collection::vec(page, 1..4), 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn upserts_equal_a_map(runs in runs(), steps in prop::collection::vec(any::<bool>(), 5)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime");
        runtime.block_on(async {
            let mut shop = Harness::new(WriteMode::Upsert, &["id"]);
            let mut map = BTreeMap::new();
            for (run, step) in runs.iter().zip(&steps) {
                let bodies: Vec<String> = run.iter().map(|page| body(page)).collect();
                let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
                shop.pull(&[&bodies]).await;
                map.extend(run.iter().flatten().map(|(key, value, children)| (*key, (*value, *children))));
                if *step {
                    shop.run().await.expect("transformed");
                }
            }
            shop.run().await.expect("transformed");
            let mut rows: Vec<String> = map.iter().map(|(key, (value, _))| format!("k{key} {value}")).collect();
            let mut children: Vec<String> = map
                .iter()
                .flat_map(|(key, (value, children))| {
                    (0..*children).map(move |child| format!("k{key} {child} {}", value * 10 + child as i64))
                })
                .collect();
            rows.sort();
            children.sort();
            assert_eq!(shop.values(TABLE, &["id", "v"]).await, rows);
            assert_eq!(shop.values("orders__list", &["_parent_id", "_position", "value"]).await, children);
        });
    }
}
