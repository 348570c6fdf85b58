//! A control that is killed between any two of its writes, and asked again.

use super::ground::{Ground, PIPELINE, request, run_of, scheduled};
use async_trait::async_trait;
use bytes::Bytes;
use millrace_model::ledger::RunStatus::{Cancelled, Running, Succeeded};
use millrace_store::conductor::ExecutionStatus;
use millrace_store::objects::{Entry, Error, ErrorKind, Object, Objects, Version};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Objects that fail from the n-th write on: that one is done or not, and its answer is lost either way.
#[derive(Debug)]
struct Dying {
    objects: Arc<dyn Objects>,
    writes_left: AtomicU32,
    last_is_done: bool,
}

impl Dying {
    fn after(ground: &Ground, writes: u32, last_is_done: bool) -> Arc<Self> {
        Arc::new(Self {
            objects: Arc::clone(&ground.objects),
            writes_left: AtomicU32::new(writes),
            last_is_done,
        })
    }

    async fn write(
        &self,
        key: &str,
        write: impl Future<Output = Result<Version, Error>> + Send,
    ) -> Result<Version, Error> {
        let left = self.writes_left.load(Ordering::Relaxed);
        if left == 0 {
            return Err(Error::new(ErrorKind::Transient, key));
        }
        self.writes_left.store(left - 1, Ordering::Relaxed);
        if left == 1 {
            if self.last_is_done {
                write.await?;
            }
            return Err(Error::new(ErrorKind::Transient, key));
        }
        write.await
    }

    fn has_died(&self) -> bool {
        self.writes_left.load(Ordering::Relaxed) == 0
    }
}

#[async_trait]
impl Objects for Dying {
    async fn get(&self, key: &str) -> Result<Option<Object>, Error> {
        if self.has_died() {
            return Err(Error::new(ErrorKind::Transient, key));
        }
        self.objects.get(key).await
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, Error> {
        self.objects.get_range(key, range).await
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<Version, Error> {
        self.write(key, self.objects.put(key, bytes)).await
    }

    async fn create(&self, key: &str, bytes: Bytes) -> Result<Version, Error> {
        self.write(key, self.objects.create(key, bytes)).await
    }

    async fn replace(&self, key: &str, bytes: Bytes, version: &Version) -> Result<Version, Error> {
        self.write(key, self.objects.replace(key, bytes, version))
            .await
    }

    async fn delete(&self, key: &str) -> Result<(), Error> {
        self.objects.delete(key).await
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Entry>, Error> {
        self.objects.list(prefix, after, limit).await
    }
}

/// Calls `attempt` with a number of writes after which it dies, and whether the last one is done, until it lives.
async fn at_every_write<F: Future<Output = bool>>(attempt: impl Fn(u32, bool) -> F) {
    let mut outcomes = Vec::new();
    for writes in 1..10 {
        for last_is_done in [false, true] {
            outcomes.push(attempt(writes, last_is_done).await);
        }
    }
    let died = outcomes.iter().filter(|died| **died).count();
    assert!(
        died >= 6,
        "there are three writes at least to die at: {outcomes:?}"
    );
    assert_eq!(
        outcomes.last(),
        Some(&false),
        "nine writes are more than enough"
    );
}

#[tokio::test]
async fn a_scheduled_start_ends_as_a_clean_one() {
    at_every_write(async |writes, last_is_done| {
        let ground = Ground::new(PIPELINE).await;
        let dying = Dying::after(&ground, writes, last_is_done);
        let died = ground
            .control_over(dying)
            .scheduled(&scheduled(0))
            .await
            .is_err();

        let run = ground.control().scheduled(&scheduled(0)).await.unwrap();

        assert_eq!((run.status, ground.statuses().await.len()), (Running, 1));
        assert_eq!(run.execution, Some(format!("arn:{}", run.run)));
        assert_eq!(ground.gate().await.active, std::slice::from_ref(&run.run));
        assert_eq!(ground.executions.running(), [run.run]);
        died
    })
    .await;
}

#[tokio::test]
async fn a_keyed_start_ends_as_a_clean_one() {
    at_every_write(async |writes, last_is_done| {
        let ground = Ground::new(PIPELINE).await;
        let dying = Dying::after(&ground, writes, last_is_done);
        let start = || {
            request(
                "POST",
                "/pipelines/earthquakes/runs",
                &[("idempotency-key", "k")],
            )
        };
        let first = ground.control_over(dying).http(start()).await.status();
        assert!(first == 202 || first == 503, "{first}");

        let again = ground.control().http(start()).await;

        assert_eq!(again.status(), 202);
        assert_eq!(ground.statuses().await, [Running]);
        assert_eq!(ground.executions.running(), [run_of(&again)]);
        first == 503
    })
    .await;
}

#[tokio::test]
async fn an_end_ends_as_a_clean_one() {
    let queue = PIPELINE.replace("forbid", "queue");
    at_every_write(async |writes, last_is_done| {
        let ground = Ground::new(&queue).await;
        let first = ground.control().scheduled(&scheduled(0)).await.unwrap().run;
        let second = ground.control().scheduled(&scheduled(1)).await.unwrap().run;
        ground.executions.end(&first, ExecutionStatus::Succeeded);
        let dying = Dying::after(&ground, writes, last_is_done);
        let died = ground.control_over(dying).record(&first).await.is_err();

        ground.control().record(&first).await.unwrap();

        assert_eq!(ground.statuses().await, [Running, Succeeded]);
        assert_eq!(ground.executions.running(), std::slice::from_ref(&second));
        assert_eq!(ground.gate().await.active, [second]);
        died
    })
    .await;
}

#[tokio::test]
async fn a_cancellation_ends_as_a_clean_one() {
    let queue = PIPELINE.replace("forbid", "queue");
    at_every_write(async |writes, last_is_done| {
        let ground = Ground::new(&queue).await;
        let first = ground.control().scheduled(&scheduled(0)).await.unwrap().run;
        let second = ground.control().scheduled(&scheduled(1)).await.unwrap().run;
        let cancel = || request("POST", &format!("/runs/{first}/cancel"), &[]);
        let dying = Dying::after(&ground, writes, last_is_done);
        let died = ground.control_over(dying).http(cancel()).await.status() == 503;

        assert_eq!(ground.control().http(cancel()).await.status(), 200);

        assert_eq!(ground.statuses().await, [Running, Cancelled]);
        assert_eq!(ground.executions.running(), std::slice::from_ref(&second));
        assert_eq!(ground.gate().await.active, [second]);
        died
    })
    .await;
}

#[tokio::test]
async fn a_cancellation_that_nobody_repeats_does_not_hold_the_next_run() {
    let ground = Ground::new(PIPELINE).await;
    let first = ground.control().scheduled(&scheduled(0)).await.unwrap().run;
    let dying = Dying::after(&ground, 1, true);
    ground
        .control_over(dying)
        .http(request("POST", &format!("/runs/{first}/cancel"), &[]))
        .await;
    assert_eq!(ground.executions.running(), [first]);

    let second = ground.control().scheduled(&scheduled(1)).await.unwrap();

    assert_eq!(second.status, Running);
    assert_eq!(ground.executions.running(), [second.run]);
}

#[tokio::test]
async fn a_waiting_run_whose_cancellation_nobody_repeats_does_not_hold_those_behind_it() {
    let ground = Ground::new(&PIPELINE.replace("forbid", "queue")).await;
    let mut runs = Vec::new();
    for minute in 0..3 {
        runs.push(
            ground
                .control()
                .scheduled(&scheduled(minute))
                .await
                .unwrap()
                .run,
        );
    }
    let cancel = request("POST", &format!("/runs/{}/cancel", runs[1]), &[]);
    ground
        .control_over(Dying::after(&ground, 1, true))
        .http(cancel)
        .await;

    ground.succeed(&runs[0]).await;

    assert_eq!(ground.statuses().await, [Running, Cancelled, Succeeded]);
    assert_eq!(ground.executions.running(), std::slice::from_ref(&runs[2]));
    assert_eq!(ground.gate().await.active, std::slice::from_ref(&runs[2]));
}
