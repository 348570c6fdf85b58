//! Bodies that are broken, stores that fail, steps that meet.

use crate::harness::{Harness, TABLE, rows};
use crate::mortal::Life;
use millrace_model::definition::pipeline::WriteMode;
use millrace_model::step::{Deadline, Next, StepInput, Unobserved};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_body_is_named_with_object_page_and_byte() {
    for (body, at) in [
        (r#"{"features":[{"id":1},{"id":2"#, "byte 29"),
        (r#"{"features":[{"id":1},{"id":tru}]}"#, "byte 28"),
        (r#"{"other":[]}"#, "byte 0: there is no `features`"),
        ("<html>busy</html>", "byte 0"),
    ] {
        let mut shop = Harness::new(WriteMode::Append, &[]);
        shop.records = "features";
        let run = shop.pull(&[&[r#"{"features":[]}"#, body]]).await;
        let failure = shop.run().await.expect_err("broken");
        assert_eq!(failure.name.as_str(), "BadData", "{failure}");
        let object = format!("raw/shop/orders/{run}/segment/00000000-test.zst`, page 1");
        assert!(
            failure.message.contains(&object) && failure.message.contains(at),
            "{failure}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_raw_payload_that_is_gone_is_named() {
    let mut shop = Harness::new(WriteMode::Append, &[]);
    let run = shop.pull(&[&["[1]"]]).await;
    let key = millrace_model::keys::raw_manifest("shop", "orders", &run, 0);
    shop.objects.delete(&key).await.expect("deleted");
    let failure = shop.run().await.expect_err("gone");
    assert!(failure.message.contains(&key), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lambda_hands_over_what_would_take_too_long() {
    let mut shop = Harness::new(WriteMode::Append, &[]);
    shop.pull(&[&["[1]"]]).await;
    let input = shop.pinned().await;
    let transform = shop.transform();
    let soon = Deadline::after(Duration::from_millis(100));
    let output = transform
        .run(&input, soon, &Unobserved)
        .await
        .expect("handed over");
    assert_eq!(output.next, Next::Task);
    assert_eq!(shop.version(TABLE).await, None);
    // One that was called again goes on as a task, however much time it has.
    let again = StepInput {
        invocation: 1,
        ..input
    };
    let output = transform
        .run(
            &again,
            Deadline::after(Duration::from_mins(10)),
            &Unobserved,
        )
        .await
        .expect("handed over");
    assert_eq!(output.next, Next::Task);
    let output = transform
        .run(&again, Deadline::NONE, &Unobserved)
        .await
        .expect("transformed");
    assert_eq!(output.next, Next::Done);
    assert_eq!(shop.values(TABLE, &["value"]).await, ["1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn steps_that_run_at_once_leave_what_one_leaves() {
    for write in [WriteMode::Append, WriteMode::Upsert] {
        let mut shop = Harness::new(write, &["id"]);
        shop.take(r#"[{"id":1,"tags":["a"]}]"#).await;
        shop.pull(&[&[r#"[{"id":1,"tags":["b"]},{"id":2,"tags":["c","d"]}]"#]])
            .await;
        let input = shop.pinned().await;
        let steps = (0..4).map(|_| {
            let (transform, input) = (shop.transform(), input.clone());
            tokio::spawn(async move { transform.run(&input, Deadline::NONE, &Unobserved).await })
        });
        for step in steps.collect::<Vec<_>>() {
            step.await
                .expect("no panic")
                .expect("transformed, or nothing left to do");
        }
        let expected = if write == WriteMode::Append {
            ["a", "b", "c", "d"].as_slice()
        } else {
            &["b", "c", "d"]
        };
        assert_eq!(
            shop.values("orders__tags", &["value"]).await,
            expected,
            "{write:?}"
        );
        assert_eq!(shop.version(TABLE).await, Some(1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_dies_anywhere_is_done_by_the_next_one() {
    for write in [
        WriteMode::Append,
        WriteMode::Upsert,
        WriteMode::Replace,
        WriteMode::History,
    ] {
        let mut deaths = 0;
        for writes in 0.. {
            let mut shop = Harness::new(write, &["id"]);
            shop.take(r#"[{"id":1,"a":[1],"b":["x"]},{"id":2,"a":[2]}]"#)
                .await;
            shop.pull(&[&[r#"[{"id":2,"a":[20,21],"new":true},{"id":3,"b":["y"]}]"#]])
                .await;
            let input = shop.pinned().await;
            let life = Life::of(writes);
            let survived = life
                .transform(&shop)
                .run(&input, Deadline::NONE, &Unobserved)
                .await
                .is_ok();
            // The run that comes next may have more to take than the one that died.
            shop.take(r#"[{"id":4,"a":[4]},{"id":1,"a":[],"b":["z"]}]"#)
                .await;

            let mut clean = Harness::new(write, &["id"]);
            clean
                .take(r#"[{"id":1,"a":[1],"b":["x"]},{"id":2,"a":[2]}]"#)
                .await;
            clean
                .take(r#"[{"id":2,"a":[20,21],"new":true},{"id":3,"b":["y"]}]"#)
                .await;
            clean
                .take(r#"[{"id":4,"a":[4]},{"id":1,"a":[],"b":["z"]}]"#)
                .await;
            for table in [TABLE, "orders__a", "orders__b"] {
                assert_eq!(
                    shop.rows(table).await,
                    rows(&clean.lake(), table).await,
                    "{write:?} {writes} {table}"
                );
            }
            if survived {
                break;
            }
            deaths += 1;
        }
        assert!(deaths >= 4, "{write:?} died {deaths} times only");
    }
}
