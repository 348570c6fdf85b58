//! What changed since the last run, and nothing else.

use crate::support::{World, source};
use millrace_model::definition::pipeline::CursorValue;
use millrace_model::step::{Deadline, Next, Unobserved};
use sample::Correct;
use std::collections::BTreeSet;

#[tokio::test]
async fn a_second_run_asks_from_the_cursor_on_and_gets_the_corrections() {
    let source = source(3_000).await;
    let world = World::of_quakes(&source, 500).incremental();
    let first = world.pull(1).await;
    assert_eq!(first.ids().len(), 3_000);
    assert!(
        first.pages[0]
            .0
            .url
            .contains("updatedafter=2018-01-01T00%3A00%3A00.000Z")
    );
    let after_first = world.state().await.unwrap();

    let corrected = source.correct(&Correct {
        count: 40,
        magnitude: 0.5,
        ..Correct::default()
    });
    let second = world.pull(2).await;
    let pulled: BTreeSet<String> = second.ids().into_iter().collect();
    assert!(
        corrected.ids.iter().all(|id| pulled.contains(id)),
        "all corrections were pulled"
    );
    assert!(
        pulled.len() < 50,
        "{} records for 40 corrections",
        pulled.len()
    );
    let state = world.state().await.unwrap();
    assert_eq!(
        state.cursor,
        Some(CursorValue::Timestamp(corrected.updated))
    );
    assert!(state.cursor > after_first.cursor);
    assert_eq!(state.sequence, 2);

    // What is asked for again is what the lookback covers: the corrections themselves.
    assert_eq!(world.pull(3).await.ids().len(), 40);
    assert_eq!(world.state().await.unwrap().cursor, state.cursor);
}

#[tokio::test]
async fn a_run_without_news_is_complete_and_leaves_the_cursor() {
    let source = source(100).await;
    let world = World::of_quakes(&source, 500).incremental();
    world.pull(1).await;
    let before = world.state().await.unwrap();
    let mut later = World::of_quakes(&source, 500).incremental();
    later.objects = world.objects.clone();
    later
        .resource
        .params
        .insert("minmagnitude".into(), "9.9".into());
    let pulled = later.pull(2).await;
    assert_eq!((pulled.pages.len(), pulled.pages[0].0.status), (1, 204));
    let after = world.state().await.unwrap();
    assert_eq!((after.cursor, after.sequence), (before.cursor, 2));
}

#[tokio::test]
async fn a_run_that_is_done_is_done_again_without_a_request() {
    let source = source(100).await;
    let world = World::of_quakes(&source, 60).incremental();
    world.pull(1).await;
    let (requests, state) = (source.stats().requests, world.state().await);
    let output = world.run(1).await.unwrap();
    assert_eq!((output.next, output.counts.len()), (Next::Done, 0));
    assert_eq!(source.stats().requests, requests);
    assert_eq!(world.state().await, state);
}

#[tokio::test]
async fn a_run_keeps_its_start_while_another_one_moves_the_cursor() {
    let source = source(2_000).await;
    let world = World::of_quakes(&source, 200).incremental();
    let input = world.input(1).await;
    // The first run gets no further than a segment or two.
    let stopped = world
        .ingest_until(9, false)
        .run(&input, Deadline::NONE, &Unobserved)
        .await;
    assert!(stopped.is_err());
    assert!(!world.pulled(1).await.manifests.is_empty());
    world.pull(2).await;
    let first = world.pull(1).await;
    assert_eq!(first.ids().len(), 2_000);
    assert!(
        first
            .pages
            .iter()
            .all(|(page, _)| page.url.contains("updatedafter=2018-01-01T"))
    );
}
