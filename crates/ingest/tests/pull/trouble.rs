//! Sources that are busy, broken or slow.

use crate::support::{World, limits, serve, source};
use axum::Router;
use axum::http::StatusCode;
use millrace_ingest::{Ingest, Limits};
use millrace_model::FailureName;
use millrace_model::step::{Counts, Deadline, Next, Observer, Unobserved};
use sample::{Behaviour, Running, StatusEvery};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

fn status_every(n: u64, status: u16, retry_after: Option<&str>) -> Behaviour {
    let retry_after = retry_after.map(ToOwned::to_owned);
    Behaviour {
        status_every: Some(StatusEvery {
            n,
            status,
            retry_after,
        }),
        ..Behaviour::default()
    }
}

#[tokio::test]
async fn what_passes_is_retried_and_changes_nothing() {
    let source = source(2_000).await;
    let expected = World::of_quakes(&source, 200).pull(1).await.essence();
    for behaviour in [
        status_every(3, 500, None),
        status_every(3, 502, None),
        status_every(3, 408, None),
        status_every(3, 425, None),
        status_every(2, 429, None),
        status_every(2, 503, Some("0")),
        Behaviour {
            cut_every: Some(3),
            ..Behaviour::default()
        },
        Behaviour {
            cut_every: Some(3),
            gzip: true,
            ..Behaviour::default()
        },
    ] {
        source.behave(behaviour.clone());
        let world = World::of_quakes(&source, 200);
        let output = world.run(1).await.unwrap();
        assert!(output.counts["retries"] >= 3, "{behaviour:?}");
        assert_eq!(
            output.counts["requests"],
            output.counts["pages"] + output.counts["retries"]
        );
        assert_eq!(output.counts["records"], 2_000);
        let pulled = world.pulled(1).await;
        assert_eq!(pulled.essence(), expected, "{behaviour:?}");
        pulled.assert_verbatim(&source);
        let requests: u64 = pulled
            .manifests
            .iter()
            .map(|manifest| manifest.requests)
            .sum();
        assert_eq!(requests, output.counts["requests"]);
    }
}

#[tokio::test]
async fn a_body_that_stalls_is_given_up_after_the_connections_timeout() {
    let source = source(500).await;
    source.behave(Behaviour {
        stall_every: Some(2),
        ..Behaviour::default()
    });
    let mut world = World::of_quakes(&source, 200);
    world.connection.timeouts.whole = Duration::from_millis(300);
    let pulled = world.pull(1).await;
    assert_eq!(pulled.ids().len(), 500);
    assert!(source.stats().broken >= 2);
}

#[tokio::test]
async fn retry_after_is_waited_for_and_never_shortened() {
    let source = source(300).await;
    source.behave(status_every(2, 429, Some("1")));
    let began = Instant::now();
    let world = World::of_quakes(&source, 200);
    let output = world.run(1).await.unwrap();
    assert_eq!(output.counts["retries"], 1);
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert!(output.counts["waited_ms"] >= 1_000);
}

#[tokio::test]
async fn a_long_wait_is_left_to_the_conductor_behind_a_checkpoint() {
    let source = source(500).await;
    source.behave(status_every(2, 429, Some("90")));
    let world = World::of_quakes(&source, 200);
    let input = world.input(1).await;
    let output = world
        .ingest()
        .run(
            &input,
            Deadline::after(Duration::from_mins(10)),
            &Unobserved,
        )
        .await
        .unwrap();
    assert_eq!(
        (output.next, output.wait_seconds, output.counts["pages"]),
        (Next::Wait, 90, 1)
    );
    assert_eq!(world.pulled(1).await.ids().len(), 200);

    // Whoever comes too early, with another run even, is told to wait as well, and the source is left alone.
    let asked = source.stats().requests;
    let other = world.input(2).await;
    let early = world
        .ingest()
        .run(
            &other,
            Deadline::after(Duration::from_mins(10)),
            &Unobserved,
        )
        .await
        .unwrap();
    assert_eq!((early.next, source.stats().requests), (Next::Wait, asked));
    assert!((85..=91).contains(&early.wait_seconds), "{early:?}");

    world.let_waits_pass().await;
    source.behave(status_every(2, 429, Some("5")));
    let short = Deadline::after(Duration::from_secs(3));
    let output = world
        .ingest()
        .run(&output.input, short, &Unobserved)
        .await
        .unwrap();
    assert_eq!((output.next, output.wait_seconds), (Next::Wait, 5));

    world.let_waits_pass().await;
    source.behave(Behaviour::default());
    assert_eq!(world.pull(1).await.ids().len(), 500);
}

#[tokio::test]
async fn where_nobody_else_would_wait_the_wait_is_sat_out_behind_a_checkpoint() {
    let source = source(500).await;
    source.behave(status_every(2, 429, Some("1")));
    let mut world = World::of_quakes(&source, 200);
    world.connection.politeness.wait_limit = Duration::from_millis(10);
    let output = world
        .ingest()
        .run(&world.input(1).await, Deadline::NONE, &Unobserved)
        .await
        .unwrap();
    assert_eq!(output.next, Next::Done);
    let pulled = world.pulled(1).await;
    assert_eq!(pulled.ids().len(), 500);
    assert!(
        pulled.manifests.len() >= 3,
        "each wait was behind a checkpoint"
    );
}

/// Makes a source misbehave as soon as the first page is there.
struct Spoiler<'a>(&'a Running, Behaviour);

impl Observer for Spoiler<'_> {
    fn progress(&self, _: &Counts) {
        self.0.behave(self.1.clone());
    }
}

#[tokio::test]
async fn what_does_not_pass_fails_by_its_name_and_keeps_what_came_before() {
    let source = source(500).await;
    for (status, name) in [
        (500, FailureName::Transient),
        (429, FailureName::RateLimited),
        (404, FailureName::BadAnswer),
        (403, FailureName::Unauthorized),
    ] {
        source.behave(Behaviour::default());
        let world = World::of_quakes(&source, 200);
        let few = Limits {
            retries: 3,
            ..limits()
        };
        let ingest = Ingest::new(world.objects.clone(), world.secrets.clone()).with_limits(few);
        let spoiler = Spoiler(&source, status_every(1, status, None));
        let failure = ingest
            .run(&world.input(1).await, Deadline::NONE, &spoiler)
            .await
            .unwrap_err();
        assert_eq!(failure.name, name, "{failure}");
        assert!(
            failure.message.contains(&format!("answered {status}")),
            "{failure}"
        );
        assert!(failure.message.contains(&source.url), "{failure}");
        assert_eq!(world.pulled(1).await.ids().len(), 200);
        assert!(
            world.state().await.is_none(),
            "a run that failed moves no cursor"
        );

        source.behave(Behaviour::default());
        assert_eq!(world.pull(1).await.ids().len(), 500);
    }
}

#[tokio::test]
async fn a_source_that_is_not_there_is_transient() {
    let url = source(1).await.url.clone();
    let world = World::new(&url, "/list", "");
    let few = Limits {
        retries: 2,
        ..limits()
    };
    let ingest = Ingest::new(world.objects.clone(), world.secrets.clone()).with_limits(few);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let failure = ingest
        .run(&world.input(1).await, Deadline::NONE, &Unobserved)
        .await
        .unwrap_err();
    assert_eq!(failure.name, FailureName::Transient, "{failure}");
    assert!(failure.message.contains("got no answer"), "{failure}");
}

#[tokio::test]
async fn a_refusal_is_told_in_the_sources_words_and_kept() {
    let source = source(50).await;
    let mut world = World::of_quakes(&source, 20);
    world
        .resource
        .params
        .insert("orderby".into(), "colour".into());
    let failure = world.run(1).await.unwrap_err();
    assert_eq!(failure.name, FailureName::BadAnswer);
    assert!(
        failure
            .message
            .contains("answered 400: Error 400: Bad Request"),
        "{failure}"
    );
    assert!(
        failure.message.contains("Bad orderby value \"colour\""),
        "{failure}"
    );
    assert_eq!(source.stats().requests, 1);
    let dead = world
        .objects
        .list("dead/seismology/quakes/", None, 10)
        .await
        .unwrap();
    assert_eq!(dead.len(), 1);
    let dead = world.objects.get(&dead[0].key).await.unwrap().unwrap();
    let dead: serde_json::Value = serde_json::from_slice(&dead.bytes).unwrap();
    assert_eq!(
        (&dead["status"], &dead["position"]["at"]),
        (&400.into(), &"start".into())
    );
}

#[tokio::test]
async fn a_definition_that_looks_for_records_elsewhere_is_told_what_is_there() {
    let source = source(50).await;
    let mut world = World::of_quakes(&source, 20);
    world.resource.records = millrace_model::definition::FieldPath("items".into());
    let failure = world.run(1).await.unwrap_err();
    assert_eq!(failure.name, FailureName::BadAnswer);
    assert!(failure.message.contains("has no `items`"), "{failure}");
    assert!(
        failure.message.contains("`type`, `metadata`, `features`"),
        "{failure}"
    );
    assert!(world.pulled(1).await.manifests.is_empty());
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let source = source(500).await;
    let world = World::of_quakes(&source, 200);
    let small = Limits {
        body_bytes: 10_000,
        ..limits()
    };
    let ingest = Ingest::new(world.objects.clone(), world.secrets.clone()).with_limits(small);
    let failure = ingest
        .run(&world.input(1).await, Deadline::NONE, &Unobserved)
        .await
        .unwrap_err();
    assert_eq!(failure.name, FailureName::BadAnswer);
    assert!(
        failure.message.contains("ask for smaller pages"),
        "{failure}"
    );
}

#[tokio::test]
async fn a_rate_limit_is_kept_by_all_pulls_of_a_process() {
    let source = source(500).await;
    let world = World::of_quakes(&source, 100).rate_limit(4, Duration::from_millis(400));
    let ingest = world.ingest();
    let (one, other) = (world.input(1).await, world.input(2).await);
    let began = Instant::now();
    let (one, other) = tokio::join!(
        ingest.run(&one, Deadline::NONE, &Unobserved),
        ingest.run(&other, Deadline::NONE, &Unobserved),
    );
    let requests = one.unwrap().counts["requests"] + other.unwrap().counts["requests"];
    assert_eq!(requests, 12);
    assert!(
        began.elapsed() >= Duration::from_millis(800),
        "12 requests took {:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn a_source_that_is_down_is_left_alone_by_the_next_invocation_too() {
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = requests.clone();
    let url = serve(Router::new().fallback(async move || {
        counted.fetch_add(1, Ordering::SeqCst);
        StatusCode::INTERNAL_SERVER_ERROR
    }))
    .await;
    let world = World::new(&url, "/items", "items");
    let input = world.input(1).await;
    // There is not the time to sit out that it is down.
    let in_a_lambda = || Deadline::after(Duration::from_secs(8));
    // Another process knows of the failures only by what lies in the lake.
    let first = world.ingest().run(&input, in_a_lambda(), &Unobserved).await;
    let sent = requests.load(Ordering::SeqCst);
    assert_eq!(sent, 8, "{first:?}");
    let second = world
        .ingest()
        .run(&input, in_a_lambda(), &Unobserved)
        .await
        .unwrap();
    assert_eq!(second.next, Next::Wait);
    assert!((1..=10).contains(&second.wait_seconds), "{second:?}");
    assert_eq!(requests.load(Ordering::SeqCst), sent, "it is left alone");
}
