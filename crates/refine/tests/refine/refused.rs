//! What is not made, and leaves nothing.

use crate::ground::Ground;
use millrace_model::FailureName;
use millrace_model::step::Finding;

async fn fails(models: &str) -> (Ground, FailureName, String) {
    let ground = Ground::new();
    ground
        .table("orders", &[(1, "ada", 10), (2, "bob", 5), (3, "ada", 7)])
        .await;
    ground.table("customers", &[(1, "ada", 0)]).await;
    let definition = ground.define(models).await;
    let failure = ground.make(&definition, 1, "m").await.unwrap_err();
    (ground, failure.name, failure.message)
}

#[tokio::test]
async fn what_breaks_an_expectation_is_not_in_the_table() {
    for (expect, told) in [
        ("{ column: name, is: unique }", "more than once"),
        (
            "{ column: total, between: [6, 10] }",
            "not between 6 and 10",
        ),
        (
            "{ column: name, references: customers.name }",
            "`customers` has no such `name`",
        ),
        ("{ rows: { least: 4 } }", "it brought 3 rows"),
    ] {
        let models =
            format!("  - {{ name: m, query: SELECT * FROM orders, expect: [{expect}] }}\n");
        let (ground, name, message) = fails(&models).await;
        assert_eq!(name, FailureName::BadData, "{message}");
        assert!(message.contains(told), "{message}");
        assert_eq!((ground.version("m").await, ground.files("m")), (None, 0));
    }
}

#[tokio::test]
async fn what_is_only_warned_of_is_counted() {
    let ground = Ground::new();
    ground
        .table("orders", &[(1, "ada", 10), (2, "bob", 5)])
        .await;
    let models = "  - { name: m, query: SELECT * FROM orders, expect: [{ column: total, between: [6, 10], otherwise: warn }] }\n";
    let definition = ground.define(models).await;
    let output = ground.make(&definition, 1, "m").await.unwrap();
    assert_eq!(output.counts["rows_warned"], 1);
    assert!(matches!(
        &output.findings[..],
        [Finding::Expectation { broken: 1, .. }]
    ));
    assert_eq!(ground.rows("m").await.len(), 2);
}

#[tokio::test]
async fn a_query_that_does_not_fit_its_tables_is_told_with_its_place() {
    for (model, told) in [
        ("query: SELECT nme FROM orders", "line 1, column 8"),
        ("query: SELECT count(*) FROM orders", "AS total"),
        (
            "query: SELECT id FROM orders, expect: [{ column: nothing, is: unique }]",
            "`nothing`",
        ),
        (
            "query: SELECT id FROM orders, write: upsert, key: [nothing]",
            "`nothing`",
        ),
    ] {
        let (_, name, message) = fails(&format!("  - {{ name: m, {model} }}\n")).await;
        assert_eq!(name, FailureName::BadDefinition, "{message}");
        assert!(message.contains(told), "{message}");
        assert!(
            message.contains("pipelines/shop.yaml: models, `m`, query"),
            "{message}"
        );
    }
}

#[tokio::test]
async fn values_that_do_not_fit_fail_the_run() {
    for (model, told) in [
        (
            "query: SELECT 1 / (total - 10) AS n FROM orders",
            "ivide by zero",
        ),
        ("query: SELECT CAST(name AS int) AS n FROM orders", "ada"),
        (
            "query: SELECT name FROM orders, write: upsert, key: [name]",
            "several rows with one key",
        ),
        (
            "query: SELECT name FROM orders, key: [name]",
            "several rows with one key",
        ),
    ] {
        let (ground, name, message) = fails(&format!("  - {{ name: m, {model} }}\n")).await;
        assert_eq!(name, FailureName::BadData, "{message}");
        assert!(message.contains(told), "{message}");
        assert_eq!((ground.version("m").await, ground.files("m")), (None, 0));
    }
}
