//! The three write modes, and a step that is repeated.

use crate::harness::{Harness, TABLE};
use millrace_model::definition::pipeline::WriteMode;
use millrace_model::state::Extent;
use millrace_model::step::Next;

#[tokio::test(flavor = "multi_thread")]
async fn upsert_keeps_one_row_a_key_and_the_last_one() {
    let mut shop = Harness::new(WriteMode::Upsert, &["id"]);
    shop.pull(&[
        &[
            r#"[{"id":1,"v":"a"},{"id":2,"v":"b"},{"id":1,"v":"c"}]"#,
            r#"[{"id":3,"v":"d"}]"#,
        ],
        &[r#"[{"id":3,"v":"e"},{"id":4,"v":"f"}]"#],
    ])
    .await;
    let output = shop.run().await.expect("transformed");
    assert_eq!(output.next, Next::Done);
    assert_eq!(
        (
            output.counts["rows"],
            output.counts["rows_written"],
            output.counts["runs_taken"]
        ),
        (6, 4, 1)
    );
    assert_eq!(
        shop.values(TABLE, &["id", "v"]).await,
        ["1 c", "2 b", "3 e", "4 f"]
    );

    shop.take(r#"[{"id":2,"v":"B"},{"id":5,"v":"g"}]"#).await;
    assert_eq!(
        shop.values(TABLE, &["id", "v"]).await,
        ["1 c", "2 B", "3 e", "4 f", "5 g"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn append_adds_and_replace_replaces() {
    let mut log = Harness::new(WriteMode::Append, &[]);
    log.take(r#"[{"v":1},{"v":2}]"#).await;
    log.take(r#"[{"v":2}]"#).await;
    assert_eq!(
        log.values(TABLE, &["_row_id", "v"]).await,
        ["1-000000 1", "1-000001 2", "2-000000 2"]
    );

    let mut list = Harness::new(WriteMode::Replace, &["id"]);
    list.take(r#"[{"id":1,"v":1},{"id":2,"v":1}]"#).await;
    list.pull(&[&[r#"[{"id":8}]"#]]).await;
    let output = list.take(r#"[{"id":2,"v":"changed type"}]"#).await;
    assert_eq!(output.counts["runs_taken"], 1);
    assert_eq!(list.values(TABLE, &["id", "v"]).await, ["2 changed type"]);
    list.take("[]").await;
    assert_eq!(list.rows(TABLE).await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_refresh_makes_a_growing_table_anew_and_of_a_part_no_table_is_made() {
    let mut log = Harness::new(WriteMode::Append, &[]);
    log.take(r#"[{"v":1},{"v":2}]"#).await;
    log.pull(&[&[r#"[{"v":3}]"#]]).await;
    log.pull_to(
        Extent::Everything,
        &[&[r#"[{"v":"a"}]"#], &[r#"[{"v":"b"}]"#]],
    )
    .await;
    log.pull_to(Extent::Part, &[&[r#"[{"v":"c"}]"#]]).await;
    log.run().await.expect("transformed");
    assert_eq!(log.values(TABLE, &["v"]).await, ["a", "b", "c"]);
    log.take(r#"[{"v":"d"}]"#).await;
    assert_eq!(log.values(TABLE, &["v"]).await, ["a", "b", "c", "d"]);

    let mut list = Harness::new(WriteMode::Replace, &["id"]);
    list.take(r#"[{"id":1},{"id":2}]"#).await;
    list.pull_to(Extent::Part, &[&[r#"[{"id":9}]"#]]).await;
    list.run().await.expect("transformed");
    assert_eq!(list.values(TABLE, &["id"]).await, ["1", "2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_runs_are_taken_in_their_order() {
    let mut shop = Harness::new(WriteMode::Upsert, &["id"]);
    shop.pull(&[&[r#"[{"id":1,"v":"first"},{"id":2,"v":"only"}]"#]])
        .await;
    shop.pull(&[&[r#"[{"id":1,"v":"second"}]"#]]).await;
    shop.pull(&[]).await;
    let output = shop.run().await.expect("transformed");
    assert_eq!(output.counts["runs_taken"], 3);
    assert_eq!(
        shop.values(TABLE, &["id", "v"]).await,
        ["1 second", "2 only"]
    );
    let table = shop
        .lake()
        .table("tables/shop/orders")
        .await
        .expect("opened")
        .expect("there");
    assert_eq!(table.sequence().await.expect("a sequence"), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_step_commits_nothing() {
    for (write, key) in [
        (WriteMode::Upsert, &["id"][..]),
        (WriteMode::Append, &[]),
        (WriteMode::Replace, &[]),
    ] {
        let mut shop = Harness::new(write, key);
        shop.take(r#"[{"id":1,"tags":["x","y"]}]"#).await;
        let versions = (
            shop.version(TABLE).await,
            shop.version("orders__tags").await,
        );
        let output = shop.run().await.expect("nothing to take");
        assert!(output.counts.is_empty() && output.next == Next::Done);
        assert_eq!(
            versions,
            (
                shop.version(TABLE).await,
                shop.version("orders__tags").await
            )
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_pulled_means_nothing_to_do() {
    let shop = Harness::new(WriteMode::Append, &[]);
    let output = shop.run().await.expect("nothing to take");
    assert_eq!(output.next, Next::Done);
    assert_eq!(shop.version(TABLE).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn upsert_needs_the_key_in_every_record() {
    let mut shop = Harness::new(WriteMode::Upsert, &["id"]);
    shop.pull(&[&[r#"[{"id":1},{"id":null}]"#]]).await;
    let failure = shop.run().await.expect_err("no key");
    assert_eq!(failure.name.as_str(), "BadData");
    assert!(
        failure.message.contains("record 1 of page 0") && failure.message.contains("`id`"),
        "{failure}"
    );
}
