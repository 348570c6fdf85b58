//! Killed anywhere, run again, run by two at once: the same.

use crate::support::{World, source};
use millrace_model::raw::Position;
use millrace_model::step::{Deadline, Next, Unobserved};
use sample::Behaviour;
use std::collections::BTreeMap;
use std::time::Duration;

#[tokio::test]
async fn a_lake_that_fails_at_any_call_leaves_what_a_clean_run_leaves() {
    let source = source(1_500).await;
    let clean = World::of_quakes(&source, 200).incremental();
    let expected = clean.pull(1).await.essence();
    let state = clean.state().await;
    for carries_out_the_last in [false, true] {
        let mut calls = 1;
        loop {
            let world = World::of_quakes(&source, 200).incremental();
            let input = world.input(1).await;
            let dying = world.ingest_until(calls, carries_out_the_last);
            let is_done = dying.run(&input, Deadline::NONE, &Unobserved).await.is_ok();
            let pulled = world.pull(1).await;
            assert_eq!(pulled.essence(), expected, "died at call {calls}");
            assert_eq!(world.state().await, state.clone(), "died at call {calls}");
            if is_done {
                break;
            }
            calls += 1;
        }
        assert!(
            calls > 10,
            "{calls} calls are too few to have been through it all"
        );
    }
}

#[tokio::test]
async fn a_pull_that_is_dropped_again_and_again_comes_to_its_end() {
    let source = source(3_000).await;
    source.behave(Behaviour {
        delay_ms: 2,
        ..Behaviour::default()
    });
    let clean = World::of_quakes(&source, 100).incremental();
    let expected = clean.pull(1).await;
    for round in 0..12_u64 {
        let world = World::of_quakes(&source, 100).incremental();
        let input = world.input(1).await;
        for attempt in 0..6_u64 {
            let patience = Duration::from_millis((round * 37 + attempt * 53) % 140);
            let ingest = world.ingest();
            let _ = tokio::time::timeout(patience, ingest.run(&input, Deadline::NONE, &Unobserved))
                .await;
        }
        let pulled = world.pull(1).await;
        assert_eq!(pulled.essence(), expected.essence());
        assert_eq!(
            world.state().await.unwrap().cursor,
            clean.state().await.unwrap().cursor
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_at_once_leave_what_one_leaves() {
    let source = source(3_000).await;
    source.behave(Behaviour {
        delay_ms: 1,
        ..Behaviour::default()
    });
    let expected = World::of_quakes(&source, 100).incremental().pull(1).await;
    for _ in 0..5 {
        let world = World::of_quakes(&source, 100).incremental();
        let input = world.input(1).await;
        let (one, other) = (world.ingest(), world.ingest());
        let (one, other) = tokio::join!(
            one.run(&input, Deadline::NONE, &Unobserved),
            other.run(&input, Deadline::NONE, &Unobserved),
        );
        let (one, other) = (one.unwrap(), other.unwrap());
        assert_eq!((one.next, other.next), (Next::Done, Next::Done));
        let pulled = world.pulled(1).await;
        assert_eq!(pulled.essence(), expected.essence());
        assert_eq!(one.counts["records"] + other.counts["records"], 3_000);
        let state = world.state().await.unwrap();
        assert_eq!((state.sequence, state.runs.len()), (1, 1));
    }
}

#[tokio::test]
async fn before_the_deadline_there_is_a_checkpoint_and_in_the_end_a_task() {
    let source = source(3_000).await;
    source.behave(Behaviour {
        delay_ms: 50,
        ..Behaviour::default()
    });
    let world = World::of_quakes(&source, 100).incremental();
    let mut input = world.input(1).await;
    let mut decisions = Vec::new();
    for _ in 0..3 {
        let began = std::time::Instant::now();
        let output = world
            .ingest()
            .run(
                &input,
                Deadline::after(Duration::from_millis(600)),
                &Unobserved,
            )
            .await;
        let output = output.unwrap();
        assert!(
            began.elapsed() < Duration::from_millis(600),
            "it took {:?}",
            began.elapsed()
        );
        assert!(output.counts["pages"] > 0);
        decisions.push(output.next);
        input = output.input;
    }
    assert_eq!(decisions, [Next::More, Next::More, Next::Task]);
    assert!(!world.pulled(1).await.is_complete());
    let output = world
        .ingest()
        .as_task()
        .run(&input, Deadline::NONE, &Unobserved)
        .await
        .unwrap();
    assert_eq!(output.next, Next::Done);
    let pulled = world.pulled(1).await;
    assert_eq!(pulled.ids().len(), 3_000);
    assert_eq!(pulled.manifests[0].written_by, "lambda");
    assert_eq!(pulled.manifests.last().unwrap().written_by, "task");
    assert_eq!(pulled.manifests.last().unwrap().next, Position::End);
    let mut times: BTreeMap<String, u32> = BTreeMap::new();
    for sent in source.sent() {
        *times.entry(sent.url).or_default() += 1;
    }
    let again = times.values().filter(|times| **times > 1).count();
    assert!(
        again <= 3,
        "{again} pages were asked for twice, more than one in flight for each invocation"
    );
}

#[tokio::test]
async fn a_page_that_takes_longer_than_a_lambda_is_left_to_a_task() {
    let source = source(300).await;
    source.behave(Behaviour {
        delay_ms: 900,
        ..Behaviour::default()
    });
    let world = World::of_quakes(&source, 200).incremental();
    let input = world.input(1).await;
    let output = world
        .ingest()
        .run(
            &input,
            Deadline::after(Duration::from_millis(600)),
            &Unobserved,
        )
        .await
        .unwrap();
    assert_eq!(output.next, Next::Task);
    assert_eq!(world.pull(1).await.ids().len(), 300);
}
