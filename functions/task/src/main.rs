//! The Fargate task: the same steps as the Lambdas, without a deadline.

use millrace_ingest::Ingest;
use millrace_lake::Lake;
use millrace_model::step::{Deadline, StepKind};
use millrace_publish::Publish;
use millrace_runtime::task::{self, TaskToken};
use millrace_runtime::{Aws, Environment, logging};
use millrace_store::ledger::Ledger;
use millrace_transform::Transform;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let environment = Environment::from_env();
    logging::init(&environment);
    let step = environment.task_step()?;
    let aws = Aws::load(&environment).await;
    let place = environment.lake()?;
    let (objects, secrets) = (aws.objects(&place), aws.secrets());
    let tables = Lake::at(&place.to_string())?;
    let store_secret = environment.store_secret()?.to_owned();
    let ingest = Ingest::new(objects.clone(), secrets.clone()).as_task();
    let transform = Transform::new(objects.clone(), place);
    let publish = Publish::new(objects.clone(), tables, secrets, store_secret);
    let waiting = TaskToken::new(aws.step_functions(), environment.task_token()?);
    task::run(
        &waiting,
        &Ledger::new(objects),
        &step,
        async |kind, input, observer| match kind {
            StepKind::Ingest => ingest.run(input, Deadline::NONE, observer).await,
            StepKind::Transform => transform.run(input, Deadline::NONE, observer).await,
            StepKind::Publish => publish.run(input, Deadline::NONE, observer).await,
        },
    )
    .await?;
    Ok(())
}
