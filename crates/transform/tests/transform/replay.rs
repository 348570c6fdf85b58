//! What was kept out of a table, taken once more.

use crate::harness::{Harness, TABLE};
use millrace_model::definition::Pinned;
use millrace_model::definition::pipeline::{Expectation, Otherwise, Rule, WriteMode};
use millrace_model::mode::RunMode;
use millrace_model::step::{Counts, Unobserved};

fn at_most(most: f64) -> Expectation {
    Expectation {
        column: "v".to_owned(),
        rule: Rule::Between(0.0, most),
        otherwise: Otherwise::Quarantine,
    }
}

async fn replay(shop: &Harness) -> Counts {
    let pinned = Pinned {
        pipeline: shop.pipeline(),
        connections: Vec::new(),
        endpoints: Vec::new(),
        mode: RunMode::default(),
    };
    let input = shop.pinned().await;
    let transform = shop.transform();
    let counts = transform.replay(&pinned, &input, &Unobserved).await;
    counts.expect("replayed")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_holds_by_now_leaves_the_quarantine_once() {
    for write in [
        WriteMode::Append,
        WriteMode::Replace,
        WriteMode::Upsert,
        WriteMode::History,
    ] {
        let mut shop = Harness::new(write, &["id"]).expect(at_most(10.0));
        let body = r#"[{"id":1,"v":1,"tags":["a"]},{"id":2,"v":20,"tags":["b"]},{"id":3,"v":300}]"#;
        shop.take(body).await;
        assert_eq!(shop.values(TABLE, &["id"]).await, ["1"], "{write:?}");
        assert_eq!(replay(&shop).await["rows_quarantined"], 2);
        assert_eq!(shop.quarantined().await.len(), 2);

        shop.table.expect = vec![at_most(100.0)];
        let left = shop.quarantine_bytes().await;
        let counts = replay(&shop).await;
        assert_eq!((counts["rows_written"], counts["rows_quarantined"]), (1, 1));
        assert_eq!(shop.values(TABLE, &["id"]).await, ["1", "2"], "{write:?}");
        assert_eq!(shop.values("orders__tags", &["value"]).await, ["a", "b"]);
        assert_eq!(shop.quarantined().await.len(), 1);

        // A replay that ended behind its commit finds the object again, and takes it no more.
        for (key, bytes) in left {
            shop.objects.put(&key, bytes).await.expect("put");
        }
        replay(&shop).await;
        assert_eq!(shop.values(TABLE, &["id"]).await, ["1", "2"], "{write:?}");
        assert_eq!(shop.values("orders__tags", &["value"]).await, ["a", "b"]);

        // Runs go on where they were.
        if write != WriteMode::Replace {
            shop.take(r#"[{"id":4,"v":4}]"#).await;
            assert_eq!(shop.values(TABLE, &["id"]).await, ["1", "2", "4"]);
        }
    }
}
