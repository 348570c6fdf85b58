//! How fast a pull is, measured on demand: `cargo test -p millrace-ingest --test pull -- --ignored --nocapture`.

use crate::support::{World, source};
use millrace_ingest::{Ingest, Limits};
use millrace_model::step::{Deadline, Unobserved};
use std::time::Instant;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures"]
async fn two_hundred_thousand_reports() {
    let source = source(200_000).await;
    for limit in [1_000, 20_000] {
        let world = World::of_quakes(&source, limit).incremental();
        let ingest = Ingest::new(world.objects.clone(), world.secrets.clone())
            .with_limits(Limits::default());
        let input = world.input(1).await;
        let began = Instant::now();
        let output = ingest
            .run(&input, Deadline::NONE, &Unobserved)
            .await
            .unwrap();
        let seconds = began.elapsed().as_secs_f64();
        let (records, bytes) = (
            output.counts["records"] as f64,
            output.counts["bytes"] as f64,
        );
        println!(
            "{limit} to a page: {seconds:.2} s, {:.0} records/s, {:.0} MB/s",
            records / seconds,
            bytes / seconds / 1e6
        );
    }
}
