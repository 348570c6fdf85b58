//! An erasure reaches what models made of a table.

use crate::ground::Ground;

const MODELS: &str = "  - { name: names, query: 'SELECT name AS who, sum(total) AS total FROM orders GROUP BY 1', expect: [{ \
                      column: total, between: [0, 10], otherwise: quarantine }, { rows: { least: 2 } }] }\n  - { name: best, \
                      query: 'SELECT max(who) AS last FROM names' }\n  - { name: log, write: append, query: 'SELECT id, name FROM \
                      orders' }\n  - { name: blind, write: append, query: 'SELECT name AS who FROM orders' }\n  - { name: other, \
                      query: SELECT * FROM customers }\n";

async fn made() -> (Ground, String) {
    let ground = Ground::new();
    ground
        .table("orders", &[(1, "ada", 10), (2, "subject", 5)])
        .await;
    ground.table("customers", &[(1, "ada", 0)]).await;
    let definition = ground.define(MODELS).await;
    for run in [1, 2] {
        for model in ["names", "best", "log", "blind", "other"] {
            ground.make(&definition, run, model).await.unwrap();
        }
    }
    (ground, definition)
}

#[tokio::test]
async fn models_are_made_anew_and_what_was_appended_loses_its_rows() {
    let (ground, definition) = made().await;
    let line = "{}\n".to_owned();
    let kept_out = Ground::quarantine(1, "names");
    ground.objects.put(&kept_out, line.into()).await.unwrap();
    // As the tables are when they have forgotten it; that too few rows are left does not hold the erasure up.
    ground.table("orders", &[(1, "ada", 10)]).await;
    let forgotten = ground.forget(MODELS, "2").await.unwrap();
    assert_eq!(ground.rows("names").await, ["ada 10"]);
    assert_eq!(ground.rows("best").await, ["ada"]);
    assert_eq!(ground.rows("log").await, ["1 ada", "1 ada"]);
    assert_eq!(ground.quarantined(1, "names").await, None);
    // Earlier versions are gone: the newest one's files are all there are.
    assert_eq!((ground.files("names"), ground.files("best")), (1, 1));
    assert_eq!(ground.files("log"), 1);
    let counts = &forgotten.counts;
    assert_eq!(
        (counts["models"], counts["rows"], counts["quarantined"]),
        (3, 2, 1)
    );
    // Whose the rows are that were appended without their key, nobody can tell.
    let kept: Vec<String> = forgotten.kept.iter().map(ToString::to_string).collect();
    assert_eq!(kept, ["shop.blind"]);
    // What has nothing of it stays as it is.
    assert_eq!(
        (ground.version("other").await, ground.files("other")),
        (Some(1), 2)
    );
    // The step of a run that had made it before finds it made.
    let again = ground.make(&definition, 2, "names").await.unwrap();
    assert_eq!(again.counts.len(), 0);
    let once_more = ground.forget(MODELS, "2").await.unwrap();
    assert_eq!(once_more.counts.get("rows"), None);
}

#[tokio::test]
async fn a_model_that_cannot_be_made_fails_the_erasure() {
    let (ground, _) = made().await;
    let broken = MODELS.replace("sum(total)", "sum(nothing)");
    let failure = ground.forget(&broken, "2").await.unwrap_err();
    assert!(failure.message.contains("nothing"), "{failure}");
}
