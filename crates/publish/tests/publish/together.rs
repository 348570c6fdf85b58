//! What others do meanwhile: readers, other publishes, whoever kills one, whoever owns what is there.

use crate::support::{Place, owned, rows, schema};
use millrace_lake::WriteKind;
use millrace_model::FailureName;
use millrace_model::step::{Deadline, Next, StepInput, Unobserved};
use millrace_postgres::connect;
use millrace_publish::Publish;
use millrace_store::secrets::LocalSecrets;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

#[tokio::test]
async fn indexes_follow_the_endpoints() {
    let mut place = Place::new().await;
    place
        .write(
            WriteKind::Upsert,
            &rows(&schema(&["more", "other"]), &[(1, "{}")]),
        )
        .await;
    let with = place
        .input(
            "upsert",
            &[
                "SELECT id FROM sales.orders WHERE name = :x ORDER BY id",
                "SELECT id FROM sales.orders WHERE other = :x",
                "SELECT id FROM sales.orders WHERE id::text = :x ORDER BY id",
            ],
        )
        .await;
    place.published(&with).await;
    let before = place.indexes().await;
    assert!(before.len() >= 3, "{before:?}");
    let owner = connect(&place.owner, "test").await.unwrap();
    owner
        .batch_execute("CREATE INDEX theirs ON sales.orders (name, other)")
        .await
        .unwrap();
    let without = place.input("upsert", &[]).await;
    place.published(&without).await;
    assert_eq!(
        place.indexes().await,
        ["(id)", "(name, other)"],
        "those that somebody else made stay"
    );
    place.published(&with).await;
    assert_eq!(place.indexes().await.len(), before.len() + 1);
}

#[tokio::test]
async fn what_is_not_ours_is_left_alone() {
    let mut place = Place::new().await;
    let owner = connect(&place.owner, "test").await.unwrap();
    owner
        .batch_execute("CREATE SCHEMA sales; CREATE TABLE sales.orders (id bigint, name text)")
        .await
        .unwrap();
    place
        .write(WriteKind::Upsert, &rows(&schema(&[]), &[(1, "a")]))
        .await;
    let input = place.input("upsert", &[]).await;
    let failure = place.run(&input).await.unwrap_err();
    assert_eq!(failure.name, FailureName::BadDefinition);
    assert!(place.rows().await.is_empty());
    // A view that reads the table is told about before it is in the way.
    owner
        .batch_execute("DROP TABLE sales.orders")
        .await
        .unwrap();
    place.published(&input).await;
    owner
        .batch_execute("CREATE VIEW sales.names AS SELECT name FROM sales.orders")
        .await
        .unwrap();
    place
        .write(WriteKind::Upsert, &rows(&schema(&["more"]), &[(2, "{}")]))
        .await;
    let failure = place.run(&input).await.unwrap_err();
    assert!(failure.message.contains("view sales.names"), "{failure}");
    assert_eq!(place.rows().await, owned(&[(1, "a")]));
}

#[tokio::test]
async fn readers_see_the_old_rows_or_the_new_ones() {
    let mut place = Place::new().await;
    let input = place.input("replace", &[]).await;
    let schema = schema(&[]);
    let version = |number: usize| -> Vec<(i64, String)> {
        (0..500).map(|id| (id, format!("v{number}"))).collect()
    };
    let batch = |number: usize| {
        let name = format!("v{number}");
        let all: Vec<(i64, &str)> = (0..500).map(|id| (id, name.as_str())).collect();
        rows(&schema, &all)
    };
    place.write(WriteKind::Replace, &batch(0)).await;
    place.published(&input).await;
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (reader, stop) = (place.reader.clone(), stop.clone());
            tokio::spawn(async move {
                let client = connect(&reader, "test").await.unwrap();
                let mut seen = 0;
                while !stop.load(Ordering::Relaxed) {
                    let sql = "SELECT count(*), count(DISTINCT name) FROM sales.orders";
                    let row = client.query_one(sql, &[]).await.unwrap();
                    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (500, 1));
                    seen += 1;
                }
                seen
            })
        })
        .collect();
    for number in 1..8 {
        place.write(WriteKind::Replace, &batch(number)).await;
        place.published(&input).await;
        assert_eq!(place.rows().await.len(), version(number).len());
    }
    stop.store(true, Ordering::Relaxed);
    for reader in readers {
        assert!(reader.await.unwrap() > 0);
    }
}

#[tokio::test]
async fn two_at_once_publish_once() {
    let mut place = Place::new().await;
    let input = place.input("append", &[]).await;
    let many: Vec<(i64, &str)> = (0..5000).map(|id| (id, "x")).collect();
    place
        .write(WriteKind::Append, &rows(&schema(&[]), &many))
        .await;
    let runs = futures::future::join_all((0..4).map(|_| place.run(&input))).await;
    let written: u64 = runs
        .into_iter()
        .map(|run| run.unwrap().counts["rows"])
        .sum();
    assert_eq!(written, 5000);
    assert_eq!(place.rows().await.len(), 5000);
}

#[tokio::test]
async fn the_first_of_a_schema_may_be_published_at_once() {
    let mut place = Place::new().await;
    let batch = rows(&schema(&[]), &[(1, "ada"), (2, "bob")]);
    place.write(WriteKind::Upsert, &batch).await;
    let orders = place.input("upsert", &[]).await;
    let named = |name: &str| StepInput {
        name: name.to_owned(),
        ..orders.clone()
    };
    let (copies, others) = (named("sales.copies"), named("sales.others"));
    let (one, two, three) = tokio::join!(
        place.published(&orders),
        place.published(&copies),
        place.published(&others)
    );
    assert_eq!([one["rows"], two["rows"], three["rows"]], [2, 2, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publish_that_is_killed_leaves_the_old_rows() {
    let mut place = Place::new().await;
    let input = place.input("replace", &[]).await;
    let schema = schema(&[]);
    place
        .write(WriteKind::Replace, &rows(&schema, &[(1, "old")]))
        .await;
    place.published(&input).await;
    let many: Vec<(i64, &str)> = (0..200_000).map(|id| (id, "new")).collect();
    place.write(WriteKind::Replace, &rows(&schema, &many)).await;
    let mut killed = 0;
    for milliseconds in [1, 5, 20, 60, 120, 200] {
        // Dropping the future drops the connection, as a killed process does.
        if tokio::time::timeout(Duration::from_millis(milliseconds), place.run(&input))
            .await
            .is_ok()
        {
            break;
        }
        // A commit that was on its way may arrive after its sender's death: then all is there, and never a part.
        let rows = place.rows().await;
        if rows.len() == 200_000 {
            break;
        }
        killed += 1;
        assert_eq!(rows, owned(&[(1, "old")]));
    }
    assert!(killed > 0);
    place.published(&input).await;
    assert_eq!(place.rows().await.len(), 200_000);
    let left =
        "SELECT count(*) FROM pg_class WHERE relname LIKE 'millrace_new%' OR relname LIKE '%_new'";
    assert_eq!(
        place
            .client
            .query_one(left, &[])
            .await
            .unwrap()
            .get::<_, i64>(0),
        0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_lambda_has_no_time_for_goes_to_a_task() {
    let mut place = Place::new().await;
    let input = place.input("replace", &[]).await;
    let many: Vec<(i64, &str)> = (0..400_000).map(|id| (id, "new")).collect();
    place
        .write(WriteKind::Replace, &rows(&schema(&[]), &many))
        .await;
    // The margin is 5 s, so that 20 ms are left.
    let deadline = Deadline::after(Duration::from_millis(5020));
    let output = place
        .publish
        .run(&input, deadline, &Unobserved)
        .await
        .unwrap();
    assert_eq!((output.next, output.input.invocation), (Next::Task, 1));
    assert_eq!(place.published(&output.input).await["rows"], 400_000);
}

#[tokio::test]
async fn a_wrong_password_names_the_secret() {
    let mut place = Place::new().await;
    place
        .write(WriteKind::Upsert, &rows(&schema(&[]), &[(1, "a")]))
        .await;
    let input = place.input("upsert", &[]).await;
    let wrong = place.owner.with_role(&place.owner.username, "hunter2");
    let variable = (LocalSecrets::variable("millrace/owner"), wrong.to_secret());
    let secrets = Arc::new(LocalSecrets::new(None, [variable]));
    let publish = Publish::new(
        place.shop.objects.clone(),
        place.shop.lake.clone(),
        secrets,
        "millrace/owner".to_owned(),
    );
    let failure = publish
        .run(&input, Deadline::NONE, &Unobserved)
        .await
        .unwrap_err();
    assert_eq!(failure.name, FailureName::Unauthorized);
    assert!(
        failure.message.contains("millrace/owner") && !failure.message.contains("hunter2"),
        "{failure}"
    );
}
