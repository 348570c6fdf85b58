//! What is made, and that it is made once.

use crate::ground::Ground;
use millrace_model::step::{Finding, Next};

const SUMS: &str =
    "  - name: sums\n    query: SELECT name, sum(total) AS total FROM orders GROUP BY name\n";

#[tokio::test]
async fn a_model_has_the_rows_of_its_query() {
    let ground = Ground::new();
    ground
        .table("orders", &[(1, "ada", 10), (2, "bob", 5), (3, "ada", 7)])
        .await;
    let definition = ground.define(SUMS).await;
    let output = ground.make(&definition, 1, "sums").await.unwrap();
    assert_eq!(
        (output.next, output.counts["rows_written"]),
        (Next::Done, 2)
    );
    assert_eq!(ground.rows("sums").await, ["ada 17", "bob 5"]);
}

#[tokio::test]
async fn a_step_that_is_repeated_commits_nothing_and_the_next_run_makes_it_anew() {
    let ground = Ground::new();
    ground.table("orders", &[(1, "ada", 10)]).await;
    let definition = ground.define(SUMS).await;
    ground.make(&definition, 1, "sums").await.unwrap();
    ground
        .table("orders", &[(1, "ada", 11), (2, "bob", 1)])
        .await;
    let again = ground.make(&definition, 1, "sums").await.unwrap();
    assert_eq!((again.next, again.counts.len()), (Next::Done, 0));
    assert_eq!(ground.version("sums").await, Some(0));
    assert_eq!(ground.rows("sums").await, ["ada 10"]);
    ground.make(&definition, 2, "sums").await.unwrap();
    assert_eq!(ground.rows("sums").await, ["ada 11", "bob 1"]);
}

#[tokio::test]
async fn two_that_make_it_at_once_leave_what_one_would() {
    let ground = Ground::new();
    let rows: Vec<(i64, &str, i64)> = (0..2000).map(|id| (id, "ada", 1)).collect();
    ground.table("orders", &rows).await;
    let models = "  - { name: sums, write: append, query: 'SELECT name, sum(total) AS total FROM orders GROUP BY 1' }\n";
    let definition = ground.define(models).await;
    let step = || ground.make(&definition, 1, "sums");
    let (one, other) = tokio::join!(step(), step());
    assert_eq!(
        (one.unwrap().next, other.unwrap().next),
        (Next::Done, Next::Done)
    );
    assert_eq!(ground.rows("sums").await, ["ada 2000"]);
    assert_eq!(ground.files("sums"), 1, "the loser's file was left behind");
}

#[tokio::test]
async fn what_is_appended_comes_beside_and_gets_columns() {
    let ground = Ground::new();
    ground.table("orders", &[(1, "ada", 10)]).await;
    let count = "  - { name: counts, write: append, query: SELECT count(*) AS n FROM orders }\n";
    let definition = ground.define(count).await;
    ground.make(&definition, 1, "counts").await.unwrap();
    ground
        .table("orders", &[(1, "ada", 10), (2, "bob", 5)])
        .await;
    let more = "  - { name: counts, write: append, query: 'SELECT count(*) AS n, max(total) AS most FROM orders' }\n";
    let definition = ground.define(more).await;
    ground.make(&definition, 2, "counts").await.unwrap();
    assert_eq!(ground.rows("counts").await, ["1 ", "2 10"]);
}

#[tokio::test]
async fn an_upsert_keeps_the_rows_that_the_answer_does_not_have() {
    let ground = Ground::new();
    let models = "  - { name: sums, write: upsert, key: [name], query: 'SELECT name, sum(total) AS total FROM orders GROUP BY 1' }\n";
    let definition = ground.define(models).await;
    ground
        .table("orders", &[(1, "ada", 10), (2, "bob", 5)])
        .await;
    ground.make(&definition, 1, "sums").await.unwrap();
    ground
        .table("orders", &[(3, "bob", 6), (4, "cleo", 1)])
        .await;
    let output = ground.make(&definition, 2, "sums").await.unwrap();
    assert_eq!(output.counts["rows_replaced"], 1);
    assert_eq!(ground.rows("sums").await, ["ada 10", "bob 6", "cleo 1"]);
}

#[tokio::test]
async fn a_model_reads_tables_of_several_pipelines() {
    let ground = Ground::new();
    ground
        .table("orders", &[(1, "ada", 10), (2, "bob", 5), (3, "ada", 7)])
        .await;
    let people = [(1, "ada", 1815), (2, "eve", 0)];
    ground.table_of("crm-eu", "people", &people).await;
    let models = "  - name: sums\n    query: SELECT p.total AS born, sum(o.total) AS total FROM orders o JOIN \
                  \"crm-eu\".people p ON p.name = o.name GROUP BY 1\n";
    let definition = ground.define(models).await;
    ground.make(&definition, 1, "sums").await.unwrap();
    assert_eq!(ground.rows("sums").await, ["1815 17"]);
}

#[tokio::test]
async fn models_are_made_of_models_in_order() {
    let ground = Ground::new();
    ground
        .table("orders", &[(1, "ada", 10), (2, "bob", 5)])
        .await;
    let models = "  - { name: best, query: 'SELECT name FROM sums ORDER BY total DESC LIMIT 1' }\n";
    let definition = ground.define(&format!("{models}{SUMS}")).await;
    ground.make(&definition, 1, "sums").await.unwrap();
    ground.make(&definition, 1, "best").await.unwrap();
    assert_eq!(ground.rows("best").await, ["ada"]);
}

#[tokio::test]
async fn what_reads_a_table_that_is_not_there_yet_is_not_made() {
    let ground = Ground::new();
    let definition = ground.define(SUMS).await;
    let output = ground.make(&definition, 1, "sums").await.unwrap();
    assert_eq!(output.next, Next::Done);
    assert!(
        matches!(&output.findings[..], [Finding::NotMade { reason, .. }] if reason.contains("shop.orders"))
    );
    assert_eq!(ground.version("sums").await, None);
}

#[tokio::test]
async fn an_answer_without_rows_is_a_table_without_rows() {
    let ground = Ground::new();
    ground.table("orders", &[(1, "ada", 10)]).await;
    let models = "  - { name: none, query: 'SELECT name FROM orders WHERE id < 0' }\n";
    let definition = ground.define(models).await;
    ground.make(&definition, 1, "none").await.unwrap();
    assert_eq!(ground.version("none").await, Some(0));
    assert!(ground.rows("none").await.is_empty());
    ground.make(&definition, 2, "none").await.unwrap();
    assert_eq!(ground.version("none").await, Some(1));
}
