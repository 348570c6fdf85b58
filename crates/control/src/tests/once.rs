//! Two starts at once, and the same start twice.

use super::ground::{Ground, PIPELINE, body, request, run_of, scheduled};
use futures::future::join_all;
use millrace_model::FailureName;
use millrace_model::ledger::RunStatus::{Cancelled, Failed, Queued, Running, Skipped, Succeeded};
use millrace_store::conductor::ExecutionStatus;

const START: &str = "/pipelines/earthquakes/runs";

fn with_concurrency(concurrency: &str) -> String {
    PIPELINE.replace(
        "concurrency: forbid",
        &format!("concurrency: {concurrency}"),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn forbid_lets_one_of_many_run() {
    let ground = Ground::new(PIPELINE).await;
    let starts = (0..6).map(|_| {
        let control = ground.control();
        tokio::spawn(async move { control.http(request("POST", START, &[])).await })
    });
    let mut statuses: Vec<u16> = Vec::new();
    for answer in join_all(starts).await {
        statuses.push(answer.unwrap().status().as_u16());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [202, 409, 409, 409, 409, 409]);
    assert_eq!(ground.executions.running(), ground.gate().await.active);
    assert_eq!(ground.executions.running().len(), 1);
    let skipped = ground
        .statuses()
        .await
        .into_iter()
        .filter(|status| *status == Skipped);
    assert_eq!(skipped.count(), 5);

    ground.succeed(&ground.executions.running()[0]).await;
    let next = ground.control().http(request("POST", START, &[])).await;
    assert_eq!(next.status(), 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn queue_lets_one_run_after_the_other() {
    let ground = Ground::new(&with_concurrency("queue")).await;
    let starts = (0..4).map(|_| {
        let control = ground.control();
        tokio::spawn(async move { control.http(request("POST", START, &[])).await })
    });
    for answer in join_all(starts).await {
        assert_eq!(answer.unwrap().status(), 202);
    }
    for left in (0..4).rev() {
        let running = ground.executions.running();
        assert_eq!(running.len(), 1);
        assert_eq!(ground.gate().await.waiting.len(), left);
        ground.succeed(&running[0]).await;
        ground.succeed(&running[0]).await;
    }
    assert_eq!(ground.statuses().await, [Succeeded; 4]);
    assert_eq!(ground.gate().await, crate::gate::Gate::default());
}

#[tokio::test]
async fn allow_lets_all_run() {
    let ground = Ground::new(&with_concurrency("allow")).await;
    for _ in 0..3 {
        ground.control().http(request("POST", START, &[])).await;
    }
    assert_eq!(ground.executions.running().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_idempotency_key_is_one_run() {
    let ground = Ground::new(PIPELINE).await;
    let keyed = || request("POST", START, &[("idempotency-key", "2026-11-21/daily")]);
    let starts = (0..6).map(|_| {
        let (control, request) = (ground.control(), keyed());
        tokio::spawn(async move { control.http(request).await })
    });
    let mut answers = Vec::new();
    for answer in join_all(starts).await {
        answers.push(answer.unwrap());
    }
    let run = run_of(&answers[0]);
    for answer in &answers {
        assert_eq!(
            (answer.status().as_u16(), run_of(answer)),
            (202, run.clone())
        );
        assert_eq!(answer.headers()["location"], format!("/runs/{run}"));
    }
    assert_eq!(ground.executions.running(), std::slice::from_ref(&run));

    ground.succeed(&run).await;
    // What the definition has become meanwhile does not matter to a run that has been.
    let key = millrace_model::keys::definition("pipeline", "earthquakes");
    ground.objects.delete(&key).await.unwrap();
    let again = ground.control().http(keyed()).await;
    assert_eq!((again.status().as_u16(), run_of(&again)), (202, run));
    assert_eq!(body(&again)["data"]["status"], "succeeded");
    assert!(ground.executions.running().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedules_event_delivered_twice_is_one_run() {
    let ground = Ground::new(PIPELINE).await;
    let deliveries = (0..4).map(|_| {
        let control = ground.control();
        tokio::spawn(async move { control.scheduled(&scheduled(0)).await.unwrap().run })
    });
    let runs: Vec<_> = join_all(deliveries)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert!(runs.iter().all(|run| *run == runs[0]), "{runs:?}");
    assert_eq!(ground.executions.running(), [runs[0].clone()]);

    let second = ground.control().scheduled(&scheduled(1)).await.unwrap();
    assert_eq!(second.status, Skipped);
    ground.succeed(&runs[0]).await;
    // The refused one stays refused, and the one that has been is not run again.
    assert_eq!(
        ground
            .control()
            .scheduled(&scheduled(1))
            .await
            .unwrap()
            .status,
        Skipped
    );
    assert_eq!(
        ground
            .control()
            .scheduled(&scheduled(0))
            .await
            .unwrap()
            .status,
        Succeeded
    );
    assert!(ground.executions.running().is_empty());
    assert_eq!(
        ground
            .control()
            .scheduled(&scheduled(2))
            .await
            .unwrap()
            .status,
        Running
    );
}

#[tokio::test]
async fn a_gate_that_holds_an_ended_run_is_healed() {
    let ground = Ground::new(PIPELINE).await;
    let first = ground.control().scheduled(&scheduled(0)).await.unwrap();
    ground.executions.end(&first.run, ExecutionStatus::Stopped);
    let second = ground.control().scheduled(&scheduled(1)).await.unwrap();
    assert_eq!(second.status, Running);
    assert_eq!(ground.statuses().await, [Running, Cancelled]);
    assert_eq!(ground.gate().await.active, [second.run]);
}

#[tokio::test]
async fn an_execution_that_is_not_seen_yet_is_under_way() {
    let ground = Ground::new(PIPELINE).await;
    let first = ground.control().scheduled(&scheduled(0)).await.unwrap();
    ground.executions.known.lock().unwrap().clear();
    assert_eq!(
        ground
            .control()
            .scheduled(&scheduled(1))
            .await
            .unwrap()
            .status,
        Skipped
    );
    assert_eq!(ground.gate().await.active, [first.run]);
}

#[tokio::test]
async fn what_cannot_be_started_now_is_started_by_the_next_one() {
    let ground = Ground::new(PIPELINE).await;
    *ground.executions.broken.lock().unwrap() = Some(FailureName::Transient);
    let failure = ground.control().scheduled(&scheduled(0)).await.unwrap_err();
    assert_eq!(failure.name, FailureName::Transient);
    assert_eq!(ground.statuses().await, [Queued]);

    *ground.executions.broken.lock().unwrap() = None;
    assert_eq!(
        ground
            .control()
            .scheduled(&scheduled(1))
            .await
            .unwrap()
            .status,
        Skipped
    );
    assert_eq!(ground.statuses().await, [Skipped, Running]);
}

#[tokio::test]
async fn what_can_never_be_started_has_failed_and_holds_nobody() {
    let ground = Ground::new(&with_concurrency("queue")).await;
    let first = ground.control().scheduled(&scheduled(0)).await.unwrap();
    for minute in 1..3 {
        assert_eq!(
            ground
                .control()
                .scheduled(&scheduled(minute))
                .await
                .unwrap()
                .status,
            Queued
        );
    }
    *ground.executions.broken.lock().unwrap() = Some(FailureName::Internal);
    ground.succeed(&first.run).await;
    assert_eq!(ground.statuses().await, [Failed, Failed, Succeeded]);
    assert_eq!(ground.gate().await, crate::gate::Gate::default());
}
