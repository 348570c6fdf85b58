//! The Fargate task: the same steps as the Lambdas, without a deadline.

use millrace_ingest::Ingest;
use millrace_lake::Lake;
use millrace_model::step::{Deadline, StepKind};
use millrace_publish::Publish;
use millrace_refine::{Limits, Refine};
use millrace_runtime::task::{self, TaskToken};
use millrace_runtime::{Aws, Environment, logging};
use millrace_store::ledger::Ledger;
use millrace_transform::Transform;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let environment = Environment::from_env();
    logging::init(&environment);
    let (aws, place) = (Aws::load(&environment).await, environment.lake()?);
    let (objects, secrets) = (aws.objects(&place), aws.secrets());
    let tables = Lake::at(&place.to_string())?;
    let store_secret = environment.store_secret()?.to_owned();
    let ingest = Ingest::new(objects.clone(), secrets.clone()).as_task();
    let transform = Transform::new(objects.clone(), place);
    let room = environment.query_room()?;
    let limits = Limits::new(room.memory, room.spill, room.spill_bytes, room.threads);
    let refine = Refine::new(objects.clone(), tables.clone(), limits);
    let publish = Publish::new(objects.clone(), tables, secrets, store_secret);
    let publish = publish.with_redis(environment.redis_secret().ok());
    Ok(task::run(
        &TaskToken::new(aws.step_functions(), environment.task_token()?),
        &Ledger::new(objects),
        &environment.task_step()?,
        async |kind, input, observer| match kind {
            StepKind::Ingest => ingest.run(input, Deadline::NONE, observer).await,
            StepKind::Transform => transform.run(input, Deadline::NONE, observer).await,
            StepKind::Refine => refine.run(input, Deadline::NONE, observer).await,
            StepKind::Publish => publish.run(input, Deadline::NONE, observer).await,
        },
    )
    .await?)
}
