//! What a Lambda has no time for goes on as a task, from the beginning.

use crate::ground::{Ground, input};
use millrace_model::step::{Deadline, Next};
use std::time::{Duration, Instant};

/// Takes seconds, where it is not ended.
const LONG: &str = "  - { name: m, query: 'SELECT count(*) AS n FROM orders a, orders b, orders c WHERE a.total + b.total > c.total' }\n";
const SHORT: &str = "  - { name: m, query: 'SELECT count(*) AS n FROM orders' }\n";

async fn ground() -> Ground {
    let ground = Ground::new();
    let rows: Vec<(i64, &str, i64)> = (0..3_000).map(|id| (id, "ada", id)).collect();
    ground.table("orders", &rows).await;
    ground
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_outlasts_its_lambda_is_ended_and_handed_over() {
    let ground = ground().await;
    let definition = ground.define(LONG).await;
    let first = input(&definition, 1, "m");
    let began = Instant::now();
    // Of which five seconds are kept for the commit.
    let deadline = Deadline::after(Duration::from_millis(5_500));
    let output = ground.step(&first, deadline).await.unwrap();
    assert_eq!((output.next, output.input.invocation), (Next::Task, 1));
    assert!(began.elapsed() < Duration::from_secs(5), "it went on");
    assert_eq!((ground.version("m").await, ground.files("m")), (None, 0));
}

#[tokio::test]
async fn a_lambda_that_is_asked_again_hands_over_and_the_task_makes_it() {
    let ground = ground().await;
    let definition = ground.define(SHORT).await;
    let mut second = input(&definition, 1, "m");
    second.invocation = 1;
    let deadline = Deadline::after(Duration::from_mins(15));
    let output = ground.step(&second, deadline).await.unwrap();
    assert_eq!((output.next, ground.version("m").await), (Next::Task, None));
    let output = ground.step(&output.input, Deadline::NONE).await.unwrap();
    assert_eq!(output.next, Next::Done);
    assert_eq!(ground.rows("m").await, ["3000"]);
}
